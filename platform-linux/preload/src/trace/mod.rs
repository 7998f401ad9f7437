//! Records every call that reaches the heap, in the order in which the heap has seen them, so that it can be replayed.
//!
//! The trace is in the `.rep` form of the malloc labs: a header of four numbers (most bytes live at once, as they were asked
//! for; objects; operations; weight 1), then `a ID SIZE`, `r ID SIZE` and `f ID`, a line for each call that changed the heap.
//! Objects are numbered from 0 in the order in which they were made. All else stands in lines that begin with `#`, which
//! readers skip:
//!
//! | line | says |
//! |---|---|
//! | `#slabfit 1 heap=N slab=N placement=first base=0xN pid=N program=NAME` | what was recorded; the first line after the header |
//! | `#@OFFSET` | where the object of the next line came to lie, in bytes from `base`; ` mN` an alignment above 16; ` z` zeroed |
//! | `#s ADDRESS ..` | with `SLABFIT_TRACE_STACK`: where the next line's call came from, the innermost return address first |
//! | `#code START END OFFSET FILE` | the addresses from START to END are code, of FILE from OFFSET on; above the first `#s` in it |
//! | `#t N` | the thread (by the kernel's number) that made the calls from here on |
//! | `#-a SIZE REASON`, `#-r ID SIZE REASON` | a request that got no memory, with `mN` and `z` as above after the size |
//! | `#!f PLACE FAULT`, `#!r PLACE SIZE FAULT` | an address that was refused: an offset, or `0xN` outside the heap |
//! | `#m` | the magazines of the size classes were emptied, on which the addresses of later objects depend |
//! | `#!i N` | so many calls were refused because a signal handler made them inside the heap |
//! | `#fork N` | the process from here on, a child of the one before; what stands above is its parent's |
//! | `#end` | the process came to its exit |
//!
//! `free(NULL)`, `malloc_usable_size` and requests with an impossible alignment never reach the heap and are not recorded.
//!
//! One process records into one file. Without `%p` in the name it is the first process, and those that it forks or executes are
//! not recorded: the variable that they inherit is empty. With `%p` each has a file of its own (one that is there already is
//! left alone, and `.2` and so on put after the number), and a forked child's begins with its parent's up to the fork. Not
//! recorded is a child that was made without libc's fork handlers, or by a signal handler in the middle of a record.
//!
//! The file can be read from its first byte on: the header and the line on what is recorded come in one piece.
//!
//! A call and its record are made under one lock. A record is stored straight into the file's pages, so that nothing is lost
//! whatever ends the process: exit, `_exit`, exec, abort, or SIGKILL. Should the system itself end, the kernel may not have
//! written the last seconds. Where the file can grow no more, recording ends with a line on standard error; the program
//! goes on.
#![allow(unsafe_code)]

mod line;
mod caller;
mod modules;
mod file;
mod recorder;

use core::cell::UnsafeCell;
use core::fmt::Write;
use core::ptr::{self, NonNull};
use core::sync::atomic::{AtomicPtr, AtomicU32, Ordering};

use rustix::io::Errno;
use rustix::mm::{Advice, MapFlags, ProtFlags, madvise, mmap_anonymous};
use slabfit::{AllocError, InvalidFree, RawLock, ReallocError, Reason, Reentered};
use slabfit_linux::{FutexLock, Output, Placement};

use crate::heap::HEAP;
use crate::libc;
use crate::name::{ErrorText, Name};
use crate::settings;
pub(crate) use crate::trace::caller::{Caller, with_caller};
use crate::trace::file::TraceFile;
use crate::trace::line::Lines;
pub(crate) use crate::trace::recorder::Request;
use crate::trace::recorder::{Answer, Recorder, create};

/// Held from before a call of the heap until its record is made. Whoever has it may wait for the heap, and not the other way:
/// it is taken by [`enter`] alone.
static LOCK: FutexLock = FutexLock::INIT;

/// A page of one word: 1 while calls are recorded. The kernel clears it in every child, however that was made: it must never
/// write into its parent's trace. Null where nothing is to be recorded.
static SWITCH: AtomicPtr<AtomicU32> = AtomicPtr::new(ptr::null_mut());

/// Calls that were refused to a signal handler, and are not recorded yet.
static INTERRUPTED: AtomicU32 = AtomicU32::new(0);

/// Invariant: reached by who has the lock, and by the one thread that makes the heap.
struct Place(UnsafeCell<Option<Recorder>>);

// SAFETY: one thread at a time reaches the content, by the invariant.
unsafe impl Sync for Place {}

static RECORDER: Place = Place(UnsafeCell::new(None));

/// Makes a trace's file, for a heap that is yet to be made.
///
/// # Safety
/// The heap has no memory yet, and no other thread is about to give it some.
pub(crate) unsafe fn open(pattern: Name, heap: usize, addresses: usize) -> Result<(), Errno> {
    let new = pattern.tells_processes();
    let file = create(&pattern, |name| TraceFile::create(name, new))?;
    let recorder = Recorder::new(file, pattern, heap, addresses)?;
    // SAFETY: nobody else is here, by the terms of this function.
    unsafe { *RECORDER.0.get() = Some(recorder) };
    Ok(())
}

/// Begins the trace, if its file was made, with the heap that has its memory now.
///
/// # Safety
/// No other thread makes a request before this is done.
pub(crate) unsafe fn begin() -> Result<(), Errno> {
    // SAFETY: nobody else is here, by the terms of this function.
    let Some(recorder) = (unsafe { &mut *RECORDER.0.get() }) else { return Ok(()) };
    let switch = switch()?;
    recorder.begin()?;
    if !recorder.has_many_files() {
        // What this program starts must not write over its trace.
        libc::empty_variable(settings::TRACE);
    }
    switch.store(1, Ordering::Relaxed);
    SWITCH.store(ptr::from_ref(switch).cast_mut(), Ordering::Release);
    Ok(())
}

/// A word that a child of the process finds to be 0.
fn switch() -> Result<&'static AtomicU32, Errno> {
    let (access, flags) = (ProtFlags::READ | ProtFlags::WRITE, MapFlags::PRIVATE);
    // SAFETY: without a wish for an address the kernel gives one where nothing is mapped.
    let page = unsafe { mmap_anonymous(ptr::null_mut(), size_of::<AtomicU32>(), access, flags) }?;
    // Before Linux 4.14 it does not know how. Then a child is told by its handler, unless it was made without.
    // SAFETY: the page is this function's own, and nothing is in it.
    let _ = unsafe { madvise(page, size_of::<AtomicU32>(), Advice::LinuxWipeOnFork) };
    // SAFETY: mapped for ever, zeroed, aligned.
    Ok(unsafe { AtomicU32::from_ptr(page.cast()) })
}

fn switch_of_process() -> Option<&'static AtomicU32> {
    // SAFETY: null, or the word of `switch`, which is mapped for ever.
    unsafe { SWITCH.load(Ordering::Acquire).as_ref() }
}

/// Returns whether calls are recorded.
#[inline]
pub(crate) fn is_on() -> bool {
    switch_of_process().is_some_and(|switch| switch.load(Ordering::Relaxed) != 0)
}

/// Takes the lock, but for a signal handler that has interrupted a record or a call of the heap in its own thread. Some calls
/// are not recorded, those that give pages back for one: a handler in there would wait for who records, and they for it.
fn enter() -> Result<(), Reentered> {
    HEAP.is_free_to_enter()?;
    LOCK.lock()
}

/// Runs `call` and records what it came to; the last line of the record is `describe`'s. `None`, and nothing has run, in a
/// signal handler that has interrupted this or the heap; that is noted.
#[cold]
fn recorded<R>(call: impl FnOnce() -> R, describe: impl FnOnce(&mut Recorder, &R, &mut Lines)) -> Option<R> {
    if enter().is_err() {
        INTERRUPTED.fetch_add(1, Ordering::Relaxed);
        return None;
    }
    let result = call();
    // SAFETY: this thread has the lock.
    let recorder = unsafe { &mut *RECORDER.0.get() };
    if let Some(recorder) = recorder.as_mut().filter(|_| is_on()) {
        let mut lines = Lines::none();
        recorder.preface(INTERRUPTED.swap(0, Ordering::Relaxed), &mut lines);
        describe(recorder, &result, &mut lines);
        lines.byte(b'\n');
        // A handler may have forked since: the child's record is not its parent's.
        if let Some(Err(error)) = is_on().then(|| recorder.push(&lines)) {
            stop(error);
        }
    }
    // SAFETY: from `enter` above, in this thread.
    unsafe { LOCK.unlock(()) };
    Some(result)
}

/// Serves a request, and records it if calls are recorded.
#[inline]
pub(crate) fn request(request: Request, serve: impl FnOnce() -> Answer) -> Answer {
    if !is_on() {
        return serve();
    }
    recorded(serve, |recorder, answer, lines| recorder.requested(request, answer, lines))
        .unwrap_or(Err(AllocError::Reentered))
}

/// Frees an object, and records that if calls are recorded.
#[inline]
pub(crate) fn free<T>(address: usize, free: impl FnOnce() -> Result<T, InvalidFree>) -> Result<T, InvalidFree> {
    if !is_on() {
        return free();
    }
    recorded(free, |recorder, answer, lines| recorder.freed(address, outcome(answer), lines))
        .unwrap_or(Err(interrupted(address)))
}

/// Resizes an object, and records that if calls are recorded.
#[inline]
pub(crate) fn realloc(
    address: usize,
    size: usize,
    caller: Caller,
    resize: impl FnOnce() -> Result<NonNull<u8>, ReallocError>,
) -> Result<NonNull<u8>, ReallocError> {
    if !is_on() {
        return resize();
    }
    recorded(resize, |recorder, answer, lines| {
        recorder.called(caller, lines);
        recorder.resized(address, size, *answer, lines);
    })
    .unwrap_or(Err(interrupted(address).into()))
}

/// Empties the magazines of the size classes, if the heap has any, and records that.
#[cold]
pub(crate) fn empty_magazines() {
    if HEAP.placement() != Placement::General {
        return;
    }
    let empty = || HEAP.empty_magazines();
    if !is_on() {
        // A signal handler that has interrupted the heap leaves them as they are.
        let _ = empty();
        return;
    }
    recorded(empty, |_, emptied, lines| {
        if emptied.is_ok() {
            lines.text("#m");
        }
    });
}

/// What a record tells of a free.
fn outcome<T>(answer: &Result<T, InvalidFree>) -> Result<(), InvalidFree> {
    answer.as_ref().map(|_| ()).map_err(|&wrong| wrong)
}

fn interrupted(address: usize) -> InvalidFree {
    InvalidFree { address, reason: Reason::Reentered }
}

/// Ends the recording.
#[cold]
fn stop(error: Errno) {
    // Not reached: a child that a signal handler has forked just when a chunk is full, but by chance.
    if switch_of_process().is_some_and(|switch| switch.swap(0, Ordering::Relaxed) != 0) {
        say_end(error);
    }
}

fn say_end(error: Errno) {
    let _ = writeln!(Output::stderr(), "slabfit: the trace ends here: {}", ErrorText(error));
}

/// The dynamic loader calls what stands in this section when the process exits.
#[used]
// SAFETY: the section holds pointers to functions of this type, and this is one.
#[unsafe(link_section = ".fini_array")]
static AT_EXIT: extern "C" fn() = end;

extern "C" fn end() {
    if !is_on() {
        return;
    }
    let _ = recorded(
        || (),
        |_, (), lines| {
            lines.text("#end");
        },
    );
    // Nothing is left to be done for who exits in a signal handler that interrupted a record, or the heap.
    if enter().is_err() {
        return;
    }
    // SAFETY: this thread has the lock.
    let recorder = unsafe { &mut *RECORDER.0.get() };
    if let Some(Err(error)) = recorder.as_mut().filter(|_| is_on()).map(|recorder| recorder.file().trim()) {
        stop(error);
    }
    // SAFETY: from `enter` above, in this thread.
    unsafe { LOCK.unlock(()) };
}

/// No call is being recorded, and the next ones wait.
#[derive(Clone, Copy)]
pub(crate) struct Held {
    was_on: bool,
}

/// Waits until no call is being recorded, and keeps the next ones waiting: before a fork. `None` where nothing is to be let go.
pub(crate) fn hold() -> Option<Held> {
    switch_of_process()?;
    enter().ok()?;
    Some(Held { was_on: is_on() })
}

/// After the fork, in the parent.
///
/// # Safety
/// The answer of this thread's `hold`, once.
pub(crate) unsafe fn let_go(_: Held) {
    // SAFETY: from `enter` in `hold`, as the caller promises.
    unsafe { LOCK.unlock(()) };
}

/// After the fork, in a child for which nothing was held: if a signal handler has forked in the middle of a record, the child
/// goes on there when the handler returns, and must not make it; and if it has forked in the middle of the heap, another thread
/// may have been making a record, which nobody ends here. The child is not recorded.
pub(crate) fn orphan() {
    let Some(switch) = switch_of_process() else { return };
    switch.store(0, Ordering::Relaxed);
    // SAFETY: who has the lock is this thread, interrupted, or one that is not there any more: nobody else reaches the content.
    // Of what they were about to change this reads addresses that never change, and a number that changes in one store.
    // Not reached: a switch without a recorder.
    if let Some(recorder) = unsafe { &mut *RECORDER.0.get() } {
        recorder.file().orphan();
    }
}

/// After the fork, in the child: goes on in a file of its own, if it is to have one.
///
/// # Safety
/// As for [`let_go`], in the parent.
pub(crate) unsafe fn let_go_in_child(held: Held) {
    let switch = switch_of_process();
    // Not reached: a hold without a switch.
    if let Some(switch) = switch {
        switch.store(0, Ordering::Relaxed);
    }
    // SAFETY: this thread has the lock.
    let recorder = unsafe { &mut *RECORDER.0.get() };
    if let (Some(recorder), Some(switch)) = (recorder.as_mut().filter(|_| held.was_on), switch) {
        if recorder.has_many_files() {
            match recorder.follow() {
                Ok(()) => switch.store(1, Ordering::Relaxed),
                Err(error) => say_end(error),
            }
        } else {
            recorder.file().abandon();
        }
    }
    // SAFETY: from `enter` in `hold`, as the caller promises.
    unsafe { LOCK.unlock(()) };
}
