//! `SLABFIT_TRACE_STACK`: who asked for an object is in the trace, and `leaks` says it.

use std::process::Command;

use crate::preloaded::{Program, c, compiled, scratch};
use crate::recording::read;

/// The program, whose functions keep frame pointers, with one of its parts, and so many addresses of each call recorded.
fn recorded(part: &str, addresses: &str) -> Option<String> {
    let options = ["-fno-omit-frame-pointer", "-fno-optimize-sibling-calls"];
    let program = compiled("cc", "sites.c", &format!("sites_{part}_{addresses}"), &c(&options))?;
    let trace = scratch().join(format!("sites_{part}_{addresses}.rep.zst"));
    let program = program.with("SLABFIT_TRACE", &trace).with("SLABFIT_TRACE_STACK", addresses);
    let outcome = program.arguments([part]).run_preloaded("64M");
    assert!(outcome.status.success() && outcome.stderr.is_empty(), "{outcome:#?}");
    Some(trace.into_os_string().into_string().expect("a name of letters"))
}

fn leaks(trace: &str) -> String {
    let tester =
        Command::new(env!("CARGO_BIN_EXE_tester")).args(["leaks", trace, "--top", "100"]).output().expect("it starts");
    assert!(tester.status.success(), "{tester:?}");
    String::from_utf8(tester.stdout).expect("text")
}

/// The frames that stand below a line, without how far into each function they are.
fn frames(text: &str, line: &str) -> Vec<String> {
    let below = text.lines().skip_while(|found| found.trim() != line).skip(1);
    let frames = below.take_while(|line| line.starts_with("    "));
    let frames =
        frames.map(|line| line.trim().split_once('+').unwrap_or_else(|| panic!("{line} is no frame in\n{text}")).0);
    frames.map(str::to_owned).collect()
}

#[test]
fn leaks_name_the_functions_that_asked() {
    let Some(trace) = recorded("frames", "3") else { return };
    let text = leaks(&trace);
    assert_eq!(frames(&text, "1,000 bytes in 1 object"), ["inner", "outer", "main"], "{text}");
    for size in ["2,000", "2,001", "2,002", "2,003", "2,048", "2,005"] {
        let frames = frames(&text, &format!("{size} bytes in 1 object"));
        assert_eq!(frames.get(..2), Some(["family", "main"].map(str::to_owned).as_slice()), "{size} in\n{text}");
    }
}

#[test]
fn so_many_addresses_are_recorded_as_were_asked_for() {
    let Some(trace) = recorded("frames", "1") else { return };
    let text = leaks(&trace);
    assert_eq!(frames(&text, "1,000 bytes in 1 object"), ["inner"], "{text}");
    let Some(trace) = recorded("frames", "0") else { return };
    assert!(!leaks(&trace).contains("by the call"), "none were asked for");
    assert!(
        read(trace.as_ref()).recorded().is_some_and(|recorded| recorded.sites.is_empty() && recorded.code.is_empty())
    );
}

#[test]
fn a_threads_stack_is_followed_to_its_start() {
    let Some(trace) = recorded("thread", "16") else { return };
    let text = leaks(&trace);
    let frames = frames(&text, "1,000 bytes in 1 object");
    assert_eq!(frames.get(..3), Some(["inner", "outer", "other_thread"].map(str::to_owned).as_slice()), "{text}");
}

#[test]
fn a_frame_pointer_that_is_none_ends_the_list_and_not_the_program() {
    let Some(trace) = recorded("garbage", "16") else { return };
    let trace = read(trace.as_ref());
    let recorded = trace.recorded().expect("a recording");
    let most = recorded.sites.iter().map(Vec::len).max();
    assert!(cfg!(not(target_arch = "x86_64")) || most.is_some_and(|most| most < 10), "{:#x?}", recorded.sites);
}

/// Code without frame pointers, as most of it is: the first address is right all the same.
#[test]
fn the_first_address_needs_no_frame_pointers() {
    let Some(ls) = Program::installed("ls") else { return };
    let trace = scratch().join("sites_ls.rep");
    let outcome =
        ls.arguments(["/"]).with("SLABFIT_TRACE", &trace).with("SLABFIT_TRACE_STACK", "4").run_preloaded("64M");
    assert!(outcome.status.success() && outcome.stderr.is_empty(), "{outcome:#?}");
    let trace = read(&trace);
    let recorded = trace.recorded().expect("a recording");
    assert!(recorded.sites.len() > 10);
    for site in &recorded.sites {
        let code = recorded.code.iter().find(|code| (code.start..code.end).contains(&site[0]));
        let code = code.unwrap_or_else(|| panic!("{site:#x?} is in none of {:#x?}", recorded.code));
        assert!(!code.file.contains("libmem_preload"), "{site:#x?} is the library's own");
    }
}

#[test]
fn addresses_without_a_trace_are_refused() {
    let Some(env) = Program::installed("env") else { return };
    let outcome = env.clone().with("SLABFIT_TRACE_STACK", "4").run_preloaded("64M");
    assert_eq!(outcome.status.code(), Some(127), "{outcome:#?}");
    assert!(outcome.stderr.contains("SLABFIT_TRACE_STACK=4: not a number from 0 to 16, with SLABFIT_TRACE beside it"));
    for wrong in ["17", "x", "4K"] {
        let outcome =
            env.clone().with("SLABFIT_TRACE", "refused.rep").with("SLABFIT_TRACE_STACK", wrong).run_preloaded("64M");
        assert_eq!(outcome.status.code(), Some(127), "{outcome:#?}");
    }
}
