# Groups, strings, objects, a sort, and the text of it all.
[.[] | select(.tags | length > 1) | {id, key: (.name | ascii_upcase | ltrimstr("NAME ")), tags: (.tags | sort | join("+")), total: ([.points[] | .x * .y] | add)}]
| group_by(.tags)
| map({tags: .[0].tags, count: length, total: (map(.total) | add), first: (sort_by(.key) | .[0:3] | map(.key))})
| sort_by(-.count, .tags)
