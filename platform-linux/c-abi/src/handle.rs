//! Where a heap with a handle lives, and how a handle is known.
//!
//! ```text
//! mapped:  | guard | handle | guards |      | guard | heap | guard | bookkeeping | guard |
//! lent:    | handle | bookkeeping | 64 bytes | slab | blocks |
//! ```
//! A mapped heap's handle has pages of its own, where nothing that runs past its end ever comes. In the caller's buffer
//! it is the first thing: what runs past the end of an object moves away from it.
#![allow(unsafe_code)]

use core::ffi::c_void;
use core::ptr::NonNull;

#[cfg(target_os = "linux")]
use slabfit::Hardened;
use slabfit::{FirstFit, General, Heap, MIN_REGION, Memory, NextFit, Policy};
#[cfg(target_os = "linux")]
use slabfit_linux::{MappedHeap, Mapping};

use crate::errno::{Answer, Failure};
use crate::options::{Options, Placement};
use crate::request::{CHeap, Reported};

/// What `mem.h` promises to be enough for a heap in a buffer, wherever it starts.
const ENOUGH: usize = 2048;

const _: () = assert!(size_of::<Handle>() + align_of::<Handle>() + MIN_REGION <= ENOUGH);

/// `struct mem_heap`, of which C has only pointers: to a [`Handle`], if the program is right.
pub struct MemHeap(());

/// What a handle points to.
///
/// Invariant: `cookie` is [`cookie`] of this value's own address, from the moment the caller has the address until
/// `destroy`. It comes first, so that of a pointer to anything else no more than that is read.
#[repr(C)]
struct Handle {
    cookie: usize,
    reports: bool,
    heap: AnyHome,
}

/// A heap of each policy that can be asked for. Another one is an arm here, in [`with_heap`], and where `options` are made.
pub(crate) enum AnyHome {
    NextFit(Home<NextFit>),
    FirstFit(Home<FirstFit>),
    General(Home<General>),
    #[cfg(target_os = "linux")]
    HardenedFirstFit(Home<Hardened<FirstFit>>),
    #[cfg(target_os = "linux")]
    HardenedGeneral(Home<Hardened<General>>),
}

/// Evaluates `$work` with `$heap` standing for the heap of an opened handle, of whichever policy that is.
macro_rules! with_heap {
    ($opened:expr, $heap:ident => $work:expr) => {
        match $opened.home() {
            $crate::handle::AnyHome::NextFit(home) => {
                let $heap = home.heap();
                $work
            }
            $crate::handle::AnyHome::FirstFit(home) => {
                let $heap = home.heap();
                $work
            }
            $crate::handle::AnyHome::General(home) => {
                let $heap = home.heap();
                $work
            }
            #[cfg(target_os = "linux")]
            $crate::handle::AnyHome::HardenedFirstFit(home) => {
                let $heap = home.heap();
                $work
            }
            #[cfg(target_os = "linux")]
            $crate::handle::AnyHome::HardenedGeneral(home) => {
                let $heap = home.heap();
                $work
            }
        }
    };
}
pub(crate) use with_heap;

/// A heap, and what goes with it.
pub(crate) enum Home<P: Policy> {
    /// In pages of its own, like the handle.
    #[cfg(target_os = "linux")]
    Mapped { heap: MappedHeap<P>, _handle: Mapping },
    /// In the caller's buffer.
    Lent(CHeap<P>),
}

impl<P: Policy> Home<P> {
    #[inline]
    pub(crate) fn heap(&self) -> &CHeap<P> {
        match self {
            #[cfg(target_os = "linux")]
            Self::Mapped { heap, .. } => heap,
            Self::Lent(heap) => heap,
        }
    }
}

/// What stands in a handle at `address`. A copy of a handle does not have it, as it is of another address; nor does what
/// holds an address, as none of 64 bits has the mark's upper ones. What else has it is a rare accident.
fn cookie(address: usize) -> usize {
    const MARK: usize = 0x9E37_79B9_7F4A_7C15_u64 as usize;
    address ^ MARK
}

/// A heap of `size` bytes in pages of its own.
#[cfg(target_os = "linux")]
pub(crate) fn create(size: usize, options: Options) -> Answer<NonNull<MemHeap>> {
    match options.placement {
        // Next fit is never hardened: the options refuse it.
        Placement::NextFit => map(size, options, AnyHome::NextFit),
        Placement::FirstFit if options.hardened => map(size, options, AnyHome::HardenedFirstFit),
        Placement::General if options.hardened => map(size, options, AnyHome::HardenedGeneral),
        Placement::FirstFit => map(size, options, AnyHome::FirstFit),
        Placement::General => map(size, options, AnyHome::General),
    }
}

#[cfg(target_os = "linux")]
fn map<P: Policy>(size: usize, options: Options, any: fn(Home<P>) -> AnyHome) -> Answer<NonNull<MemHeap>> {
    let heap = MappedHeap::with_policy(size, options.config)?;
    let pages = Mapping::new(size_of::<Handle>(), 0)?;
    let place = pages.heap().cast();
    let home = any(Home::Mapped { heap, _handle: pages });
    // SAFETY: a page is large enough and aligned for it, these pages are nobody else's, and they go with the handle.
    Ok(unsafe { put(place, home, options.reports) })
}

/// Nothing maps pages here.
#[cfg(not(target_os = "linux"))]
pub(crate) fn create(_: usize, _: Options) -> Answer<NonNull<MemHeap>> {
    Err(Failure::INVALID)
}

/// A heap in the caller's buffer, which holds the handle and the bookkeeping too.
///
/// # Safety
/// `buffer` is null, or its `size` bytes are readable, writable and the heap's alone until `destroy`.
pub(crate) unsafe fn create_in(buffer: *mut c_void, size: usize, options: Options) -> Answer<NonNull<MemHeap>> {
    let start = NonNull::new(buffer).ok_or(Failure::INVALID)?.cast::<u8>();
    let skip = start.align_offset(align_of::<Handle>());
    let before = skip.saturating_add(size_of::<Handle>());
    let rest = size.checked_sub(before).ok_or(Failure::INVALID)?;
    // SAFETY: in bounds: skip <= before <= size.
    let place = unsafe { start.add(skip) };
    // SAFETY: in bounds: before <= size.
    let region = unsafe { start.add(before) };
    // SAFETY: the rest of the buffer, of which the same holds.
    let memory = unsafe { Memory::from_raw(region.as_ptr(), rest) };
    let heap = match options.placement {
        Placement::NextFit => lend(memory, options, AnyHome::NextFit),
        #[cfg(target_os = "linux")]
        Placement::FirstFit if options.hardened => lend(memory, options, AnyHome::HardenedFirstFit),
        #[cfg(target_os = "linux")]
        Placement::General if options.hardened => lend(memory, options, AnyHome::HardenedGeneral),
        Placement::FirstFit => lend(memory, options, AnyHome::FirstFit),
        Placement::General => lend(memory, options, AnyHome::General),
    }?;
    // SAFETY: aligned by `skip`, and room for it was left before the heap's region.
    Ok(unsafe { put(place.cast(), heap, options.reports) })
}

fn lend<P: Policy>(memory: Memory<'static>, options: Options, any: fn(Home<P>) -> AnyHome) -> Answer<AnyHome> {
    Ok(any(Home::Lent(Heap::from_memory(memory, options.config)?)))
}

/// # Safety
/// `place` is aligned for a handle, can be written to, and is its alone from now on.
unsafe fn put(place: NonNull<Handle>, heap: AnyHome, reports: bool) -> NonNull<MemHeap> {
    let handle = Handle { cookie: cookie(place.addr().get()), reports, heap };
    // SAFETY: as the caller promises.
    unsafe { place.write(handle) };
    place.cast()
}

/// A heap that a handle stands for, while a call lasts.
#[derive(Clone, Copy)]
pub(crate) struct Opened<'h>(&'h Handle);

impl<'h> Opened<'h> {
    #[inline]
    pub(crate) fn home(self) -> &'h AnyHome {
        &self.0.heap
    }

    /// The name under which `function` is to report, if this heap does.
    pub(crate) fn reported(self, function: &'static str) -> Reported {
        self.0.reports.then_some(function)
    }
}

/// The heap of a handle; whatever is no handle is refused, as far as it can be read.
///
/// # Safety
/// `heap` is null, not aligned, or points to a word that can be read; and if that is a handle, no other thread destroys
/// it before the caller is done with the answer.
#[inline]
pub(crate) unsafe fn open<'h>(heap: *const MemHeap) -> Answer<Opened<'h>> {
    let handle = heap.cast::<Handle>();
    if handle.is_null() || !handle.is_aligned() {
        return Err(Failure::INVALID);
    }
    // SAFETY: the first word of what it points to can be read, as the caller promises.
    let found = unsafe { handle.cast::<usize>().read() };
    if found != cookie(handle.addr()) {
        return Err(Failure::INVALID);
    }
    // SAFETY: by its cookie it is a handle that `put` wrote, and nobody destroys it meanwhile, as the caller promises.
    Ok(Opened(unsafe { &*handle }))
}

/// Gives back all that `create` mapped; a buffer is the caller's again.
///
/// # Safety
/// As for [`open`], and neither the handle nor any object of its heap is used after this.
pub(crate) unsafe fn destroy(heap: *mut MemHeap) -> Answer<()> {
    // SAFETY: as the caller promises.
    unsafe { open(heap) }?;
    let handle = heap.cast::<Handle>();
    // SAFETY: it is a handle, and nobody uses it any more but this call.
    let taken = unsafe { handle.read() };
    // SAFETY: as above. From here on it is none.
    unsafe { handle.cast::<usize>().write(0) };
    // Not where it lies: for a mapped heap this unmaps the handle's own pages too.
    drop(taken);
    Ok(())
}
