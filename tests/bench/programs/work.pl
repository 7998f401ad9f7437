# Hashes of hashes and arrays, strings, regular expressions, a sort. Argument: how much.
use strict;
use warnings;
my $n = shift;
my (%count, %index);
for my $i (0 .. $n - 1) {
    my $word = sprintf "w%05d-%s", $i * 7919 % 50021, "x" x ($i % 23);
    $count{$word}++;
    push @{ $index{ length $word }{ substr $word, 1, 3 } }, "$word/$i";
}
my $sum = 0;
for my $length (sort { $a <=> $b } keys %index) {
    for my $key (sort keys %{ $index{$length} }) {
        my @all = map { (my $t = $_) =~ s/(\d+)-(x*)/$2$1/; $t } @{ $index{$length}{$key} };
        $sum += length join ",", reverse @all;
    }
}
delete @count{ grep { /7/ } keys %count };
my @words = sort { $count{$b} <=> $count{$a} || $a cmp $b } keys %count;
print scalar(@words), " $sum $words[0] $words[-1]\n";
