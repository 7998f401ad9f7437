//! The report at exit, for people and for machines.

use crate::preloaded::{Program, c, compiled, library, number};

#[test]
fn the_figures_are_the_programs() {
    let Some(program) = compiled("cc", "full.c", "full_counted", &c(&[])) else { return };
    let outcome = program.with("SLABFIT_SLAB", "64").with("SLABFIT_PLACEMENT", "first").run_preloaded("1M");
    let [report] = &*outcome.reports else { panic!("{outcome:#?}") };
    assert_eq!(report["program"], "full_counted");
    assert_eq!(report["placement"], "first");
    assert_eq!((number(report, "/heap"), number(report, "/slab_size")), (1 << 20, 64));
    assert_eq!((number(report, "/slab/size"), number(report, "/blocks/size")), (1 << 18, 3 << 18));
    // Every slot was in use at once.
    assert_eq!((number(report, "/slab/peak_objects"), number(report, "/slab/peak_bytes")), (1 << 12, 1 << 18));
    assert!(number(report, "/spilled") > 9_000, "{report}");
    let failed = outcome.sum(report, "failed_full") + outcome.sum(report, "failed_fragmented");
    // Seven requests that the program wants to fail, and the last of each of two fillings.
    assert_eq!(failed, 9, "{report}");
    for segment in ["slab", "blocks"] {
        let figure = |name| number(report, &format!("/{segment}/{name}"));
        assert_eq!(figure("allocs") - figure("frees"), figure("live_objects"), "{report}");
        assert_eq!(figure("live_bytes") + figure("free_bytes"), figure("size"), "{report}");
        assert!(figure("live_bytes") <= figure("peak_bytes") && figure("largest_free") <= figure("free_bytes"));
    }
}

#[test]
fn figures_of_size_classes_add_up() {
    let Some(program) = compiled("cc", "full.c", "full_of_slots", &c(&[])) else { return };
    let full = program.run_preloaded("1M");
    let Some(program) = compiled("cc", "small.c", "small_counted", &c(&[])) else { return };
    let small = program.arguments(["general"]).run_preloaded("4M");
    for outcome in [&full, &small] {
        let [report] = &*outcome.reports else { panic!("{outcome:#?}") };
        assert_eq!((&report["placement"], number(report, "/slab/size")), (&"general".into(), 0));
        let classes = report["classes"].as_array().expect("a list");
        let sum = |name| classes.iter().map(|class| class[name].as_u64().expect("a number")).sum::<u64>();
        let figure = |name| number(report, &format!("/blocks/{name}"));
        assert_eq!(sum("allocs") - sum("frees"), sum("live_objects"), "{report}");
        assert_eq!(number(report, "/live_objects"), figure("live_objects") - sum("runs") + sum("live_objects"));
        assert_eq!(number(report, "/requests"), figure("allocs") - sum("opened") + sum("allocs"));
        let free = |class: &serde_json::Value| {
            let [size, slots, live] =
                ["slot_size", "slots", "live_objects"].map(|name| class[name].as_u64().unwrap_or(0));
            size * (slots - live)
        };
        assert_eq!(number(report, "/live_bytes"), figure("live_bytes") - classes.iter().map(free).sum::<u64>());
        assert_eq!(figure("live_bytes") + figure("free_bytes"), figure("size"), "{report}");
    }
    // Nearly all of it was slots of 64 bytes at once.
    let class = &full.reports[0]["classes"][3];
    assert_eq!(class["slot_size"], 64);
    assert!(class["peak_runs"].as_u64() > Some(15_000 / 16), "{class}");
    assert_eq!(full.sum(&full.reports[0], "failed_full") + full.sum(&full.reports[0], "failed_fragmented"), 9);
}

#[test]
fn a_person_can_read_what_size_classes_have() {
    let Some(program) = compiled("cc", "small.c", "small_told", &c(&[])) else { return };
    let outcome = program.arguments(["general"]).with("SLABFIT_STATS", "1").run_preloaded("4M");
    let heading = outcome.stderr.lines().find(|line| line.contains("]: heap of "));
    assert!(heading.is_some_and(|line| line.ends_with("]: heap of 4,194,304 bytes, size classes and first fit")));
    let lines: Vec<_> = outcome.stderr.lines().skip_while(|line| !line.starts_with("  slots of")).collect();
    let [columns, rows @ .., totals, caches, last] = &*lines else { panic!("{outcome:#?}") };
    let columns: Vec<_> = columns.split_whitespace().collect();
    assert_eq!(columns, ["slots", "of", "runs", "at", "peak", "slots", "live", "allocs", "frees"]);
    let sizes: Vec<_> = rows.iter().filter_map(|row| row.split_whitespace().next()).collect();
    assert!(sizes.contains(&"32") && sizes.contains(&"112"), "{outcome:#?}");
    assert!(totals.starts_with("  with slots: ") && totals.ends_with(" requests served"), "{outcome:#?}");
    assert!(caches.starts_with("  caches: 1 of 64, 1 at once at most, with runs of "), "{outcome:#?}");
    assert!(last.starts_with("  every request was served; ") && last.ends_with(" frees were refused"), "{outcome:#?}");
    assert!(outcome.stderr.lines().all(|line| line.len() <= 80), "{outcome:#?}");
}

#[test]
fn settings_are_followed_and_reported() {
    let Some(program) = Program::installed("env") else { return };
    assert_eq!(program.run_preloaded("1M").reports[0]["placement"], "general");
    for placement in ["next", "first", "general"] {
        let program = program.clone().with("SLABFIT_SLAB", "1K").with("SLABFIT_PLACEMENT", placement);
        let outcome = program.run_preloaded("1000000");
        let [report] = &*outcome.reports else { panic!("{outcome:#?}") };
        assert_eq!((number(report, "/heap"), number(report, "/slab_size")), (1_003_520, 1024), "whole pages");
        assert_eq!(report["placement"], placement);
    }
}

#[test]
fn a_person_can_read_it() {
    let Some(program) = Program::installed("env") else { return };
    let program = program.with("SLABFIT_STATS", "1").with("SLABFIT_SLAB", "64").with("SLABFIT_PLACEMENT", "first");
    let outcome = program.run_preloaded("256M");
    let lines: Vec<_> = outcome.stderr.lines().collect();
    let [heading, columns, rows @ ..] = &*lines else { panic!("{outcome:#?}") };
    let name = heading.strip_prefix("slabfit: env[").and_then(|rest| rest.split_once("]: ")).map(|(_, what)| what);
    assert_eq!(name, Some("heap of 268,435,456 bytes, slab size 64, first fit"));
    assert_eq!(columns.split_whitespace().collect::<Vec<_>>(), ["slab", "blocks"]);
    assert_eq!(rows.len(), 17, "{outcome:#?}");
    assert_eq!(rows[16], "  every request was served; no free was refused");
    assert_eq!(rows[0].split_whitespace().collect::<Vec<_>>(), ["size", "67,108,864", "201,326,592"]);
    assert!(lines.iter().all(|line| line.len() <= 80), "{outcome:#?}");
}

#[test]
fn what_went_wrong_is_said_in_its_last_line() {
    let Some(full) = compiled("cc", "full.c", "full_told", &c(&[])) else { return };
    let outcome = full.with("SLABFIT_STATS", "1").with("SLABFIT_SLAB", "64").run_preloaded("1M");
    assert_eq!(outcome.stderr.lines().last(), Some("  9 requests got no memory; no free was refused"));
    let Some(wrong) = compiled("cc", "wrong_free.c", "wrong_free_told", &c(&[])) else { return };
    let outcome = wrong.with("SLABFIT_STATS", "1").run_preloaded("64M");
    // It prints a line for each that it expects.
    let expected = format!("  every request was served; {} frees were refused", outcome.text().lines().count());
    assert_eq!(outcome.stderr.lines().last(), Some(&*expected));
}

#[test]
fn without_the_setting_nothing_is_said() {
    let Some(program) = Program::installed("env") else { return };
    let outcome = program.with("SLABFIT_STATS", "0").run_preloaded("1M");
    assert_eq!((outcome.status.code(), &*outcome.stderr, outcome.reports.len()), (Some(0), "", 0));
}

#[test]
fn a_program_that_has_closed_its_stderr_is_reported() {
    // `bash` closes it for itself, long before the end.
    let Some(bash) = Program::installed("bash") else { return };
    let outcome = bash.clone().arguments(["-c", "exec 2>&-; echo done"]).run_preloaded("16M");
    assert_eq!((&*outcome.text(), outcome.reports.len()), ("done\n", 1), "{outcome:#?}");
    // One that never had any has nobody to report to, and is none the worse for it.
    let script = format!("LD_PRELOAD={} SLABFIT_STATS=1 env echo done 2>&-", library().display());
    let outcome = bash.arguments(["-c", &script]).run();
    assert_eq!((outcome.status.code(), &*outcome.text(), &*outcome.stderr), (Some(0), "done\n", ""));
}

#[test]
fn every_process_reports_for_itself() {
    let Some(bash) = Program::installed("bash") else { return };
    let outcome = bash.arguments(["-c", "(exit 0); (exit 0); true"]).run_preloaded("16M");
    let mut processes: Vec<_> = outcome.reports.iter().map(|report| number(report, "/pid")).collect();
    processes.sort_unstable();
    processes.dedup();
    assert_eq!(processes.len(), 3, "{outcome:#?}");
}

#[test]
fn a_thread_that_only_frees_has_a_cache_as_well_and_gives_it_back() {
    let Some(program) = compiled("cc", "consumer.c", "consumer", &c(&["-pthread"])) else { return };
    let outcome = program.run_preloaded("64M");
    assert!(outcome.status.success() && outcome.stdout.is_empty(), "{outcome:#?}");
    let caches = &outcome.reports[0]["caches"];
    assert_eq!((&caches["made"], &caches["attached"]), (&2.into(), &1.into()), "{outcome:#?}");
    let live: u64 = outcome.reports[0]["classes"].as_array().into_iter().flatten().map(live_objects).sum();
    // What libc has for itself.
    assert!(live < 100, "{outcome:#?}");
}

fn live_objects(class: &serde_json::Value) -> u64 {
    class["live_objects"].as_u64().expect("a figure")
}
