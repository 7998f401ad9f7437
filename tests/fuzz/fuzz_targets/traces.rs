//! The trace parser: any bytes end in a trace whose operations make sense in their order, or in an error.
#![no_main]

use std::collections::HashSet;

use libfuzzer_sys::fuzz_target;
use slabfit_tests::tester::trace::{Operation, Trace};

const LIMIT: u64 = 1 << 20;

fuzz_target!(|bytes: &[u8]| {
    for trace in [Trace::read(bytes), Trace::decode(bytes, LIMIT)] {
        match trace {
            Ok(trace) => makes_sense(&trace),
            Err(error) => assert!(!error.to_string().is_empty()),
        }
    }
});

fn makes_sense(trace: &Trace) {
    let mut live = HashSet::new();
    let mut allocated = 0;
    for (index, operation) in trace.operations().iter().enumerate() {
        match *operation {
            Operation::Allocate { object, .. } => {
                assert_eq!(object, allocated);
                allocated += 1;
                assert!(live.insert(object));
            }
            Operation::Reallocate { object, .. } => assert!(live.contains(&object)),
            Operation::Free { object } => assert!(live.remove(&object)),
        }
        assert!(trace.describe(index).contains("operation"));
    }
    if let Some(recorded) = trace.recorded() {
        assert_eq!(recorded.notes.len(), trace.operations().len());
        assert!(recorded.events.iter().all(|&(next, _)| next <= trace.operations().len()));
    }
    assert_eq!(trace.objects(), allocated as usize);
    assert!(trace.peak_at() <= trace.operations().len());
}
