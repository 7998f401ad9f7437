# Arrays, associative arrays, substitutions and a few subshells. $1: how much.
n=$1
declare -A count
declare -a lines
for ((i = 0; i < n; i++)); do
    word="word$((i * 7919 % 5003))"
    lines[i]="$word:${word//o/0}:$i:${word:2:3}"
    count[$word]=$((${count[$word]:-0} + ${#word}))
done
total=0
for word in "${!count[@]}"; do
    total=$((total + count[$word]))
    text="${word^^}-${count[$word]}"
    [[ $text =~ ^WORD([0-9]+)-([0-9]+)$ ]] && last="${BASH_REMATCH[1]}+${BASH_REMATCH[2]}"
done
joined=$(printf '%s,' "${lines[@]}")
IFS=, read -r -a again <<<"$joined"
for ((i = 0; i < n; i += 3)); do
    unset "lines[i]"
done
for ((i = 0; i < n / 500; i++)); do
    sub=$(echo "${again[i]#*:}")
    again[i]="$sub$sub"
done
echo "$total ${#count[@]} ${#joined} ${#again[@]} ${#lines[@]} $last ${again[0]} $sub"
