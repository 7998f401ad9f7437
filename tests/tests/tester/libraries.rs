//! The tester on `libmem.so`, and on libraries that are broken in every way that matters.

use std::env;
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use crate::tester_common::{Run, file, tester, text};

/// What every broken library has that is not its fault: a heap of up to 64 KiB, whose block segment `take` serves
/// once from its first byte to its last.
const BASICS: &str = r#"
    #include <stddef.h>
    #include <stdio.h>
    #include <stdlib.h>
    static _Alignas(4096) char heap[65536];
    static size_t used, end;
    void *Mem_Init(int size, int slab) {
        if (size <= 0 || slab <= 0 || end != 0 || (size_t)size > sizeof heap) return NULL;
        end = ((size_t)size + 4095) / 4096 * 4096;
        used = end / 4;
        return heap;
    }
    static void *take(int size) {
        size_t need = 16 + ((size_t)size + 15) / 16 * 16;
        if (size <= 0 || need > end - used) return NULL;
        used += need;
        return heap + used - need + 16;
    }
"#;

/// Compiles a library out of [`BASICS`] and `source`; `None`, and a line that nobody overlooks, without a C compiler.
fn compile(name: &str, source: &str) -> Option<PathBuf> {
    let compiler = env::var("CC").unwrap_or_else(|_| "cc".to_owned());
    let (source, library) = (file(&format!("{name}.c"), format!("{BASICS}{source}")), file(&format!("{name}.so"), ""));
    let mut command = Command::new(&compiler);
    command.args(["-shared", "-fPIC", "-O1", "-w", "-o"]).arg(&library).arg(&source);
    let Ok(output) = command.output() else {
        eprintln!("SKIPPED: there is no {compiler}");
        return None;
    };
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Some(library)
}

fn test_library(name: &str, source: &str, arguments: &[&str]) -> Option<Run> {
    let library = compile(name, source)?;
    Some(tester(&[&["64K", "--lib", text(&library)], arguments].concat()))
}

#[test]
fn libmem_satisfies_every_suite() {
    // Beside this test's own executable: cargo builds the libraries of a dependency there.
    let built = env::current_exe().expect("a test has an executable").with_file_name("libmem.so");
    let library = env::var_os("SLABFIT_LIBMEM").map_or(built, PathBuf::from);
    let run = tester(&["1MiB", "--lib", text(&library)]);
    run.holds()
        .says(&[&format!("{}: a heap of 1,048,576 bytes", library.display()), "stress: 4 threads, 400,000 operations"]);
    tester(&["64MiB", "--lib", text(&library), "--only", "traces"]).holds();
    // It tells why requests fail, in as many words as slabfit's own heap.
    let traces = |arguments: &[&str]| {
        let run = tester(&[&["64K", "--only", "traces"][..], arguments].concat());
        let told = |line: &&str| line.contains(" requests ");
        run.holds().stdout.lines().filter(told).map(str::to_owned).collect::<Vec<_>>()
    };
    let (own, of_library) = (traces(&[]), traces(&["--lib", text(&library)]));
    assert!(own.len() == 4 && own.iter().any(|line| line.contains("fragmented")), "{own:#?}");
    assert_eq!(own.len(), of_library.len());
    assert!(!of_library.iter().any(|line| line.contains("no reason")), "{of_library:#?}");
}

#[test]
fn a_library_that_says_no_reason_is_said_to_say_none() {
    let source = r"
        static int live;
        void *Mem_Alloc(int size) { void *object = take(size); live += object != NULL; return object; }
        int Mem_Free(void *address) { if (--live == 0) used = end / 4; return 0; }
    ";
    let trace = file("too_much.rep", "a 0 10\na 1 60000\nf 1\nf 0\n");
    let arguments = ["--only", "traces", "--trace", text(&trace)];
    let Some(run) = test_library("silent", source, &arguments) else { return };
    run.holds()
        .says(&["too_much: of 2 requests 1 failed (once the library gave no reason); 1 operation on an object "]);
}

#[test]
fn what_has_nothing_to_show_has_no_heading() {
    let source = r"
        void *Mem_Alloc(int size) { return heap; }
        int Mem_Free(void *address) { return 0; }
    ";
    let Some(run) = test_library("one_place", source, &["--only", "traces"]) else { return };
    run.fails(&["\ntraces\n  FAILED: gitlog\n"]);
    assert!(!run.stdout.contains("ns/op") && !run.stdout.contains("X used"), "{}", run.stdout);
}

#[test]
fn a_library_that_cannot_be_loaded_is_refused() {
    let path = file("text.so", "no library");
    let run = tester(&["64K", "--lib", text(&path)]);
    run.refuses(&format!("cannot load the library: {}: file too short", path.display()));
    let missing = path.with_file_name("missing.so");
    let why = "cannot open shared object file: No such file or directory";
    tester(&["64K", "--lib", text(&missing)])
        .refuses(&format!("cannot load the library: {}: {why}", missing.display()));
}

#[test]
fn a_library_without_one_of_the_functions_is_refused() {
    let source = "void *Mem_Alloc(int size) { return take(size); }";
    let Some(library) = compile("without_free", source) else { return };
    let run = tester(&["64K", "--lib", text(&library)]);
    run.refuses(&format!("cannot load the library: {}: undefined symbol: Mem_Free", library.display()));
}

#[test]
fn a_library_that_crashes_fails_with_the_signal_and_the_call() {
    let source = r"
        void *Mem_Alloc(int size) { *(volatile int *)0 = 1; return NULL; }
        int Mem_Free(void *address) { return -(address != NULL); }
    ";
    let Some(run) = test_library("crashes", source, &[]) else { return };
    run.fails(&[
        "crashes.so: a heap of 65,536 bytes",
        "the library crashed: SIGSEGV, in Mem_Alloc(1), call 1",
        "  FAILED: gitlog\n    the library crashed: SIGSEGV, in Mem_Alloc(5), call 2, at operation 1, 'a 0 5'",
        "  FAILED: threads that allocate, pass on, verify and free\n    the library crashed: SIGSEGV, in Mem_Alloc(",
    ]);
}

#[test]
fn the_last_words_of_a_library_are_passed_on() {
    let source = r#"
        void *Mem_Alloc(int size) { return take(size); }
        int Mem_Free(void *address) { puts("to stdout"); fputs("mem.c:17: no such block\n", stderr); abort(); }
    "#;
    let Some(run) = test_library("aborts", source, &["--only", "traces"]) else { return };
    run.fails(&[
        "the library crashed: SIGABRT, in Mem_Free(base + 16400), call 3, at operation 2, 'f 0'",
        "\n    stderr: mem.c:17: no such block\n",
    ]);
    assert!(!run.stdout.contains("to stdout"), "{}", run.stdout);
}

#[test]
fn a_library_that_crashes_while_it_is_loaded_fails() {
    let source = r"
        __attribute__((constructor)) static void crash(void) { abort(); }
        void *Mem_Alloc(int size) { return take(size); }
        int Mem_Free(void *address) { return 0; }
    ";
    let Some(run) = test_library("crashes_at_once", source, &[]) else { return };
    run.fails(&["FAILED: the library can be loaded\n    the library crashed: SIGABRT, not in one of its functions\n"]);
}

#[test]
fn a_library_that_ends_the_process_fails() {
    let source = r"
        void *Mem_Alloc(int size) { exit(0); }
        int Mem_Free(void *address) { return 0; }
    ";
    let Some(run) = test_library("exits", source, &["--only", "stress"]) else { return };
    run.fails(&["the library ended the process with exit status 0, in Mem_Alloc("]);
}

#[test]
fn a_library_that_hangs_fails_and_is_given_up_after_three_times() {
    let source = r"
        void *Mem_Alloc(int size) { for (volatile int i = 0;; i++) ; }
        int Mem_Free(void *address) { return 0; }
    ";
    let start = Instant::now();
    let Some(run) = test_library("hangs", source, &["--time-limit", "1"]) else { return };
    assert!(start.elapsed() < Duration::from_secs(30), "three times a second is not {:?}", start.elapsed());
    run.fails(&[
        "the library hangs: no call has returned for 1 s, in Mem_Alloc(1), call 1\n",
        " scenarios hold; ",
        " were not tried\n",
        "FAILED: the test comes to its end\n    the library hung in 3 steps, and is tried no further\n",
    ]);
}

#[test]
fn a_library_that_deadlocks_some_threads_fails() {
    let source = r"
        #include <pthread.h>
        static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
        static int calls;
        void *Mem_Alloc(int size) {
            pthread_mutex_lock(&lock);
            void *object = take(size);
            if (++calls != 100) pthread_mutex_unlock(&lock);
            return object;
        }
        int Mem_Free(void *address) { return 0; }
    ";
    let Some(run) = test_library("deadlocks", source, &["--only", "stress", "--time-limit", "1"]) else { return };
    run.fails(&["the library hangs: no call has returned for 1 s, in Mem_Alloc("]);
}

#[test]
fn a_library_that_hands_out_overlapping_memory_fails() {
    let source = r"
        void *Mem_Alloc(int size) {
            void *object = take(size);
            if (object) used -= 32;
            return object;
        }
        int Mem_Free(void *address) { return 0; }
    ";
    let Some(run) = test_library("overlaps", source, &[]) else { return };
    run.fails(&[
        "inside the live",
        "its memory was handed out twice or written to",
        "FAILED: sqlite\n    at operation ",
        "FAILED: threads that allocate, pass on, verify and free\n    byte ",
    ]);
}

#[test]
fn a_library_that_never_frees_fails() {
    let source = r"
        void *Mem_Alloc(int size) { return take(size); }
        int Mem_Free(void *address) { return 0; }
    ";
    let Some(run) = test_library("never_frees", source, &[]) else { return };
    run.fails(&[
        "a block that is free already, must return -1, but returned 0",
        "everything is freed, yet 49136 bytes, all that next fit has, are refused",
    ]);
}

#[test]
fn a_library_that_serves_memory_outside_its_heap_fails_without_a_write_to_it() {
    let source = r"
        void *Mem_Alloc(int size) { return heap + sizeof heap - 16; }
        int Mem_Free(void *address) { return 0; }
    ";
    let Some(run) = test_library("outside", source, &["--only", "traces"]) else { return };
    run.fails(&["bytes were served at base + 65520, not inside the heap of 65536 bytes"]);
}

#[test]
fn a_library_that_serves_misaligned_memory_fails() {
    let source = r"
        void *Mem_Alloc(int size) { return heap + 8; }
        int Mem_Free(void *address) { return 0; }
    ";
    let Some(run) = test_library("misaligned", source, &["--only", "stress"]) else { return };
    run.fails(&["bytes were served at base + 8, whose address 0x", " is no multiple of 16"]);
}

#[test]
fn a_library_that_is_not_safe_for_threads_fails() {
    // A call that has looked where memory is free waits for the next call, which is then served the same memory. It
    // does so for 20 ms, and all of them together for 1 s, as with one thread no other call comes.
    let source = r"
        #include <stdatomic.h>
        #include <unistd.h>
        static atomic_int calls;
        static atomic_int waits = 1000;
        void *Mem_Alloc(int size) {
            size_t need = 16 + ((size_t)size + 15) / 16 * 16, at = used;
            if (size <= 0 || need > end - at) return NULL;
            int call = ++calls;
            for (int i = 0; i < 20 && calls == call && waits-- > 0; i++) usleep(1000);
            used = at + need;
            return heap + at + 16;
        }
        int Mem_Free(void *address) { return 0; }
    ";
    let shared = "its memory was handed out twice or written to";
    let Some(run) = test_library("races", source, &["--only", "stress"]) else { return };
    run.fails(&[shared]);
    let Some(run) = test_library("races", source, &["--only", "stress", "--threads", "1"]) else { return };
    assert!(!run.stdout.contains(shared), "{}", run.stdout);
}
