//! Two kinds of RAM as one allocator: fast memory that only the processor reaches, and memory that a device reaches too. What the
//! device reads or writes is at a multiple of 32, and lies in its bank; everything else lies in the fast one while that has room.
//!
//! `cargo run -p slabfit --example banks`

use std::alloc::Layout;

use slabfit::{Banks, Config, DefaultLock, FirstFit, StaticArray, StaticHeap};

// On the target: #[unsafe(link_section = ".dtcm")]
static FAST_ARRAY: StaticArray<{ 64 << 10 }, DefaultLock, FirstFit> = StaticArray::new();
static FAST: StaticHeap<DefaultLock, FirstFit> = StaticHeap::new(&FAST_ARRAY, Config::without_slab());

// On the target: #[unsafe(link_section = ".sram1")]
static DMA_ARRAY: StaticArray<{ 1 << 20 }, DefaultLock, FirstFit> = StaticArray::new();
static DMA: StaticHeap<DefaultLock, FirstFit> = StaticHeap::new(&DMA_ARRAY, Config::without_slab());

#[global_allocator]
static HEAP: Banks<2> = Banks::new([&FAST, &DMA]).rule(banks_for);

/// The numbers of the banks that serve a request, the first choice first.
fn banks_for(request: Layout) -> &'static [usize] {
    if request.align() >= align_of::<Packet>() { &[1] } else { &[0, 1] }
}

/// What the device fills. It takes whole cache lines.
#[repr(align(32))]
struct Packet([u8; 1536]);

fn main() {
    let mut received = Vec::new();
    for number in 0..40u8 {
        let packet = Box::new(Packet([number; 1536]));
        received.push((format!("packet {number}"), packet));
    }
    for (name, packet) in &received {
        assert!(DMA.owns(packet.0.as_ptr()) && FAST.owns(name.as_ptr()));
        assert_eq!(*name, format!("packet {}", packet.0[0]));
    }
    drop(received);
    let (fast, dma) = (FAST.stats().expect("not in the heap"), DMA.stats().expect("not in the heap"));
    assert_eq!(dma.blocks.live_objects, 0);
    println!("fast: at most {} bytes at once; for the device: {}", fast.blocks.peak_bytes, dma.blocks.peak_bytes);
}
