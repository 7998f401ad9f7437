//! Operations on a heap between inaccessible pages, right and wrong, with corruption as one of them, against the model.
#![no_main]

use libfuzzer_sys::fuzz_target;
use slabfit::{Config, GRANULE, MAGIC};
use slabfit_tests::abuse::fenced::{Case, Edge};
use slabfit_tests::abuse::lab::Lab;
use slabfit_tests::model::{By, Placement};

/// The input as numbers; zeros once it has ended.
struct Input<'a>(&'a [u8]);

impl Input<'_> {
    fn byte(&mut self) -> usize {
        let Some((&first, rest)) = self.0.split_first() else { return 0 };
        self.0 = rest;
        usize::from(first)
    }

    /// A size of 8, 16, 32 or 64 bits, not capped at anything.
    fn size(&mut self) -> usize {
        let bytes = [1, 1, 2, 4, 8][self.byte() % 5];
        (0..bytes).fold(0, |number, _| number << 8 | self.byte())
    }

    fn align(&mut self) -> usize {
        match self.byte() {
            sort @ 0..64 => 1 << sort,
            _ => GRANULE,
        }
    }

    /// A live object's address and usable bytes, or the heap's.
    fn object(&mut self, lab: &Lab) -> (usize, usize) {
        let objects = lab.objects();
        let nth = self.byte() % objects.len().max(1);
        objects.get(nth).copied().unwrap_or((lab.base(), lab.heap().size()))
    }
}

fn setup(input: &mut Input<'_>) -> Case {
    let flags = input.byte();
    let carved = flags & 1 != 0;
    let carved_bytes = if flags & 16 != 0 { 2048 } else { 512 };
    let placement = match (flags & 2 != 0, flags & 16 != 0) {
        (_, true) => Placement::General,
        (true, false) => Placement::FirstFit,
        (false, false) => Placement::NextFit,
    };
    // Under `General` the size classes of up to 64 bytes, unless a slab leaves too little.
    let size = (4 + input.byte()) * GRANULE + if placement == Placement::General { 32 << 10 } else { 0 };
    let size = size + if carved { carved_bytes } else { 0 };
    let caches = if placement == Placement::General { flags >> 5 & 3 } else { 0 };
    let size = if caches > 0 { size + (4 << 10) } else { size };
    let config = Config::new(1 + input.byte()).caches(caches);
    Case {
        size,
        config: match placement {
            _ if flags & 8 != 0 => config.slab_bytes(input.size()),
            Placement::General => Config::without_slab().caches(caches),
            _ => config,
        },
        placement,
        carved,
        edge: if flags & 4 != 0 { Edge::Low } else { Edge::High },
    }
}

/// What is written: bytes of the input, or a header that looks right.
fn corrupt(lab: &mut Lab, input: &mut Input<'_>) {
    let (base, size) = (lab.base(), lab.heap().size());
    let headers = lab.model.headers();
    if headers.is_empty() {
        return;
    }
    let at = match input.byte() % 3 {
        0 => base + input.size() % size,
        1 => headers[input.byte() % headers.len()].address + input.byte() % GRANULE,
        _ => {
            let (address, usable) = input.object(lab);
            address + usable
        }
    };
    let bytes: Vec<u8> = match input.byte() % 4 {
        0 => MAGIC.to_ne_bytes().to_vec(),
        1 => headers[input.byte() % headers.len()].address.to_ne_bytes().to_vec(),
        _ => (0..1 + input.byte() % 64).map(|_| input.byte() as u8).collect(),
    };
    let room = (base + size).saturating_sub(at).min(bytes.len());
    if room > 0 {
        lab.write(at, &bytes[..room]);
        lab.note();
    }
}

/// Whom an operation asks: the heap, or an attached cache.
fn by(lab: &Lab, operation: usize) -> By {
    let attached = lab.model.attached();
    match attached.get(operation >> 5 & 1).or(attached.first()) {
        Some(&cache) if operation & 16 != 0 => By::Cache(cache),
        _ => By::Heap,
    }
}

fn run(lab: &mut Lab, input: &mut Input<'_>, operation: usize) {
    let by = by(lab, operation);
    let agreed = match operation % 16 {
        0..5 => lab.alloc_by(by, input.size(), input.align()).map(drop),
        5..9 => lab.free_by(by, input.object(lab).0).map(drop),
        9..11 => lab.realloc_by(by, input.object(lab).0, input.size(), input.align()).map(drop),
        11 => {
            let near = input.object(lab).0.wrapping_add(input.size()).wrapping_sub(64);
            lab.free_by(by, near).map(drop)
        }
        12 => lab.free_by(by, input.size()).map(drop),
        13 => lab.realloc_by(by, lab.base().wrapping_add(input.size()), input.size(), GRANULE).map(drop),
        14 => {
            corrupt(lab, input);
            Ok(())
        }
        _ if operation & 48 == 48 => lab.attach().map(drop),
        _ => match by {
            By::Cache(cache) => {
                lab.detach(cache);
                Ok(())
            }
            By::Heap => lab.repair(),
        },
    };
    agreed.unwrap();
}

fuzz_target!(|bytes: &[u8]| {
    let mut input = Input(bytes);
    let mut lab = Lab::new(setup(&mut input));
    while !input.0.is_empty() {
        let operation = input.byte();
        run(&mut lab, &mut input, operation);
        if operation & 64 != 0 {
            lab.empty_by(by(&lab, operation)).unwrap();
        }
        lab.compare_places().unwrap();
        if operation >= 128 {
            lab.compare().unwrap();
        }
    }
    lab.compare().unwrap();
    lab.repair().unwrap();
    for (address, _) in lab.objects() {
        assert_eq!(lab.free(address).unwrap(), Ok(()));
    }
    lab.detach_all();
    lab.empty_magazines().unwrap();
    lab.compare().unwrap();
});
