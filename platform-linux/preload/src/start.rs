//! Makes the heap at the first request, which comes from the dynamic loader, when there is one thread. Should there be
//! more, one makes it and the others wait.
#![allow(unsafe_code)]

use core::ffi::c_int;
use core::fmt::Write;
use core::sync::atomic::{AtomicBool, Ordering};

use rustix::io::Errno;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use slabfit::{AllocError, RawLock};
use slabfit_linux::{FutexLock, MapError, Output, random_key};

#[cfg(target_pointer_width = "64")]
use crate::cxx;
use crate::heap::{ABORT, ChosenHeap, HEAP};
use crate::name::ErrorText;
use crate::settings::{Report, Settings, TRACE, refuse};
use crate::{fault, fork, libc, map, report, trace};

/// Held by who makes the heap.
static STARTING: FutexLock = FutexLock::INIT;

/// The heap, with its memory.
///
/// # Errors
/// [`AllocError::Reentered`] in a signal handler that has interrupted the making.
#[inline]
pub(crate) fn heap() -> Result<&'static ChosenHeap, AllocError> {
    if is_pending() {
        handle_pending()?;
    }
    Ok(&HEAP)
}

/// Returns whether a request has to go through [`heap`].
#[inline]
pub(crate) fn is_pending() -> bool {
    PENDING.load(Ordering::Acquire)
}

/// Whether a request for memory has something else to do first: to make the heap, or to draw it. One look for both.
static PENDING: AtomicBool = AtomicBool::new(true);

#[cold]
fn handle_pending() -> Result<(), AllocError> {
    if HEAP.size() == 0 {
        start()?;
    } else {
        PENDING.store(false, Ordering::Release);
    }
    draw();
    Ok(())
}

/// Draws what was asked for, or leaves it to the next request for memory.
fn draw() {
    if map::draw_requested().is_err() {
        PENDING.store(true, Ordering::Release);
    }
}

extern "C" fn on_signal(_: c_int) {
    map::request();
    draw();
}

/// The dynamic loader calls what stands in this section when the library is loaded. The first request mostly comes before.
///
/// A program that never allocates has a heap as well, then, and is told of a wrong setting. And by `main` the heap is made in
/// any case: were it made for libc's list of fork handlers, in the middle of an entry, no other could be entered.
#[used]
// SAFETY: the section holds pointers to functions that may be called with no arguments, and this is one.
#[unsafe(link_section = ".init_array")]
static AT_LOAD: extern "C" fn() = at_load;

extern "C" fn at_load() {
    // Refused to a signal handler, and this is none.
    let _ = heap();
    fault::report();
    #[cfg(target_pointer_width = "64")]
    cxx::look();
    if let Some(signal) = map::signal() {
        libc::on_signal(signal, on_signal);
    }
}

#[cold]
fn start() -> Result<(), AllocError> {
    STARTING.lock()?;
    let first = HEAP.size() == 0;
    // Not reached: a second thread at the first request, which is the loader's, before there are any.
    if first {
        make();
    }
    // SAFETY: from the `lock` above, in this thread.
    unsafe { STARTING.unlock(()) };
    PENDING.store(false, Ordering::Release);
    // Not reached: as above.
    if first {
        // Not under the lock: libc may allocate for it.
        fork::register();
    }
    Ok(())
}

// Not reached: where lines are counted, which begins after this; tests/tests/preload sees it.
fn refuse_trace(why: Errno) {
    libc::variable(TRACE, |value| refuse(TRACE, value, format_args!("no trace: {}", ErrorText(why))));
}

/// Has the kernel refuse the process more memory of its own: the heap, which is still to come, what it maps itself, stacks. A
/// limit that is lower already stays.
fn limit_data(most: u64) {
    let Rlimit { current, maximum } = getrlimit(Resource::Data);
    let lower = |limit: Option<u64>| Some(limit.map_or(most, |limit| limit.min(most)));
    // Lowering is everybody's right.
    let _ = setrlimit(Resource::Data, Rlimit { current: lower(current), maximum: lower(maximum) });
}

fn init(settings: &Settings) -> Result<(), MapError> {
    let Settings { heap, placement, hardened, .. } = *settings;
    if !hardened {
        return HEAP.init(heap, settings.config(), placement);
    }
    let Some(key) = random_key() else {
        // Not reached: under a kernel that has random numbers.
        let _ = writeln!(Output::stderr(), "slabfit: no hardened heap: the system gives no random numbers");
        libc::refuse_to_start();
    };
    HEAP.init_hardened(heap, settings.config().key(key), placement)
}

/// Makes the heap, or ends the process. Under `STARTING`.
fn make() {
    let settings = Settings::read();
    ABORT.store(settings.aborts(), Ordering::Relaxed);
    if let Some(most) = settings.data {
        limit_data(most);
    }
    if settings.report != Report::Nothing {
        // SAFETY: the heap has no memory, and this thread alone, under `STARTING`, is about to give it some.
        unsafe { report::order(settings.report) };
    }
    if let Some(name) = settings.map {
        // SAFETY: as above.
        unsafe { map::order(name, settings.map_signal) };
    }
    if let Some(name) = settings.trace {
        // SAFETY: as for the report.
        // Not reached: where lines are counted, which begins after this; tests/tests/preload sees it.
        if let Err(error) = unsafe { trace::open(name, settings.heap, settings.trace_stack) } {
            // Not reached: as above.
            refuse_trace(error);
        }
    }
    // Not reached: where lines are counted, which begins after this; tests/tests/preload sees it.
    if let Err(error) = init(&settings) {
        // Not reached: as above.
        let _ = writeln!(Output::stderr(), "slabfit: no heap of {} bytes: {error}", settings.heap);
        libc::refuse_to_start();
    }
    // SAFETY: as for the report, but for the memory: under `STARTING`, and nobody else has seen that there is some.
    // Not reached: as for the trace above.
    if let Err(error) = unsafe { trace::begin() } {
        // Not reached: as above.
        refuse_trace(error);
    }
}
