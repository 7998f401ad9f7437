//! Work for a heap under any lock: objects that several threads fill, pass on, read back and free.

use std::alloc::Layout;
use std::ptr::NonNull;
use std::slice;
use std::sync::Mutex;
use std::thread;

use slabfit::{Config, Heap, RawLock, RegionArray};

const THREADS: u64 = 4;
const STEPS: u64 = 20_000;

/// An object and the byte that it is filled with.
struct Object {
    start: NonNull<u8>,
    size: usize,
    fill: u8,
}

// SAFETY: whoever has the value owns the object's bytes, as with a `Box<[u8]>`.
unsafe impl Send for Object {}

/// Runs several threads on one heap under the lock `L`. Every object must be whole when it is freed, by whichever thread,
/// and the heap in order and empty in the end.
pub fn threads_share_a_heap<L: RawLock + Sync>() {
    let mut array = Box::new(RegionArray::<{ 256 << 10 }>::new());
    let heap: Heap<'_, L> = Heap::from_memory(array.as_mut(), Config::new(64)).expect("the array is large enough");
    let passed_on = Mutex::new(Vec::new());
    thread::scope(|scope| {
        for seed in 1..=THREADS {
            let (heap, passed_on) = (&heap, &passed_on);
            scope.spawn(move || work(heap, passed_on, seed));
        }
    });
    for object in passed_on.into_inner().expect("no thread has panicked") {
        free(&heap, object);
    }
    assert_eq!(heap.check(), Ok(()));
    let stats = heap.stats().expect("nobody is in the heap");
    assert_eq!((stats.slab.live_objects, stats.blocks.live_objects), (0, 0));
    assert_eq!(stats.blocks.free_blocks, 1, "freeing everything leaves one free block");
    assert!(stats.slab.allocs > 0 && stats.blocks.allocs > 0);
}

fn work<L: RawLock>(heap: &Heap<'_, L>, passed_on: &Mutex<Vec<Object>>, seed: u64) {
    let mut random = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15);
    for _ in 0..STEPS {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        let size = if random & 1 == 0 { 64 } else { (random >> 8) as usize % 500 + 1 };
        if let Some(object) = alloc(heap, size, random as u8) {
            passed_on.lock().expect("no thread has panicked").push(object);
        }
        if random & 6 != 0 {
            let object = passed_on.lock().expect("no thread has panicked").pop();
            object.into_iter().for_each(|object| free(heap, object));
        }
    }
}

fn alloc<L: RawLock>(heap: &Heap<'_, L>, size: usize, fill: u8) -> Option<Object> {
    let layout = Layout::from_size_align(size, if fill & 7 == 0 { 128 } else { 8 }).expect("a power of two");
    let start = heap.alloc_layout(layout).ok()?;
    assert_eq!(start.addr().get() % layout.align(), 0);
    // SAFETY: an object of `size` bytes that nobody else has.
    unsafe { start.write_bytes(fill, size) };
    Some(Object { start, size, fill })
}

fn free<L: RawLock>(heap: &Heap<'_, L>, Object { start, size, fill }: Object) {
    // SAFETY: `size` bytes that `alloc` has filled; this thread took the object from the list and is its only owner.
    let bytes = unsafe { slice::from_raw_parts(start.as_ptr(), size) };
    assert!(bytes.iter().all(|&byte| byte == fill), "somebody else has written into an object of {size} bytes");
    // SAFETY: nobody uses the object afterwards.
    assert_eq!(unsafe { heap.free(start.as_ptr()) }, Ok(()));
}
