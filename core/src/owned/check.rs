//! What only [the checker](crate::check) reads of the caches' runs and magazines.

use super::{Keep, Owned};
use crate::sync::Ordering;
use crate::units::Offset;
impl Owned<'_> {}

impl Owned<'_> {
    /// Returns where live slots start.
    pub(crate) fn marks(&self) -> impl Iterator<Item = Offset> {
        (0..self.live.len() as u32).map(Offset::new).filter(|at| self.is_live(*at))
    }

    /// Returns the slots of a run that lie in a magazine, a bit each, and how many places of the magazine they take.
    pub(crate) fn held_in(&self, keep: &Keep, class: usize, run: u32) -> (u64, usize) {
        let slots = keep.magazines.get(class).map_or(&[][..], |magazine| &magazine.slots);
        let held = slots.iter().take(self.held(keep, class)).map(|at| Offset::new(at.load(Ordering::Relaxed)));
        let in_run = held.filter_map(|at| self.slot(at, class)).filter(|(of, _)| *of == run);
        in_run.fold((0, 0), |(bits, places), (_, bit)| (bits | bit, places.wrapping_add(1)))
    }

    /// Returns how many runs a class's list has, whose links lead forth and back; `None` if they do not.
    pub(crate) fn listed(&self, keep: &Keep, class: usize) -> Option<usize> {
        let (mut link, mut previous) = (self.first_idle(keep, class), 0);
        for count in 0..=self.runs.len() {
            if link == 0 {
                return Some(count);
            }
            let it = self.linked(link)?;
            let is_back = it.previous.load(Ordering::Relaxed) == previous;
            (previous, link) = (link, it.next.load(Ordering::Relaxed));
            if !is_back || it.idle.load(Ordering::Relaxed) == 0 {
                return None;
            }
        }
        None
    }
}
