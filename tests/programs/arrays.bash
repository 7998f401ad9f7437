# Many small objects that come and go among many small gaps: associative arrays that are filled, thinned out and filled again.
declare -A m
for ((i=0;i<6000;i++)); do m[key$i]="value $i of many"; done
for ((r=0;r<5;r++)); do
    for ((i=r;i<6000;i+=3)); do unset "m[key$i]"; done
    for ((i=r;i<6000;i+=3)); do m[key$i]="another $r value $i longer than before"; done
done
echo ${#m[@]}
