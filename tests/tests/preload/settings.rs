//! The settings: what is said of wrong ones, the table of all of them, and who is not asked for any.

use std::fs;
use std::os::unix::fs::{PermissionsExt, chown};

use crate::preloaded::{Program, c, compiled, fresh_folder, library, skipped, sources};

#[test]
fn a_name_that_is_no_settings_is_said_and_which_one_may_be_meant() {
    let Some(program) = Program::installed("env") else { return };
    for (name, said) in [
        ("SLABFIT_HAEP", "is not a setting; did you mean SLABFIT_HEAP?"),
        ("SLABFIT_HEAPS", "is not a setting; did you mean SLABFIT_HEAP?"),
        ("SLABFIT_Heap", "is not a setting; did you mean SLABFIT_HEAP?"),
        ("SLABFIT_TRACES", "is not a setting; did you mean SLABFIT_TRACE?"),
        ("SLABFIT_MAPSIGNAL", "is not a setting; did you mean SLABFIT_MAP_SIGNAL?"),
        ("SLABFIT_COLOUR", "is not a setting; SLABFIT_HELP=1 lists all of them"),
        ("SLABFIT_", "is not a setting; SLABFIT_HELP=1 lists all of them"),
        ("SLABFIT_AND_A_NAME_THAT_IS_LONGER_THAN_ANY", "is not a setting; SLABFIT_HELP=1 lists all of them"),
    ] {
        let outcome = program.clone().with(name, "1M").run_preloaded("2M");
        // The program runs: the name may be of something else.
        assert_eq!(outcome.stderr, format!("slabfit: {name} {said}\n"), "{outcome:#?}");
        assert_eq!((outcome.status.code(), &outcome.reports[0]["heap"]), (Some(0), &(2 << 20).into()));
    }
    // Names that only begin alike are no settings.
    let outcome = program.with("SLABFITX", "1").with("SLABFI", "1").run_preloaded("1M");
    assert_eq!((outcome.status.code(), &*outcome.stderr), (Some(0), ""));
}

#[test]
fn a_heap_of_a_number_without_a_unit_is_bytes_if_there_are_enough_of_them() {
    let Some(program) = Program::installed("env") else { return };
    for heap in ["256", "512", "65535"] {
        let outcome = program.run_preloaded(heap);
        let start = format!("slabfit: SLABFIT_HEAP={heap}: not bytes from 1 to 64G with a unit, as 256M or 2GiB;");
        assert!(outcome.status.code() == Some(127) && outcome.stderr.starts_with(&start), "{outcome:#?}");
    }
    for (heap, bytes) in [("65536", 1 << 16), ("1000000", 1_003_520), ("64k", 1 << 16), ("65536b", 1 << 16)] {
        let outcome = program.run_preloaded(heap);
        assert_eq!((outcome.status.code(), &outcome.reports[0]["heap"]), (Some(0), &bytes.into()), "{outcome:#?}");
    }
}

#[test]
fn a_folder_that_is_not_there_is_said_at_once_and_nothing_runs() {
    let Some(program) = Program::installed("env") else { return };
    for (name, value, why) in [
        ("SLABFIT_MAP", "/nope/x.svg", "there is no such folder"),
        ("SLABFIT_MAP", "nope/x.svg", "there is no such folder"),
        ("SLABFIT_MAP", "/dev/null/%p.svg", "there is no such folder"),
        ("SLABFIT_TRACE", "/nope/x.rep", "no trace: there is no such folder"),
        ("SLABFIT_TRACE", "/nope/%p.rep", "no trace: there is no such folder"),
    ] {
        let outcome = program.clone().with(name, value).run_preloaded("1M");
        let told = (outcome.status.code(), &*outcome.text(), &*outcome.stderr);
        assert_eq!(told, (Some(127), "", &*format!("slabfit: {name}={value}: {why}\n")), "{outcome:#?}");
    }
}

#[test]
fn the_table_of_all_settings_prints_itself_in_place_of_the_program() {
    let Some(program) = Program::installed("env") else { return };
    let outcome = program.with("SLABFIT_HELP", "1").run_preloaded("1M");
    assert_eq!((outcome.status.code(), &*outcome.stderr, outcome.reports.len()), (Some(0), "", 0), "{outcome:#?}");
    let text = outcome.text();
    let names = text.lines().filter(|line| line.starts_with("SLABFIT_")).collect::<Vec<_>>();
    let documented = fs::read_to_string(sources().join("../../platform-linux/preload/src/lib.rs"));
    let documented = documented.expect("the sources are there");
    let rows = documented.lines().filter_map(|line| line.strip_prefix("//! | `")?.split('`').next());
    let rows = rows.filter(|name| name.starts_with("SLABFIT_")).collect::<Vec<_>>();
    assert_eq!(names, rows, "the documents name the same");
    assert_eq!(text.matches("    if absent: ").count(), names.len());
    assert_eq!(text.matches("    value: ").count(), names.len());
}

#[test]
fn there_is_no_slab_unless_one_is_asked_for() {
    let Some(program) = compiled("cc", "full.c", "full_without_slab", &c(&[])) else { return };
    for program in [program.clone(), program.clone().with("SLABFIT_SLAB", "0")] {
        for placement in ["general", "first", "next"] {
            let outcome = program.clone().with("SLABFIT_PLACEMENT", placement).run_preloaded("1M");
            assert_eq!((outcome.status.code(), &*outcome.stderr), (Some(0), ""), "{outcome:#?}");
            let report = &outcome.reports[0];
            assert_eq!((&report["slab_size"], &report["slab"]["size"]), (&0.into(), &0.into()));
            assert_eq!(report["blocks"]["size"], 1 << 20, "all of the heap is to be had");
        }
    }
}

#[test]
fn a_hardened_heap_refuses_what_it_cannot_be_and_takes_no_notice_of_slabs_and_caches() {
    let Some(program) = Program::installed("env") else { return };
    let program = program.with("SLABFIT_HARDEN", "1");
    for (name, value, why) in [
        ("SLABFIT_PLACEMENT", "next", "not beside SLABFIT_HARDEN=1"),
        ("SLABFIT_TRACE", "none.rep", "not beside SLABFIT_HARDEN=1, whose addresses are random"),
        ("SLABFIT_HARDEN", "2", "not 0 or 1"),
    ] {
        let outcome = program.clone().with(name, value).run_preloaded("1M");
        let told = (outcome.status.code(), &*outcome.text(), &*outcome.stderr);
        assert_eq!(told, (Some(127), "", &*format!("slabfit: {name}={value}: {why}\n")), "{outcome:#?}");
    }
    for placement in ["general", "first"] {
        let program = program.clone().with("SLABFIT_PLACEMENT", placement);
        let outcome = program.with("SLABFIT_SLAB", "64").with("SLABFIT_CACHE", "7").run_preloaded("1M");
        outcome.was_served();
        let report = &outcome.reports[0];
        assert_eq!((&report["placement"], &report["hardened"]), (&placement.into(), &true.into()));
        assert_eq!((&report["slab_size"], &report["caches"]["most"]), (&0.into(), &0.into()));
    }
    let outcome = program.with("SLABFIT_HARDEN", "0").run_preloaded("1M");
    assert_eq!((outcome.status.code(), &outcome.reports[0]["hardened"]), (Some(0), &false.into()));
}

#[test]
fn the_whole_process_stays_below_a_limit_that_is_asked_for() {
    let Some(python) = Program::installed("python3") else { return };
    let script = "import mmap, resource\n\
        print(resource.getrlimit(resource.RLIMIT_DATA)[0])\n\
        mmap.mmap(-1, 1 << 20, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)\n\
        try: mmap.mmap(-1, 300 << 20, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)\n\
        except OSError as error: print(error.errno)";
    let python = python.arguments(["-c", script]);
    let outcome = python.clone().with("SLABFIT_DATA", "256M").run_preloaded("32M");
    assert_eq!((&*outcome.text(), &*outcome.stderr), ("268435456\n12\n", ""), "{outcome:#?}");
    // Without it a cap of the heap is none of the process.
    let outcome = python.clone().run_preloaded("32M");
    assert_eq!(outcome.text(), "-1\n", "{outcome:#?}");
    for (value, why) in [
        ("16M", "less than the heap, 33554432 bytes"),
        ("300", "not bytes with a unit"),
        ("x", "not bytes with a unit"),
    ] {
        let outcome = python.clone().with("SLABFIT_DATA", value).run_preloaded("32M");
        let said = format!("slabfit: SLABFIT_DATA={value}: {why}");
        assert!(outcome.status.code() == Some(127) && outcome.stderr.starts_with(&said), "{outcome:#?}");
    }
}

/// Of a program with more rights than who starts it nobody makes files with those, or another heap.
#[test]
fn a_program_with_more_rights_than_its_user_obeys_nothing_of_the_environment() {
    const OTHER: u32 = 65_534;
    let folder = fresh_folder("privileged");
    let copy = folder.join("libmem_preload.so");
    fs::copy(library(), &copy).expect("target can be written to");
    // By its path: nothing else is looked for in the name of such a program. And first, as it is in front of libc.
    let path = format!("-Wl,-rpath,{}", folder.display());
    let mut options = c(&["-Wl,--no-as-needed", &path]);
    options.push(copy.as_os_str());
    let Some(program) = compiled("cc", "privileged.c", "privileged/linked", &options) else { return };
    let path = program.path().to_owned();
    let run = |program: &Program| {
        let [map, trace] = ["map.svg", "trace.rep"].map(|name| folder.join(name));
        let victim = folder.join("victim");
        fs::write(&victim, "the other user's").expect("target can be written to");
        let program = program.clone().with("SLABFIT_MAP", &map).with("SLABFIT_TRACE", &trace);
        let program = program.with("SLABFIT_HEAP", "1M").with("SLABFIT_ABORT", "1").with("SLABFIT_STATS", "1");
        let outcome = program.clone().with("SLABFIT_UNKNOWN", "1").run();
        let over = program.with("SLABFIT_MAP", &victim).with("SLABFIT_TRACE", &victim).run();
        let made = [map.exists(), trace.exists()];
        (outcome, over, made, fs::read_to_string(&victim).is_ok_and(|text| text == "the other user's"))
    };
    let (plain, _, made, untouched) = run(&program);
    assert_eq!((&*plain.text(), made, untouched), ("0\n", [true, true], false), "it obeys its own user: {plain:#?}");
    for file in ["map.svg", "trace.rep"] {
        fs::remove_file(folder.join(file)).expect("it was made");
    }
    // As anybody but root cannot give a file away, a group of one's own would have to do.
    if chown(&path, Some(OTHER), None).is_err() {
        return skipped("right to give a file to another user");
    }
    fs::set_permissions(&path, fs::Permissions::from_mode(0o4755)).expect("it is ours");
    fs::set_permissions(&folder, fs::Permissions::from_mode(0o777)).expect("it is ours");
    let (privileged, over, made, untouched) = run(&program);
    if privileged.text() == "0\n" {
        return skipped("file system that knows the set-user-ID bit");
    }
    assert_eq!((privileged.status.code(), &*privileged.text(), &*privileged.stderr), (Some(0), "1\n", ""));
    assert_eq!((over.status.code(), &*over.stderr), (Some(0), ""), "{over:#?}");
    assert_eq!((made, untouched), ([false, false], true));
}
