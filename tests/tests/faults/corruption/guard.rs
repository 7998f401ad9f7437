//! The granules between the bookkeeping and the first slot.

use slabfit::{Config, GRANULE};
use slabfit_tests::abuse::fenced::{Case, Edge};
use slabfit_tests::abuse::lab::Lab;
use slabfit_tests::abuse::watch::Watch;
use slabfit_tests::model::Placement;

use super::FARTHEST;

/// A write that starts in the last slot or block goes into the inaccessible page and not into the bookkeeping; one that
/// starts before the first slot of a carved heap has 64 bytes to go.
#[test]
fn the_bookkeeping_is_out_of_an_underflows_reach() {
    let watch = Watch::over("guard granules");
    // The bookkeeping starts at a cache line, so where the region starts decides how near its end comes to the slots.
    for granules in 248..256 {
        for slab_size in [16, 64, 1 << 20] {
            watch.case(slab_size as u64);
            let (carved, edge, placement) = (true, Edge::High, Placement::NextFit);
            let (size, config) = (granules * GRANULE, Config::new(slab_size));
            let mut lab = Lab::new(Case { size, config, placement, carved, edge });
            let objects = [(); 3].map(|()| lab.alloc(slab_size.min(100), 1).unwrap().expect("the heap is empty"));
            assert_eq!(lab.free(objects[1]).unwrap(), Ok(()));
            for byte in [0, 0xFF, 0x55] {
                let base = lab.base();
                lab.write(base - FARTHEST, &[byte; FARTHEST]);
                assert_eq!(lab.note(), 0);
                lab.compare().unwrap();
                assert_eq!(lab.heap().check(), Ok(()));
            }
            for object in [objects[2], objects[0]] {
                assert_eq!(lab.free(object).unwrap(), Ok(()));
            }
            lab.compare().unwrap();
        }
    }
}
