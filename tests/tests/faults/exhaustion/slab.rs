//! Every state of a slab.

use std::time::Instant;

use slabfit::{Config, GRANULE, Segment};
use slabfit_tests::abuse::fenced::{Case, Edge};
use slabfit_tests::abuse::lab::{Lab, raw_realloc};
use slabfit_tests::abuse::level::Level;
use slabfit_tests::abuse::watch::Watch;
use slabfit_tests::figure;
use slabfit_tests::model::{By, Placement};

use super::{Tried, wrong_frees_in};

/// The slab: how many slots were ever used, and which of these are live, in every combination.
#[test]
fn every_state_of_a_slab_agrees_with_the_model() {
    let slots = Level::from_environment().of(7, 10, 13);
    let begun = Instant::now();
    let watch = Watch::over("slab states");
    // Three granules to a slot and two of a tail behind the last.
    let size = (slots * 3 + 2) * 4 * GRANULE;
    let (carved, edge, placement) = (false, Edge::Low, Placement::NextFit);
    let mut lab = Lab::new(Case { size, config: Config::new(40), placement, carved, edge });
    assert_eq!(lab.heap().blocks().filter(|block| block.segment == Segment::Slab).count(), slots);
    let mut fresh = vec![lab.save()];
    let mut tried = Tried::default();
    for used in 0..=slots {
        if used > 0 {
            lab.restore(&fresh[used - 1]);
            lab.alloc(40, 1).unwrap().expect("a slot is free");
            fresh.push(lab.save());
        }
        for live in 0..1u32 << used {
            watch.case(u64::from(live) << 8 | used as u64);
            lab.restore(&fresh[used]);
            let base = lab.base();
            for slot in (0..used).filter(|slot| live >> slot & 1 == 0) {
                assert_eq!(lab.free(base + slot * 48).unwrap(), Ok(()));
            }
            lab.compare().unwrap();
            tried.states += 1;
            tried.operations += exhaust_slab(&mut lab);
        }
    }
    let seconds = begun.elapsed().as_secs();
    figure::say(
        format_args!("every state of a slab of {slots} slots"),
        format_args!("{tried}, no deviation ({seconds} s)"),
    );
}

fn exhaust_slab(lab: &mut Lab) -> u64 {
    let (state, segment) = (lab.save(), lab.heap().segment(Segment::Slab));
    let mut operations = 0;
    for (size, align) in [(40, 16), (40, 1), (40, 32), (39, 16), (41, 16)] {
        lab.restore(&state);
        lab.alloc(size, align).unwrap().expect("next fit is free");
        lab.compare().unwrap();
        operations += 1;
    }
    lab.restore(&state);
    let addresses = segment.start - GRANULE..segment.end + GRANULE;
    let (starts, frees) = wrong_frees_in(lab, addresses.clone(), By::Heap);
    operations += frees;
    for address in addresses.filter(|address| !starts.contains(address)) {
        assert!(raw_realloc(lab.heap(), address, 1, 1).is_err());
    }
    lab.compare_places().unwrap();
    for address in starts {
        for size in [0, 40, 48, 49] {
            lab.restore(&state);
            lab.realloc(address, size, GRANULE).unwrap().expect("next fit is free");
            lab.compare().unwrap();
        }
        lab.restore(&state);
        assert_eq!(lab.free(address).unwrap(), Ok(()));
        lab.compare().unwrap();
        operations += 5;
    }
    operations
}
