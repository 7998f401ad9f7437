//! Pictures of a program's heap, at exit and when a signal asks for them.

use std::fs::{self, File};
use std::os::fd::AsRawFd;
use std::path::Path;

use roxmltree::Document;

use crate::preloaded::{Outcome, Program, c, compiled, fresh_folder};

/// Runs a part of `pictured.c` with pictures of this name, in an empty folder; and the names of those that there are then.
fn pictured(part: &str, map: &str, signal: bool) -> Option<(Outcome, Vec<String>)> {
    let folder = fresh_folder(&format!("pictures-{part}-{}", map.replace('%', "")));
    let program = compiled("cc", "pictured.c", &format!("pictured-{part}-{}", map.replace('%', "")), &c(&[]))?;
    let path = folder.join(map);
    let program = program.arguments([part.as_ref(), path.as_os_str()]).with("SLABFIT_MAP", &path);
    let program = if signal { program.with("SLABFIT_MAP_SIGNAL", "USR1") } else { program };
    let outcome = program.run_preloaded("4M");
    let told = (outcome.status.code(), &*outcome.text(), &*outcome.stderr);
    assert_eq!(told, (Some(0), "", ""), "{outcome:#?}");
    Some((outcome, pictures_in(&folder)))
}

/// The files of a folder, all of them whole pictures.
fn pictures_in(folder: &Path) -> Vec<String> {
    let files = fs::read_dir(folder).expect("it is there").map(|entry| entry.expect("it can be read").path());
    let mut names: Vec<_> = files
        .map(|path| {
            whole(&path);
            path.file_name().expect("a file has a name").to_string_lossy().into_owned()
        })
        .collect();
    names.sort_unstable();
    names
}

/// A picture's title and the note under it.
fn whole(path: &Path) -> (String, String) {
    let svg = fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let document = Document::parse(&svg).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let text = |class| {
        let mut texts = document.descendants().filter(|node| node.attribute("class") == Some(class));
        texts.next().and_then(|node| node.text()).unwrap_or_default().to_owned()
    };
    // The last things in it.
    assert!(svg.contains("Gaps by size") && svg.ends_with("</svg>\n"), "{}", path.display());
    (text("t"), text("n"))
}

#[test]
fn a_heap_is_drawn_at_exit() {
    let Some(program) = Program::installed("python3") else { return };
    let (folder, script) = (fresh_folder("pictures-at-exit"), "import os, json; os.chdir('/'); print(os.getpid())");
    let program = program.arguments(["-c", script]).folder(&folder);
    // A name without a directory is one in that where the program began, which it has left meanwhile.
    let outcome = program.with("SLABFIT_MAP", "100%%.svg").run_preloaded("32M");
    assert_eq!((outcome.status.code(), &*outcome.stderr), (Some(0), ""), "{outcome:#?}");
    let (title, note) = whole(&folder.join("100%.svg"));
    let name = title.split_once('[').map_or("", |(name, _)| name);
    assert!(name.starts_with("python3"), "{title}");
    assert_eq!(title, format!("{name}[{}] in 32 MiB", outcome.text().trim()));
    assert_eq!(note, "at exit · size classes and first fit");
    assert_eq!(pictures_in(&folder), ["100%.svg"]);
}

#[test]
fn a_picture_takes_the_place_of_a_longer_one() {
    let Some(program) = Program::installed("env") else { return };
    let file = fresh_folder("pictures-again").join("out.svg");
    fs::write(&file, "x".repeat(1 << 20)).expect("target can be written to");
    let program = program.with("SLABFIT_MAP", &file).with("SLABFIT_PLACEMENT", "next");
    assert!(program.run_preloaded("1M").status.success());
    assert_eq!(whole(&file).1, "at exit · next fit");
}

#[test]
fn a_forked_child_leaves_its_parents_picture_alone() {
    let Some((outcome, names)) = pictured("fork", "one.svg", false) else { return };
    assert_eq!((outcome.reports.len(), names.as_slice()), (2, &["one.svg".to_owned()][..]), "{outcome:#?}");
    // The child has come to its end last, as its report says.
    let parent = outcome.reports[0]["pid"].to_string();
    let folder = crate::preloaded::scratch().join("pictures-fork-one.svg");
    assert_eq!(whole(&folder.join("one.svg")).0.split(['[', ']']).nth(1), Some(parent.as_str()));
}

#[test]
fn a_forked_child_draws_nothing_when_a_signal_asks_it() {
    let Some((outcome, names)) = pictured("other", "one.svg", true) else { return };
    assert_eq!((outcome.reports.len(), names), (2, vec![]), "{outcome:#?}");
}

#[test]
fn two_processes_never_draw_to_one_file_at_once() {
    let Some(program) = Program::installed("env") else { return };
    let path = fresh_folder("pictures-taken").join("taken.svg");
    let file = File::create(&path).expect("target can be written to");
    // SAFETY: it locks an open file.
    assert_eq!(unsafe { libc::flock(file.as_raw_fd(), libc::LOCK_EX) }, 0);
    let program = program.with("SLABFIT_MAP", &path);
    let outcome = program.run_preloaded("1M");
    let said = format!("slabfit: no picture: another process draws to {}\n", path.display());
    assert_eq!((outcome.status.code(), outcome.stderr), (Some(0), said));
    assert_eq!(fs::read_to_string(&path).expect("it is there"), "");
    drop(file);
    assert_eq!(program.run_preloaded("1M").stderr, "");
    whole(&path);
}

#[test]
fn every_process_has_its_picture_where_the_name_tells_them_apart() {
    let Some((outcome, names)) = pictured("fork", "%p.svg", false) else { return };
    let mut processes: Vec<_> = outcome.reports.iter().map(|report| format!("{}.svg", report["pid"])).collect();
    processes.sort_unstable();
    assert_eq!((names.len(), names), (2, processes), "{outcome:#?}");
}

#[test]
fn a_signal_is_answered_at_once_and_exit_draws_nothing_then() {
    let Some((_, names)) = pictured("idle", "idle.svg", true) else { return };
    assert_eq!(names, [] as [&str; 0], "the program has removed them");
}

#[test]
fn the_smallest_stack_is_large_enough() {
    let Some((_, names)) = pictured("stack", "stack.svg", true) else { return };
    assert_eq!(names, ["stack.svg"]);
    let (title, note) = whole(&crate::preloaded::scratch().join("pictures-stack-stack.svg/stack.svg"));
    assert!(title.starts_with("pictured-stack-"), "{title}");
    assert_eq!(note, "on request · size classes and first fit");
}

#[test]
fn a_thread_that_is_in_the_heap_is_drawn_later() {
    let Some((_, names)) = pictured("busy", "%n", true) else { return };
    assert_eq!(names.len(), 100, "{names:?}");
}

#[test]
fn a_crowd_of_threads_and_signals_makes_whole_pictures() {
    let Some((_, names)) = pictured("crowd", "%n.svg", true) else { return };
    assert!(!names.is_empty());
}

#[test]
fn a_picture_that_cannot_be_written_is_one_line() {
    let Some(program) = Program::installed("env") else { return };
    let long = format!("/{}%p%p%p%p%p", "x".repeat(985));
    for (name, why) in [
        ("/%n/%n", "cannot open /1/1: os error 2\n"),
        ("/dev/full", "cannot write /dev/full\n"),
        ("/dev/.", "cannot open /dev/.: os error 21\n"),
        (&long, "the name is too long\n"),
    ] {
        let outcome = program.clone().with("SLABFIT_MAP", name).run_preloaded("1M");
        assert_eq!((outcome.status.code(), outcome.stderr.lines().count()), (Some(0), 1), "{outcome:#?}");
        assert!(outcome.stderr.starts_with(&format!("slabfit: no picture: {why}")), "{outcome:#?}");
    }
}
