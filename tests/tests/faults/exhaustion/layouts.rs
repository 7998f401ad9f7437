//! Every layout of a window, with the rover wherever it can stand, also where the window lies across the ends of what the map sums up.

use std::time::Instant;

use slabfit_tests::abuse::layouts;
use slabfit_tests::abuse::level::{Level, on_every_processor, replayed};
use slabfit_tests::abuse::watch::Watch;
use slabfit_tests::figure;
use slabfit_tests::figure::Grouped;
use slabfit_tests::model::Placement;

use super::Tried;
use super::window::{Window, build, exhaust};

/// Every layout of a window, on every processor.
fn exhaust_layouts(name: &'static str, window: Window) {
    let begun = Instant::now();
    let only = replayed();
    let tried = on_every_processor(|nth, count| {
        let watch = Watch::over(name);
        let mut lab = window.lab();
        let fresh = lab.save();
        let (mut index, mut tried) = (0u64, Tried::default());
        layouts::for_each(window.granules, &mut |tiles| {
            index += 1;
            if index as usize % count != nth || only.is_some_and(|only| only != index) {
                return;
            }
            watch.case(index);
            for rover in window.rovers(tiles.len()) {
                lab.restore(&fresh);
                if let Some(state) = build(&mut lab, window, tiles, rover) {
                    tried.states += 1;
                    tried.operations += exhaust(&mut lab, window, &state);
                }
            }
        });
        tried
    });
    let tried = tried.into_iter().fold(Tried::default(), Tried::plus);
    let layouts = layouts::count(window.granules);
    assert!(tried.states >= layouts || only.is_some(), "{tried:?}");
    let Window { before, granules, placement } = window;
    let seconds = begun.elapsed().as_secs();
    figure::say(
        format_args!("{name}, {placement:?}, {granules} granules behind {before}"),
        format_args!("{} layouts, {tried}, no deviation ({seconds} s)", Grouped(layouts)),
    );
}

#[test]
fn every_layout_agrees_with_the_model_under_next_fit() {
    let granules = Level::from_environment().of(12, 20, 24);
    exhaust_layouts("every layout", Window { before: 0, granules, placement: Placement::NextFit });
}

#[test]
fn every_layout_agrees_with_the_model_under_first_fit() {
    let granules = Level::from_environment().of(11, 16, 22);
    exhaust_layouts("every layout", Window { before: 0, granules, placement: Placement::FirstFit });
}

#[test]
fn every_layout_across_the_end_of_a_chunk_agrees_with_the_model() {
    let granules = Level::from_environment().of(10, 16, 22);
    // Under `General` such a heap has no size classes.
    for placement in [Placement::NextFit, Placement::FirstFit, Placement::General] {
        exhaust_layouts(
            "every layout across the end of a chunk",
            Window { before: 64 - granules / 2, granules, placement },
        );
    }
}

#[test]
fn every_layout_across_the_end_of_a_node_agrees_with_the_model() {
    let granules = Level::from_environment().of(9, 13, 18);
    let before = 16 * 64 - granules / 2;
    exhaust_layouts(
        "every layout across the end of a node",
        Window { before, granules, placement: Placement::NextFit },
    );
}

#[test]
fn every_layout_across_the_end_of_a_summary_word_agrees_with_the_model() {
    let granules = Level::from_environment().of(8, 12, 17);
    let before = 64 * 64 - granules / 2;
    exhaust_layouts(
        "every layout across the end of a summary word",
        Window { before, granules, placement: Placement::NextFit },
    );
}

/// Where the max tree gets its third level, and the summaries of the bit trees theirs.
#[test]
fn every_layout_across_the_end_of_a_level_agrees_with_the_model() {
    let granules = Level::from_environment().of(6, 8, 12);
    for chunks in [16 * 16, 64 * 64] {
        let before = chunks * 64 - granules / 2;
        exhaust_layouts(
            "every layout across the end of a level",
            Window { before, granules, placement: Placement::NextFit },
        );
    }
}
