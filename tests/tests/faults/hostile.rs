//! The hostile matrix: whatever a caller can pass, each case with a name and an exact answer. Sizes, alignments, regions,
//! frees and set-ups; every heap between inaccessible pages and beside the reference model where one fits.
//!
//! `SLABFIT_CASE=text` runs the cases whose names contain the text; `SLABFIT_SEED=n` the n-th of each part.

mod alignments;
mod frees;
mod regions;
mod set_up;
mod sizes;
mod sparse;

use std::env;

use slabfit::{Config, GRANULE, InitError, Memory, Segment};
use slabfit_tests::abuse::fenced::{Case, Edge};
use slabfit_tests::abuse::lab::{Lab, raw_free};
use slabfit_tests::abuse::level::replayed;
use slabfit_tests::abuse::watch::Watch;
use slabfit_tests::any_heap::AnyHeap;
use slabfit_tests::figure;
use slabfit_tests::model::Placement;

/// What the issue asks for at least.
const FEWEST_CASES: usize = 300;

/// A name and what must hold.
struct Row {
    name: String,
    check: Box<dyn Fn()>,
}

#[derive(Default)]
struct Matrix(Vec<Row>);

impl Matrix {
    fn add(&mut self, name: impl Into<String>, check: impl Fn() + 'static) {
        self.0.push(Row { name: name.into(), check: Box::new(check) });
    }
}

fn case(size: usize, slab_size: usize) -> Case {
    Case { size, config: Config::new(slab_size), placement: Placement::NextFit, carved: false, edge: Edge::High }
}

/// The smallest heap with size classes, those of up to 64 bytes.
fn with_classes() -> Case {
    let (size, config, placement) = (32 << 10, Config::without_slab(), Placement::General);
    Case { size, config, placement, carved: false, edge: Edge::High }
}

fn heap_in(memory: Memory<'static>, config: Config) -> Result<AnyHeap, InitError> {
    AnyHeap::from_memory(memory, config, Placement::NextFit)
}

fn lab() -> Lab {
    Lab::new(case(4096, 64))
}

/// Serves its largest request, to the last byte.
fn is_usable(heap: &AnyHeap) {
    let largest = heap.segment(Segment::Blocks).len() - GRANULE;
    let object = heap.alloc(largest).expect("the largest request");
    // SAFETY: just served, with so many bytes.
    unsafe { object.write_bytes(0x11, largest) };
    assert_eq!(raw_free(heap, object.addr().get()), Ok(()));
    assert_eq!(heap.check(), Ok(()));
}

/// Runs the rows and says which ones failed, all of them, by name.
fn run(name: &'static str, matrix: Matrix) -> usize {
    let wanted = env::var("SLABFIT_CASE").unwrap_or_default();
    let mut failed = Vec::new();
    let mut names: Vec<&str> = matrix.0.iter().map(|row| row.name.as_str()).collect();
    names.sort_unstable();
    assert!(names.windows(2).all(|pair| pair[0] != pair[1]), "two cases of {name} have the same name");
    let watch = Watch::over(name);
    for (nth, row) in matrix.0.iter().enumerate().filter(|(_, row)| row.name.contains(&wanted)) {
        if replayed().is_some_and(|only| only != nth as u64) {
            continue;
        }
        watch.case(nth as u64);
        if std::panic::catch_unwind(std::panic::AssertUnwindSafe(&row.check)).is_err() {
            failed.push(&row.name);
        }
    }
    assert!(failed.is_empty(), "these cases failed: {failed:#?}");
    println!("{name}: {} cases", matrix.0.len());
    matrix.0.len()
}

/// All in one test, so that their count can be asserted.
#[test]
fn every_case_of_the_hostile_matrix_has_its_exact_answer() {
    let mut count = 0;
    count += run("sizes", sizes::cases());
    count += run("alignments", alignments::cases());
    count += run("regions", regions::cases());
    count += run("sparse regions", sparse::cases());
    count += run("frees", frees::cases());
    count += run("set-up", set_up::cases());
    figure::say("the hostile matrix", format_args!("{count} named cases, each with its exact answer"));
    assert!(count >= FEWEST_CASES, "{count} cases");
}
