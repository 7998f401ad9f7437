//! Programs are recorded, and recordings read back and compared with what the programs said.

use std::path::{Path, PathBuf};

use slabfit::{SegmentStats, Stats};
use slabfit_tests::tester::extension::{Event, Recorded, Setup};
use slabfit_tests::tester::recordings::Source;
use slabfit_tests::tester::replay_exact::{ExactReplay, Until, recorded_ground, replay_exactly};
use slabfit_tests::tester::trace::{Operation, Trace};

use crate::preloaded::{Outcome, Program, number, scratch};

impl Program {
    /// Runs it with the library and records it; what it does does not change.
    pub fn recorded(self, name: &str, heap: &str) -> (Outcome, Trace) {
        let file = scratch().join(format!("{name}.rep.zst"));
        // There are no caches while calls are recorded.
        let plain = self.clone().with("SLABFIT_CACHE", "0").run_preloaded(heap);
        let recorded = self.with("SLABFIT_TRACE", &file).run_preloaded(heap);
        let told = |outcome: &Outcome| (outcome.status, outcome.stderr.lines().count());
        assert_eq!(told(&recorded), told(&plain), "{recorded:#?}");
        (recorded, read(&file))
    }
}

impl Outcome {
    /// The heap of the replay ended as the program's did, to the last counter: no call is missing.
    pub fn agrees_with(&self, replay: &ExactReplay) {
        let [report] = &*self.reports else { panic!("one process: {self:#?}") };
        for (name, replayed) in figures(&replay.stats) {
            assert_eq!(number(report, &name), replayed, "{name} in {report}");
        }
        for (name, replayed) in class_figures(&replay.stats) {
            assert_eq!(number(report, &name), replayed, "{name} in {report}");
        }
    }
}

/// The figures that a replay has in common with its program.
fn figures(stats: &Stats) -> Vec<(String, u64)> {
    let of = |segment: &str, stats: &SegmentStats| {
        let figures = [
            ("live_bytes", stats.live_bytes as u64),
            ("peak_bytes", stats.peak_bytes as u64),
            ("peak_objects", stats.peak_objects as u64),
            ("largest_free", stats.largest_free as u64),
            ("free_blocks", stats.free_blocks as u64),
            ("allocs", stats.allocs),
            ("frees", stats.frees),
            ("failed_full", stats.failed_full),
            ("failed_fragmented", stats.failed_fragmented),
        ];
        figures.map(|(name, figure)| (format!("/{segment}/{name}"), figure))
    };
    [of("slab", &stats.slab), of("blocks", &stats.blocks)].concat()
}

/// The same of the size classes that the heap has.
fn class_figures(stats: &Stats) -> impl Iterator<Item = (String, u64)> {
    let existing = stats.classes.iter().filter(|class| class.slot_size > 0).enumerate();
    existing.flat_map(|(index, class)| {
        let figures = [
            ("slot_size", class.slot_size as u64),
            ("runs", class.runs as u64),
            ("live_objects", class.live_objects as u64),
            ("peak_runs", class.peak_runs as u64),
            ("opened", class.opened),
            ("allocs", class.allocs),
            ("frees", class.frees),
        ];
        figures.map(|(name, figure)| (format!("/classes/{index}/{name}"), figure))
    })
}

pub fn read(file: &Path) -> Trace {
    let recording = Source::File(PathBuf::from(file)).load();
    recording.unwrap_or_else(|error| panic!("{error}")).trace
}

/// What the tests ask of a trace.
pub trait OfARecording {
    fn replays(&self) -> ExactReplay;
    fn setup(&self) -> &Setup;
    fn events(&self) -> impl Iterator<Item = &Event>;
    fn threads(&self) -> usize;
}

impl OfARecording for Trace {
    /// Every call comes to what it came to.
    fn replays(&self) -> ExactReplay {
        let ground = recorded_ground(self).expect("it says what it was recorded on");
        let replay = replay_exactly(self, ground, Until::Difference, &|_| ()).expect("there is such a heap");
        assert_eq!((&replay.difference, replay.skipped), (&None, 0));
        let placed = |operation: &&Operation| !matches!(operation, Operation::Free { .. });
        assert_eq!(replay.compared, self.operations().iter().filter(placed).count() as u64);
        replay
    }

    fn setup(&self) -> &Setup {
        let Recorded { setup, .. } = self.recorded().expect("a recording");
        setup
    }

    fn events(&self) -> impl Iterator<Item = &Event> {
        self.recorded().into_iter().flat_map(|recorded| recorded.events.iter().map(|(_, event)| event))
    }

    fn threads(&self) -> usize {
        let mut threads: Vec<_> = self.recorded().expect("a recording").notes.iter().map(|note| note.thread).collect();
        threads.sort_unstable();
        threads.dedup();
        threads.len()
    }
}
