//! Any `libmem.so`, loaded while the tester runs.

use core::ffi::{c_int, c_void};
use core::mem::ManuallyDrop;
use core::ptr::NonNull;
use core::sync::atomic::{AtomicUsize, Ordering};
use std::path::Path;

use crate::tester::allocator::{Allocator, Refusal, Refused};
use crate::tester::beacon::{Beacon, Function};

type MemInit = unsafe extern "C" fn(c_int, c_int) -> *mut c_void;
type MemAlloc = unsafe extern "C" fn(c_int) -> *mut c_void;
type MemFree = unsafe extern "C" fn(*mut c_void) -> c_int;
type MemStats = unsafe extern "C" fn(*mut Figures) -> c_int;

/// What `mem.h` calls `struct mem_stats`: words of one width, here with room for a library that has more to say.
#[repr(C)]
struct Figures([usize; 64]);

impl Figures {
    /// Words of a `struct mem_segment_stats`, of which there are two, and where `failed_full` and `failed_fragmented` are.
    const SEGMENT: usize = 14;
    const FULL: usize = 10;
    const FRAGMENTED: usize = 11;

    /// A figure of both segments together.
    fn sum(&self, word: usize) -> usize {
        self.0[word].wrapping_add(self.0[Self::SEGMENT + word])
    }
}

/// A loaded library, and the page that shows which of its functions is running.
pub struct Library {
    init: MemInit,
    alloc: MemAlloc,
    free: MemFree,
    /// Tells why requests failed, where the library has it.
    stats: Option<MemStats>,
    /// Failed requests of which the figures told why, and which were reported as such.
    full: AtomicUsize,
    fragmented: AtomicUsize,
    beacon: Beacon,
    /// Never unloaded: its heap and its threads may outlast every handle to it.
    _library: ManuallyDrop<libloading::Library>,
}

impl Library {
    /// Loads the library at `path`.
    ///
    /// # Errors
    /// The loader's message: no such library, or it lacks one of the three functions.
    ///
    /// # Safety
    /// The library's code runs, now and whenever it is called, and may do anything: the process must be one that can be
    /// spared. Its `Mem_Init`, `Mem_Alloc` and `Mem_Free`, and `Mem_Stats` if it has that, have the types that `mem.h` declares.
    pub unsafe fn load(path: &Path, beacon: Beacon) -> Result<Self, String> {
        // SAFETY: the caller answers for what the library's initialisers do.
        let library = unsafe { libloading::Library::new(path) }.map_err(|error| error.to_string())?;
        // SAFETY: the caller answers for the function's type, and the library is never unloaded.
        let init = *unsafe { library.get::<MemInit>(b"Mem_Init\0") }.map_err(|error| error.to_string())?;
        // SAFETY: as above.
        let alloc = *unsafe { library.get::<MemAlloc>(b"Mem_Alloc\0") }.map_err(|error| error.to_string())?;
        // SAFETY: as above.
        let free = *unsafe { library.get::<MemFree>(b"Mem_Free\0") }.map_err(|error| error.to_string())?;
        // SAFETY: as above.
        let stats = unsafe { library.get::<MemStats>(b"Mem_Stats\0") }.ok().map(|stats| *stats);
        let (full, fragmented) = (AtomicUsize::new(0), AtomicUsize::new(0));
        Ok(Self { init, alloc, free, stats, full, fragmented, beacon, _library: ManuallyDrop::new(library) })
    }

    /// Why a request has just failed: what the figures count more than was reported. Of several threads each takes one.
    fn why(&self) -> Refusal {
        let Some(stats) = self.stats else { return Refusal::Null };
        let mut figures = Figures([0; 64]);
        // SAFETY: `load`'s contract: it stores the figures there.
        if unsafe { stats(&raw mut figures) } != 0 {
            return Refusal::Null;
        }
        let takes = |reported: &AtomicUsize, all: usize| {
            let more = |reported| (reported < all).then(|| reported + 1);
            reported.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more).is_ok()
        };
        if takes(&self.full, figures.sum(Figures::FULL)) {
            Refusal::Full
        } else if takes(&self.fragmented, figures.sum(Figures::FRAGMENTED)) {
            Refusal::Fragmented
        } else {
            Refusal::Null
        }
    }

    /// The page that shows which function is running.
    #[must_use]
    pub fn beacon(&self) -> &Beacon {
        &self.beacon
    }
}

impl Allocator for Library {
    fn init(&self, size: isize, slab_size: isize) -> Result<NonNull<u8>, String> {
        let (size, slab_size) = (c_int_of(size).ok_or(TOO_LARGE)?, c_int_of(slab_size).ok_or(TOO_LARGE)?);
        // SAFETY: `load`'s contract: the function takes any two numbers.
        let base = self.beacon.during(Function::Init, as_argument(size), || unsafe { (self.init)(size, slab_size) });
        let base = NonNull::new(base.cast::<u8>()).ok_or("NULL")?;
        self.beacon.set_base(base.addr().get());
        Ok(base)
    }

    fn alloc(&self, size: isize) -> Result<NonNull<u8>, Refusal> {
        // A size that C cannot even ask for is larger than its heap.
        let size = c_int_of(size).ok_or(Refusal::Full)?;
        // SAFETY: `load`'s contract: the function takes any number.
        let address = self.beacon.during(Function::Alloc, as_argument(size), || unsafe { (self.alloc)(size) });
        NonNull::new(address.cast()).ok_or_else(|| self.why())
    }

    unsafe fn free(&self, address: *mut u8) -> Result<(), Refused> {
        // SAFETY: `load`'s contract: the function takes any address; the caller answers for the object there.
        let answer =
            self.beacon.during(Function::Free, address.addr() as u64, || unsafe { (self.free)(address.cast()) });
        if answer == 0 { Ok(()) } else { Err(Refused(format!("returned {answer}"))) }
    }
}

const TOO_LARGE: &str = "larger than a C int";

fn c_int_of(size: isize) -> Option<c_int> {
    size.try_into().ok()
}

fn as_argument(number: c_int) -> u64 {
    i64::from(number) as u64
}
