//! Files that a program's user names, and what may be wrong with them: whatever it is, the program goes on.

use std::fs;
use std::path::PathBuf;

use crate::preloaded::{Outcome, Program, c, compiled, fresh_folder, library};

/// Runs a script of bash, which itself runs without the library. In it stands `$LIB` for what has it loaded.
fn script(text: &str) -> Option<Outcome> {
    let library = format!("LD_PRELOAD={}", library().display());
    Some(Program::installed("bash")?.arguments(["-c", &text.replace("$LIB", &library)]).run())
}

fn fifo(folder: &str) -> PathBuf {
    let path = fresh_folder(folder).join("fifo");
    let name = std::ffi::CString::new(path.as_os_str().as_encoded_bytes()).expect("a name has no zeros");
    // SAFETY: the name is a string.
    assert_eq!(unsafe { libc::mkfifo(name.as_ptr(), 0o600) }, 0);
    path
}

fn goes_on(outcome: &Outcome, said: &str) {
    let told = (outcome.status.code(), &*outcome.text(), &*outcome.stderr);
    assert_eq!(told, (Some(0), "", said), "{outcome:#?}");
}

#[test]
fn a_child_that_is_forked_while_a_picture_is_drawn_keeps_no_lock() {
    let Some(program) = compiled("cc", "forked_while_drawn.c", "forked_while_drawn", &c(&[])) else { return };
    let fifo = fifo("forked-while-drawn");
    let program = program.arguments([&fifo]).with("SLABFIT_MAP", &fifo).with("SLABFIT_MAP_SIGNAL", "USR1");
    goes_on(&program.run_preloaded("16M"), "");
}

#[test]
fn a_fifo_that_nobody_reads_is_not_waited_for() {
    let Some(program) = Program::installed("true") else { return };
    let fifo = fifo("unread-fifo");
    let outcome = program.clone().with("SLABFIT_MAP", &fifo).run_preloaded("1M");
    goes_on(&outcome, &format!("slabfit: no picture: cannot open {}: os error {}\n", fifo.display(), libc::ENXIO));
    let outcome = program.with("SLABFIT_TRACE", &fifo).run_preloaded("1M");
    let said = format!("slabfit: SLABFIT_TRACE={}: no trace: it is not a regular file\n", fifo.display());
    assert_eq!((outcome.status.code(), outcome.stderr), (Some(127), said));
}

#[test]
fn a_picture_larger_than_files_may_be_ends_no_program() {
    let Some(program) = Program::installed("true") else { return };
    let file = fresh_folder("limited-picture").join("out.svg");
    let (program, name) = (program.path().display(), file.display());
    let Some(outcome) = script(&format!("ulimit -f 2; $LIB SLABFIT_MAP={name} exec {program}")) else { return };
    goes_on(&outcome, &format!("slabfit: no picture: cannot write {name}\n"));
    assert_eq!(fs::metadata(&file).expect("it was begun").len(), 2048);
}

#[test]
fn a_line_for_a_file_that_is_as_large_as_it_may_be_ends_no_program() {
    let Some(program) = compiled("cc", "wrong_free.c", "wrong_free_limited", &c(&[])) else { return };
    let file = fresh_folder("limited-stderr").join("err");
    let (program, name) = (program.path().display(), file.display());
    for before in [
        format!("head -c 2048 /dev/zero > {name}; ulimit -f 2; exec 2>>{name}"),
        format!("exec 2>{name}; head -c 2048 /dev/zero >&2; ulimit -f 2"),
    ] {
        let Some(outcome) = script(&format!("{before}; $LIB SLABFIT_STATS=1 exec {program}")) else { return };
        assert_eq!((outcome.status.code(), outcome.text().is_empty()), (Some(0), false), "{outcome:#?}");
        assert_eq!(fs::metadata(&file).expect("it is there").len(), 2048);
    }
}

/// A child's file begins with all that its parent's has, which may be more than there is room for by then.
#[test]
fn a_childs_trace_larger_than_files_may_be_ends_no_program() {
    let Some(program) = compiled("cc", "limited_child.c", "limited_child", &c(&[])) else { return };
    let folder = fresh_folder("limited-child");
    let outcome = program.with("SLABFIT_TRACE", folder.join("%p.rep")).run_preloaded("16M");
    goes_on(&outcome, "slabfit: the trace ends here: files may not be larger (see ulimit -f)\n");
}

#[test]
fn a_library_that_is_loaded_often_is_mapped_once_and_never_goes() {
    let Some(program) = compiled("cc", "opened_often.c", "opened_often", &c(&[])) else { return };
    let picture = fresh_folder("opened-often").join("out.svg");
    let program = program.arguments([&library(), &picture]).with("SLABFIT_HEAP", "64M");
    let outcome = program.with("SLABFIT_MAP", &picture).with("SLABFIT_MAP_SIGNAL", "USR1").run();
    goes_on(&outcome, "");
}

#[test]
fn a_number_that_the_program_has_for_a_file_of_its_own_is_left_alone() {
    let Some(program) = compiled("cc", "own_numbers.c", "own_numbers", &c(&[])) else { return };
    let folder = fresh_folder("own-numbers");
    let file = folder.join("file");
    let is_untouched = || assert_eq!(fs::read_to_string(&file).expect("it is there"), "mine");
    let program = program.arguments([&file]);
    // The report, which a test run has in any case, goes where standard error is now.
    let outcome = program.run_preloaded("1M");
    goes_on(&outcome, "");
    assert_eq!(outcome.reports.len(), 1, "{outcome:#?}");
    is_untouched();
    // So does what is said of a picture, at exit and on request.
    let picture = program.clone().with("SLABFIT_MAP", "/%n/map");
    goes_on(&picture.run_preloaded("1M"), "slabfit: no picture: cannot open /1/map: os error 2\n");
    is_untouched();
    let picture = picture.arguments(["now"]).with("SLABFIT_MAP_SIGNAL", "USR1");
    goes_on(&picture.run_preloaded("1M"), "slabfit: no picture: cannot open /1/map: os error 2\n");
    is_untouched();
    // A trace is opened again by its name.
    let trace = folder.join("trace.rep");
    goes_on(&program.with("SLABFIT_TRACE", &trace).run_preloaded("1M"), "");
    is_untouched();
    assert!(fs::read_to_string(&trace).expect("it is there").ends_with("\n#end\n"));
}

#[test]
fn errno_stays_what_it_was_when_a_picture_cannot_be_made() {
    let Some(program) = compiled("cc", "errno_kept.c", "errno_kept", &c(&[])) else { return };
    let fifo = fifo("errno-fifo");
    for (name, why) in
        [("/%n/map", libc::ENOENT), ("/dev/.", libc::EISDIR), (fifo.to_str().expect("text"), libc::ENXIO)]
    {
        let outcome = program.clone().with("SLABFIT_MAP", name).with("SLABFIT_MAP_SIGNAL", "USR1").run_preloaded("1M");
        let said = format!("slabfit: no picture: cannot open {}: os error {why}\n", name.replace("%n", "1"));
        goes_on(&outcome, &said.repeat(3));
    }
}
