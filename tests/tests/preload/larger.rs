//! Larger programs, unchanged, each beside itself without the library: an editor, an interpreter whose threads compile, a web server
//! and a database server with clients, and a build of this project.

use std::env;
use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};

use crate::preloaded::{Outcome, Program, fresh_folder, scratch, skipped, sources};
use crate::server::free_port;

/// Room for each of them.
const ROOM: &str = "512M";

#[test]
fn an_editor_in_batch_mode() {
    let Some(vim) = Program::installed("vim") else { return };
    let mut text = String::new();
    for i in 0..5000 {
        writeln!(text, "line number {i}").expect("a string takes all");
    }
    let file = scratch().join("edited.txt");
    fs::write(&file, text).expect("target can be written to");
    let script = sources().join("edits.vim");
    let vim = vim.arguments(["-u", "NONE", "-N", "-n", "-es", "-S"]).arguments([script, file]);
    let outcome = vim.runs_unchanged(ROOM);
    outcome.was_served();
    assert!(outcome.text().lines().count() > 5000, "{outcome:#?}");
}

#[test]
fn an_interpreter_with_threads_that_compile() {
    let Some(node) = Program::installed("node") else { return };
    node.arguments([sources().join("threads.js")]).runs_unchanged(ROOM).was_served();
}

#[test]
fn a_web_server_with_clients() {
    let Some(python) = Program::installed("python3") else { return };
    python.arguments([sources().join("web.py")]).runs_unchanged(ROOM).was_served();
}

/// The folder of PostgreSQL's programs: Debian has one for each version.
fn postgres() -> Option<PathBuf> {
    let versions = fs::read_dir("/usr/lib/postgresql").ok()?;
    let folders = versions.filter_map(|version| Some(version.ok()?.path().join("bin")));
    folders.filter(|folder| folder.join("pgbench").is_file() && folder.join("postgres").is_file()).max()
}

#[test]
fn a_database_server_with_clients() {
    let (Some(folder), Some(bash)) = (postgres(), Program::installed("bash")) else { return skipped("postgres") };
    let run = |run: fn(&Program) -> Outcome| {
        let arguments = [sources().join("database.sh"), folder.clone(), PathBuf::from(free_port().to_string())];
        run(&bash.clone().arguments(arguments).folder("/"))
    };
    let (plain, preloaded) = (run(Program::run), run(|program| program.run_preloaded(ROOM)));
    assert!(plain.status.success(), "{plain:#?}");
    assert_eq!((preloaded.status, preloaded.text()), (plain.status, plain.text()), "{preloaded:#?}");
    assert!(plain.text().contains("400/400") && plain.text().contains("t|10"), "{plain:#?}");
    preloaded.was_served();
}

#[test]
fn a_build_of_this_project() {
    let Some(cargo) = env::var_os("CARGO").map(Program::at) else { return skipped("cargo") };
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the repository");
    let built = |run: fn(&Program) -> Outcome| {
        // One folder for both, as its name is in what is made.
        let folder = fresh_folder("build");
        let variables = [("CARGO_TARGET_DIR", folder.clone().into_os_string()), ("CARGO_INCREMENTAL", "0".into())];
        let cargo = variables.into_iter().fold(cargo.clone(), |cargo, (name, value)| cargo.with(name, value));
        let outcome = run(&cargo.folder(root).arguments(["build", "-q", "--offline", "-p", "slabfit-linux"]));
        assert!(outcome.status.success() && outcome.stderr.is_empty(), "{outcome:#?}");
        fs::read(folder.join("debug/libslabfit_linux.rlib")).expect("it was built")
    };
    let (plain, preloaded) = (built(Program::run), built(|program| program.run_preloaded(ROOM)));
    assert!(plain.len() > 10_000 && plain == preloaded, "{} and {} bytes", plain.len(), preloaded.len());
}
