//! `slabfit-public-api FILE.json`: every public item of the crate, a line each, sorted.

use std::process::ExitCode;

use public_api::Builder;

fn main() -> ExitCode {
    let Some(file) = std::env::args_os().nth(1) else {
        eprintln!("which file?");
        return ExitCode::FAILURE;
    };
    // Left out is what every type has.
    match Builder::from_rustdoc_json(file).omit_blanket_impls(true).build() {
        Ok(api) => {
            api.items().map(ToString::to_string).filter(|line| !is_noise(line)).for_each(|line| println!("{line}"));
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

/// Whether a line is of a trait that every type has or nobody asks for.
fn is_noise(line: &str) -> bool {
    ["Freeze", "Unpin", "UnsafeUnpin", "UnwindSafe", "RefUnwindSafe"]
        .iter()
        .any(|name| line.starts_with("impl") && line.contains(&format!("::{name} for ")))
}
