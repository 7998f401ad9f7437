//! What a hardened heap says of mistakes.

use slabfit::{Config, Damage, General, Hardened, Heap, NoLock, RegionArray, Violation};

type HardenedHeap<'a> = Heap<'a, NoLock, Hardened<General>>;

/// An object of 50 bytes, and what is done wrong with it.
pub(crate) fn mistakes() -> String {
    let mut region = RegionArray::<{ 256 << 10 }>::new();
    let config = Config::without_slab().key([1, 2]);
    let heap: HardenedHeap<'_> = Heap::from_memory(&mut region, config).expect("a region of this size makes a heap");
    let object = heap.alloc(50).expect("there is memory").as_ptr();
    let mut text = format!("{:<38}{:<44}{}\n", "operation", "answer", "in quarantine");
    let mut line = |operation: &str, answer: &str| {
        let quarantine = heap.stats().expect("one thread").quarantine.objects;
        text += &format!("{operation:<38}{answer:<44}{quarantine}\n");
    };
    write(object, 50);
    line("object[50] = '!'; check()", &found(&heap));
    line("free(object)", &free(&heap, object));
    heap.repair().expect("one thread");
    line("repair(); free(object)", &free(&heap, object));
    line("free(object)", &free(&heap, object));
    write(object, 3);
    line("object[3] = '!'; check()", &found(&heap));
    heap.repair().expect("one thread");
    for _ in 0..63 {
        let other = heap.alloc(50).expect("there is memory").as_ptr();
        assert_ne!(other, object, "it is in quarantine");
        assert_eq!(free(&heap, other), "freed");
    }
    line("repair(); 63 x free(alloc(50))", "another slot each time");
    line("free(object)", &free(&heap, object));
    heap.check().expect("the heap is in order");
    text
}

/// Writes a byte that is not the object's.
fn write(object: *mut u8, at: usize) {
    // SAFETY: in the heap's region, which lives, and nobody else uses the byte: the heap is told by `check` and `free`.
    unsafe { object.wrapping_add(at).write(b'!') };
}

fn found(heap: &HardenedHeap<'_>) -> String {
    match heap.check() {
        Err(Violation::Damaged(Damage::PastEnd { size, bytes, .. })) => {
            format!("{bytes} byte written past the end of {size}")
        }
        Err(Violation::Damaged(Damage::AfterFree { offset, bytes, .. })) => {
            format!("{bytes} byte written after the free, at {offset}")
        }
        other => format!("{other:?}"),
    }
}

fn free(heap: &HardenedHeap<'_>, object: *mut u8) -> String {
    // SAFETY: nobody uses the object.
    match unsafe { heap.free(object) } {
        Ok(()) => "freed".to_owned(),
        Err(wrong) => wrong.reason.to_string(),
    }
}
