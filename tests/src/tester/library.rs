//! Any `libmem.so`, loaded while the tester runs.

use core::ffi::{c_int, c_void};
use core::mem::ManuallyDrop;
use core::ptr::NonNull;
use std::path::Path;

use crate::tester::allocator::{Allocator, Refusal, Refused};
use crate::tester::beacon::{Beacon, Function};

type MemInit = unsafe extern "C" fn(c_int, c_int) -> *mut c_void;
type MemAlloc = unsafe extern "C" fn(c_int) -> *mut c_void;
type MemFree = unsafe extern "C" fn(*mut c_void) -> c_int;

/// A loaded library, and the page that shows which of its functions is running.
pub struct Library {
    init: MemInit,
    alloc: MemAlloc,
    free: MemFree,
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
    /// spared. Its `Mem_Init`, `Mem_Alloc` and `Mem_Free` have the types that `mem.h` declares.
    pub unsafe fn load(path: &Path, beacon: Beacon) -> Result<Self, String> {
        // SAFETY: the caller answers for what the library's initialisers do.
        let library = unsafe { libloading::Library::new(path) }.map_err(|error| error.to_string())?;
        // SAFETY: the caller answers for the function's type, and the library is never unloaded.
        let init = *unsafe { library.get::<MemInit>(b"Mem_Init\0") }.map_err(|error| error.to_string())?;
        // SAFETY: as above.
        let alloc = *unsafe { library.get::<MemAlloc>(b"Mem_Alloc\0") }.map_err(|error| error.to_string())?;
        // SAFETY: as above.
        let free = *unsafe { library.get::<MemFree>(b"Mem_Free\0") }.map_err(|error| error.to_string())?;
        Ok(Self { init, alloc, free, beacon, _library: ManuallyDrop::new(library) })
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
        let size = c_int_of(size).ok_or(Refusal::Null)?;
        // SAFETY: `load`'s contract: the function takes any number.
        let address = self.beacon.during(Function::Alloc, as_argument(size), || unsafe { (self.alloc)(size) });
        NonNull::new(address.cast()).ok_or(Refusal::Null)
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
