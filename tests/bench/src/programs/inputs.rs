//! What the programs read: the same text whenever it is made.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::Path;

/// A file of text, written piece by piece: what is resident here would count as the next program's.
fn write(path: &Path, text: impl FnOnce(&mut BufWriter<File>) -> io::Result<()>) -> io::Result<()> {
    let mut file = BufWriter::new(File::create(path)?);
    text(&mut file)?;
    file.flush()
}

/// Numbers below `below` in an order that looks like none.
fn scattered(i: usize, below: usize) -> usize {
    i.wrapping_mul(7_919).wrapping_add(i / below * 31) % below
}

/// `count` lines for sort: a number, a word and a text.
pub fn lines(path: &Path, count: usize) -> io::Result<()> {
    write(path, |file| {
        for i in 0..count {
            writeln!(file, "{} w{} {:x<3$}", scattered(i, 200_003), scattered(i, 4_001), 'x', i % 40 + 1)?;
        }
        Ok(())
    })
}

/// `count` objects for jq, in an array.
pub fn objects(path: &Path, count: usize) -> io::Result<()> {
    write(path, |file| {
        writeln!(file, "[")?;
        for i in 0..count {
            let (name, tag) = (scattered(i, 10_007), scattered(i, 13));
            let tags: Vec<_> = (0..i % 4).map(|j| format!("\"tag{}\"", (tag + 5 * j) % 13)).collect();
            let points: Vec<_> = (0..i % 6 + 1).map(|j| format!("{{\"x\":{j},\"y\":{}}}", i % 100)).collect();
            let end = if i + 1 < count { "," } else { "" };
            let (tags, points) = (tags.join(","), points.join(","));
            writeln!(file, "{{\"id\":{i},\"name\":\"name {name}\",\"tags\":[{tags}],\"points\":[{points}]}}{end}")?;
        }
        writeln!(file, "]")
    })
}

/// A C file of `count` functions with structures, loops and switches.
pub fn c_file(path: &Path, count: usize) -> io::Result<()> {
    write(path, |file| {
        writeln!(file, "#include <stdio.h>\n#include <stdlib.h>\n#include <string.h>")?;
        for i in 0..count {
            writeln!(
                file,
                "struct s{i} {{ int a[{}]; double d; struct s{i} *next; char name[{}]; }};",
                i % 7 + 1,
                i % 30 + 2
            )?;
            writeln!(file, "static int f{i}(struct s{i} *p, int n) {{\n    int sum = 0;")?;
            writeln!(file, "    for (int i = 0; p && i < n; i++, p = p->next) {{")?;
            writeln!(file, "        sum += p->a[i % {}] * {};\n        switch (sum & 7) {{", i % 7 + 1, i + 3)?;
            for case in 0..8 {
                let more = if case % 3 == 0 { "p->d *= 1.5;" } else { "p->name[0] ^= (char)sum;" };
                writeln!(file, "        case {case}: {more} sum -= n << {case}; break;")?;
            }
            writeln!(file, "        }}\n    }}\n    return sum + (int)strlen(p ? p->name : \"{i}\");\n}}")?;
            writeln!(file, "int g{i}(int n) {{")?;
            writeln!(file, "    struct s{i} *p = calloc(1, sizeof *p);\n    int r = f{i}(p, n) + f{i}(p, n * 2);")?;
            writeln!(file, "    printf(\"%d from {i}\\n\", r);\n    free(p);\n    return r;\n}}")?;
        }
        Ok(())
    })
}

/// A history of `count` commits over some files, for git fast-import.
pub fn history(path: &Path, count: usize) -> io::Result<()> {
    const FILES: usize = 40;
    const LINES: usize = 250;
    write(path, |file| {
        for commit in 0..count {
            let text = format!("commit {commit}\n\nChanges file {} and its neighbour.\n", commit % FILES);
            writeln!(file, "commit refs/heads/main\ncommitter A <a@example.org> {} +0000", 1_700_000_000 + commit)?;
            writeln!(file, "data {}\n{text}", text.len())?;
            for name in [commit % FILES, (commit + 1) % FILES] {
                let line = |i: usize| {
                    let changed = scattered(i + commit, LINES) < 9;
                    format!(
                        "line {i} of file {name}{}\n",
                        if changed { format!(", commit {commit}") } else { String::new() }
                    )
                };
                let content: String = (0..LINES).map(line).collect();
                writeln!(file, "M 644 inline folder{}/file{name}\ndata {}\n{content}", name % 5, content.len())?;
            }
        }
        Ok(())
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn inputs_have_their_size_and_are_the_same_again() {
        let path = std::env::temp_dir().join(format!("slabfit-bench-inputs-{}", std::process::id()));
        let made = |make: fn(&Path, usize) -> io::Result<()>, count| {
            make(&path, count).expect("the temporary folder is writable");
            fs::read_to_string(&path).expect("the file was just written")
        };
        assert_eq!(made(lines, 100).lines().count(), 100);
        assert_eq!(made(objects, 100).matches("\"id\":").count(), 100);
        assert_eq!(made(c_file, 10).matches("int g").count(), 10);
        assert_eq!(made(history, 5).matches("commit refs/heads/main").count(), 5);
        assert_eq!(made(history, 5), made(history, 5));
        fs::remove_file(&path).expect("the file was just written");
    }
}
