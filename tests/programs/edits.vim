" Edits a file in batch mode, and prints it.
%s/number \(\d*\)7/N\1/g
g/3$/m0
sort! n
undo
redo
g/^line N/s/$/\=' ' . repeat('x', len(submatch(0)) + line('.') % 90)/
let words = {}
g/./let words[getline('.')[0:6]] = get(words, getline('.')[0:6], 0) + 1
call append(0, map(sort(keys(words)), 'v:val . words[v:val]'))
%p
qa!
