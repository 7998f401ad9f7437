//! Wrong frees of every kind, overwritten headers, and the figures that tell of them.

mod a_free_is_refused;
mod a_free_of_a_layout;
mod a_free_in_a_run_is_refused;
mod an_overwritten_header;
mod the_figures;

use slabfit::{InvalidFree, Reason};
use slabfit_tests::model::Header;
use slabfit_tests::scene::Scene;

/// Frees an address that must be refused for this reason, with no block changed.
#[track_caller]
fn refuses(scene: &mut Scene, address: usize, reason: Reason) {
    let blocks: Vec<_> = scene.pair.heap().blocks().collect();
    assert_eq!(scene.pair.free(address).unwrap(), Err(InvalidFree { address, reason }));
    scene.compare();
    assert_eq!(scene.pair.heap().blocks().collect::<Vec<_>>(), blocks);
}

/// The header of a block of the picture, as it should be.
fn header(scene: &Scene, nth: usize) -> Header {
    let address = scene.blocks()[nth].address;
    let headers = scene.pair.model().headers();
    *headers.iter().find(|header| header.address == address).expect("every block has a header")
}
