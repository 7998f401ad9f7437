//! The rest of the malloc family: what tells of the heap, and what frees with a size.

use std::os::unix::process::ExitStatusExt;

use crate::preloaded::{c, compiled, skipped};

const ABORTED: i32 = 6;

#[test]
fn what_tells_of_the_heap_tells_the_truth() {
    let Some(program) = compiled("cc", "figures.c", "figures", &c(&["-Wno-deprecated-declarations"])) else { return };
    let outcome = program.run_preloaded("64M");
    assert_eq!((outcome.status.code(), &*outcome.text()), (Some(0), ""), "{outcome:#?}");
    let lines: Vec<_> = outcome.stderr.lines().collect();
    let figures = |lines: &[&str]| {
        let number = |line: &&str| line.split_once('=').and_then(|(_, number)| number.trim().parse().ok());
        lines.iter().filter_map(number).collect::<Vec<u64>>()
    };
    assert_eq!((lines[0], lines[3], lines.len()), ("Arena 0:", "Total (incl. mmap):", 8), "{outcome:#?}");
    let [size, used] = figures(&lines[1..3])[..] else { panic!("{outcome:#?}") };
    assert!(size == 64 << 20 && (1000..1 << 20).contains(&used), "{outcome:#?}");
    assert_eq!(figures(&lines[4..]), [size, used, 0, 0]);
}

#[test]
fn figures_of_a_heap_with_a_slab_are_of_both_parts() {
    let Some(program) = crate::preloaded::Program::installed("python3") else { return };
    let script = "import ctypes; f = ctypes.CDLL(None).mallinfo2\n\
        class Info(ctypes.Structure): _fields_ = [(name, ctypes.c_size_t) for name in 'abcdefghij']\n\
        f.restype = Info; i = f(); print(i.a, i.g, i.h + i.i)";
    let program = program.arguments(["-c", script]).with("SLABFIT_SLAB", "1G");
    let outcome = program.clone().with("SLABFIT_PLACEMENT", "first").run_preloaded("64M");
    // Slots that are larger than the slab: there are none.
    assert_eq!(outcome.text(), format!("{} 0 {}\n", 64 << 20, 48 << 20), "{outcome:#?}");
    // With size classes there are some in runs.
    let text = program.run_preloaded("64M").text();
    let figures: Vec<usize> = text.split_whitespace().map(|figure| figure.parse().expect("a figure")).collect();
    assert_eq!((figures[0], figures[2]), (64 << 20, 48 << 20));
    assert!((1000..1 << 20).contains(&figures[1]), "{text}");
}

#[test]
fn a_free_with_a_wrong_size_is_refused_and_named() {
    let Some(program) = compiled("cc", "sized.c", "sized", &c(&[])) else { return };
    for placement in ["general", "first", "next"] {
        let outcome = program.clone().with("SLABFIT_PLACEMENT", placement).run_preloaded("64M");
        assert!(outcome.status.success() && !outcome.stdout.is_empty(), "{outcome:#?}");
        assert_eq!(outcome.stderr, outcome.text());
    }
    let outcome = program.with("SLABFIT_ABORT", "1").run_preloaded("64M");
    assert_eq!(outcome.status.signal().or(outcome.status.code().map(|code| code - 128)), Some(ABORTED), "{outcome:#?}");
    assert_eq!((outcome.stderr.lines().count(), &*outcome.stderr), (1, &*outcome.text()), "{outcome:#?}");
}

#[test]
fn what_was_freed_goes_back_to_the_kernel_whoever_has_seen_it_live() {
    let Some(program) = compiled("cc", "trimmed_large.c", "trimmed_large", &c(&[])) else { return };
    for placement in ["general", "first", "next"] {
        let outcome = program.clone().with("SLABFIT_PLACEMENT", placement).run_preloaded("512M");
        let told = (outcome.status.code(), &*outcome.text(), &*outcome.stderr);
        assert_eq!(told, (Some(0), "", ""), "{outcome:#?}");
    }
}

#[test]
fn a_gap_is_found_through_every_level_of_the_maxima() {
    let Some(program) = compiled("cc", "levels.c", "levels", &c(&[])) else { return };
    for heap in ["256K", "1M", "16M", "256M", "1G", "4G"] {
        for placement in ["general", "first", "next"] {
            let outcome = program.clone().with("SLABFIT_PLACEMENT", placement).run_preloaded(heap);
            if outcome.stderr.ends_with("the system is out of memory\n") {
                skipped(&format!("room for a heap of {heap}"));
                continue;
            }
            let told = (outcome.status.code(), &*outcome.text(), &*outcome.stderr);
            assert_eq!(told, (Some(0), "", ""), "{heap}: {outcome:#?}");
        }
    }
}
