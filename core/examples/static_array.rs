//! A heap in a static array, for code that has no std: no `static mut`, no `unsafe` for the memory, and no call that sets
//! it up. The queue below keeps each event in a slot of the slab, and what an event carries in a block beside it.
//!
//! `cargo run -p slabfit --example static_array`
#![no_std]

extern crate std; // to print with, and for `main`

use core::error::Error;
use core::ptr::NonNull;
use core::slice;
use std::boxed::Box;

use slabfit::{AllocError, Config, InvalidFree, StaticArray, StaticHeap};

static ARRAY: StaticArray<4096> = StaticArray::new();
static HEAP: StaticHeap = StaticHeap::new(&ARRAY, Config::new(size_of::<Event>()));

/// A packet that came in. It owns its bytes, and the queue owns it.
struct Event {
    older: Option<NonNull<Event>>,
    bytes: NonNull<u8>,
    length: usize,
}

/// Events, the latest first.
#[derive(Default)]
struct Queue {
    latest: Option<NonNull<Event>>,
}

impl Queue {
    /// Keeps a copy of a packet. If there is no memory for it, nothing has changed.
    fn push(&mut self, packet: &[u8]) -> Result<(), AllocError> {
        let place = HEAP.alloc(size_of::<Event>())?.cast::<Event>();
        let bytes = HEAP.alloc(packet.len()).inspect_err(|_| assert_eq!(give_back(place.cast()), Ok(())))?;
        // SAFETY: `packet.len()` bytes that nobody else has.
        unsafe { bytes.copy_from_nonoverlapping(NonNull::from(packet).cast(), packet.len()) };
        // SAFETY: memory for an event that nobody else has, at a multiple of 16.
        unsafe { place.write(Event { older: self.latest, bytes, length: packet.len() }) };
        self.latest = Some(place);
        Ok(())
    }

    /// Shows the latest packet to `reader` and forgets it.
    fn pop<R>(&mut self, reader: impl FnOnce(&[u8]) -> R) -> Option<R> {
        let place = self.latest?;
        // SAFETY: `push` has written an event here, which is this queue's.
        let event = unsafe { place.read() };
        self.latest = event.older;
        // SAFETY: the bytes that `push` has written for this event.
        let answer = reader(unsafe { slice::from_raw_parts(event.bytes.as_ptr(), event.length) });
        assert_eq!(give_back(event.bytes).and_then(|()| give_back(place.cast())), Ok(()));
        Some(answer)
    }
}

fn give_back(object: NonNull<u8>) -> Result<(), InvalidFree> {
    // SAFETY: the caller has unlinked the object and uses it no more.
    unsafe { HEAP.free(object.as_ptr()) }
}

fn main() -> Result<(), Box<dyn Error>> {
    let mut queue = Queue::default();
    let mut packets = 0u8;
    let refused = loop {
        match queue.push(&[packets; 40]) {
            Ok(()) => packets += 1,
            Err(error) => break error,
        }
    };
    std::println!("{packets} packets, then: {refused}");

    while let Some(intact) = queue.pop(|packet| packet == [packets - 1; 40]) {
        assert!(intact);
        packets -= 1;
    }
    HEAP.check()?;
    let stats = HEAP.stats()?;
    assert_eq!((packets, stats.slab.live_objects, stats.blocks.live_objects), (0, 0, 0));
    std::println!("none left; at most {} of {} bytes in use", stats.blocks.peak_bytes, stats.blocks.size);
    Ok(())
}
