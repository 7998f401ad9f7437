//! Check and repair of a hardened heap: each byte that is no live object's is what it must be.

use core::ops::Range;

use crate::blocks::Blocks;
use crate::classes::MayHave;
use crate::error::{Damage, Violation};
use crate::hardened::Object;
use crate::policy::Policy;
use crate::units::{GRANULE, Granules, Offset};
use crate::walk::{Found, Kind};
use crate::ward::{Code, Ward};

/// Codes of a block.
struct Codes {
    codes: usize,
    /// Those of objects in quarantine.
    freed: usize,
}

/// Bytes that are no object's, and the pattern that they hold.
struct Unclaimed {
    /// Where they are counted from.
    at: Offset,
    bytes: Range<usize>,
    word: u64,
    /// The live object that they follow.
    after: Option<Object>,
}

impl<P: Policy> Blocks<'_, P> {
    /// Tests what the [ward](crate::ward) states, and each byte that is no live object's.
    pub(crate) fn check_ward(&self) -> Result<(), Violation> {
        let Some(ward) = self.ward.get() else { return Ok(()) };
        let (mut at, mut codes, mut freed) = (Offset::ZERO, 0usize, 0usize);
        while let Some(found) = self.found(at) {
            self.check_unclaimed(self.waste(at, found.start))?;
            self.check_header(&found)?;
            let payload = found.payload();
            let (code, wrong) = (ward.code(payload), Violation::Ward { address: self.region.address(payload) });
            if code == Code::Fence {
                let fenced = self.check_fenced(payload, found.next)?;
                (codes, freed) = (codes.wrapping_add(fenced.codes), freed.wrapping_add(fenced.freed));
                at = found.next;
                continue;
            }
            // The map says of a block, and the marks say of a slot, whether there is an object.
            if self.is_used(&found) == (code == Code::None) {
                return Err(wrong);
            }
            if matches!(code, Code::Live(rest) if rest > found.capacity()) {
                return Err(wrong);
            }
            codes = codes.wrapping_add(ward.codes_of(payload));
            freed = freed.wrapping_add(usize::from(code == Code::Freed));
            self.unclaimed(&found).map_or(Ok(()), |unclaimed| self.check_unclaimed(unclaimed))?;
            at = found.next;
        }
        self.check_unclaimed(self.waste(at, self.map.end()))?;
        let lost = Violation::Ward { address: self.region.address(Offset::ZERO) };
        if codes != ward.all_codes() || freed != self.check_quarantine(ward)? {
            return Err(lost);
        }
        Ok(())
    }

    /// Tests a block that is fenced, from its payload on up to `end`, and counts its codes.
    fn check_fenced(&self, payload: Offset, end: Offset) -> Result<Codes, Violation> {
        let wrong = Violation::Ward { address: self.region.address(payload) };
        let ward = self.ward.get().ok_or(wrong)?;
        let page = Granules::from_bytes_floor(ward.pages().ok_or(wrong)?.size());
        if !self.map.is_start(payload.minus(Granules::HEADER)) {
            return Err(wrong);
        }
        let start = payload.plus(page);
        let codes = ward.codes_within(payload, end);
        let code = ward.code(start);
        if ward.is_nothing(payload) {
            return Ok(Codes { codes, freed: 0 });
        }
        if codes != ward.codes_of(start).wrapping_add(1) {
            return Err(wrong);
        }
        match code {
            Code::Fenced(_) => {
                let object = self.object(start).map_err(|_| wrong)?;
                self.past_end(&object).map_or(Ok(()), |damage| Err(Violation::Damaged(damage)))?;
            }
            Code::Freed | Code::Busy => {}
            _ => return Err(wrong),
        }
        let capacity = self.fenced_capacity(start).ok_or(wrong)?;
        // What is left after the second fence.
        let after = start.plus(Granules::from_bytes_floor(capacity)).plus(page);
        self.check_unclaimed(self.waste(after, end))?;
        Ok(Codes { codes, freed: usize::from(code == Code::Freed) })
    }

    /// Tests the rings, and returns how many objects they have.
    fn check_quarantine(&self, ward: &Ward<'_>) -> Result<usize, Violation> {
        let (mut count, mut held, mut fenced) = (0usize, Granules::ZERO, Granules::ZERO);
        let first_fenced = ward.of_blocks().wrapping_add(1);
        for ring in 0..ward.ring_count() {
            for at in ward.objects(ring) {
                let class = self.classes.get().and_then(|classes| classes.class_of(at));
                if ward.code(at) != Code::Freed
                    || class.is_some_and(|class| class != ring)
                    || class.is_none() && ring < ward.of_blocks()
                {
                    return Err(Violation::Ward { address: self.region.address(at) });
                }
                if ring == first_fenced {
                    let capacity = self.fenced_capacity(at).unwrap_or(0);
                    fenced = fenced.plus(Granules::from_bytes_floor(capacity));
                } else if class.is_none() {
                    held = held.plus(Granules::from_bytes_floor(self.capacity(at)));
                }
                count = count.wrapping_add(1);
            }
        }
        if (held, fenced) != ward.held() {
            return Err(Violation::Ward { address: self.region.address(Offset::ZERO) });
        }
        Ok(count)
    }

    /// Returns whether the map, or a mark, has an object there, live or in quarantine.
    fn is_used(&self, found: &Found) -> bool {
        match found.block.kind {
            Kind::Block => self.map.is_start(found.start),
            Kind::Slot => self.classes.get().is_some_and(|classes| classes.live_class(found.start).is_some()),
        }
    }

    fn check_header(&self, found: &Found) -> Result<(), Violation> {
        let has_header = found.block.kind == Kind::Block;
        if has_header && !(found.intact && self.region.padding_is_clear(found.start)) {
            return Err(Violation::Overwritten { address: found.block.address });
        }
        Ok(())
    }

    /// Returns the bytes from `at` up to `to`, which lie in no slot and no block: those after the last slot of a run.
    fn waste(&self, at: Offset, to: Offset) -> Unclaimed {
        let bytes = if at < to { at.up_to(to).bytes() } else { 0 };
        Unclaimed { at, bytes: 0..bytes, word: 0, after: None }
    }

    /// Returns the bytes of a slot or block that no live object has, headers apart. None of one that is being freed.
    fn unclaimed(&self, found: &Found) -> Option<Unclaimed> {
        let ward = self.ward.get()?;
        if !self.is_used(found) {
            let header = if found.block.kind == Kind::Block { GRANULE } else { 0 };
            return Some(Unclaimed { at: found.start, bytes: header..found.block.size, word: 0, after: None });
        }
        let (at, capacity) = (found.payload(), found.capacity());
        match ward.code(at) {
            Code::Live(_) => self.pattern_of(at),
            Code::Freed => Some(Unclaimed { at, bytes: 0..capacity, word: 0, after: None }),
            Code::Fence => self.pattern_of(at.plus(Granules::from_bytes_floor(ward.pages()?.size()))),
            _ => None,
        }
    }

    /// Returns the bytes that hold the pattern of the live object at `at`, if one is there.
    fn pattern_of(&self, at: Offset) -> Option<Unclaimed> {
        let object = self.object(at).ok()?;
        let word = self.ward.get()?.canary(at);
        Some(Unclaimed { at, bytes: object.size..object.capacity, word, after: Some(object) })
    }

    fn check_unclaimed(&self, unclaimed: Unclaimed) -> Result<(), Violation> {
        let Unclaimed { at, bytes, word, after } = unclaimed;
        let Some(found) = self.region.differing(at, bytes, word) else { return Ok(()) };
        let address = self.region.address(at);
        Err(Violation::Damaged(match after {
            Some(Object { size, .. }) => Damage::PastEnd { address, size, bytes: found.end.wrapping_sub(size) },
            None => Damage::AfterFree { address, offset: found.start, bytes: found.len() },
        }))
    }

    /// Writes every byte that is no live object's and not what it must be, and returns in how many places there were any.
    pub(crate) fn repair_ward(&mut self) -> usize {
        let (mut at, mut repaired) = (Offset::ZERO, 0usize);
        while let Some(found) = self.found(at) {
            repaired = repaired.wrapping_add(self.repair_unclaimed(self.waste(at, found.start)));
            if self.check_header(&found).is_err() {
                self.region.fill(found.start, 0..GRANULE, 0);
                self.rewrite(found.start, Granules::from_bytes_floor(found.block.size));
                repaired = repaired.wrapping_add(1);
            }
            if let Some(unclaimed) = self.unclaimed(&found) {
                repaired = repaired.wrapping_add(self.repair_unclaimed(unclaimed));
            }
            at = found.next;
        }
        let rest = self.waste(at, self.map.end());
        repaired.wrapping_add(self.repair_unclaimed(rest))
    }

    fn repair_unclaimed(&mut self, unclaimed: Unclaimed) -> usize {
        let Unclaimed { at, bytes, word, .. } = unclaimed;
        let is_wrong = self.region.differing(at, bytes.clone(), word).is_some();
        if is_wrong {
            self.region.fill(at, bytes, word);
        }
        usize::from(is_wrong)
    }
}

impl Found {
    /// Returns where an object in it starts.
    pub(crate) fn payload(&self) -> Offset {
        match self.block.kind {
            Kind::Slot => self.start,
            Kind::Block => self.start.plus(Granules::HEADER),
        }
    }

    /// Returns the bytes that an object in it has at most.
    fn capacity(&self) -> usize {
        match self.block.kind {
            Kind::Slot => self.block.size,
            Kind::Block => self.block.size.saturating_sub(GRANULE),
        }
    }
}
