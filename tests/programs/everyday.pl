# What Perl programs do: hashes of lists, sorting, regular expressions.
use strict;
use warnings;

my %things;
for my $i (1 .. 40000) {
    my $key = "key " . ($i * 7919 % 40009);
    $things{$key} = [$i, "value $i", length $key];
}
my $sum = 0;
for (sort keys %things) { $sum += $things{$_}[0] if /7.*3$/ }
my $text = join ",", map { s/key/thing/r } (sort keys %things)[0 .. 5000];
my $count = () = $text =~ /thing 1\d+/g;
print "$sum ", length($text), " $count\n";
