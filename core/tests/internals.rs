//! INTERNALS.md says what the heap does.
#![allow(missing_docs)]

#[path = "../examples/internals/main.rs"]
#[allow(dead_code, reason = "it is a program, and its `main` has no caller here")]
mod internals;

#[test]
fn internals_md_says_what_the_heap_does() {
    let document = include_str!("../INTERNALS.md");
    let generated = internals::with_parts(document);
    let different = document.lines().zip(generated.lines()).find(|(written, generated)| written != generated);
    assert_eq!(different, None, "run `cargo run -p slabfit --example internals -- core/INTERNALS.md`");
    assert_eq!(document.len(), generated.len());
}
