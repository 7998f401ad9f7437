//! Replays a trace with this process's own malloc, whichever that is, and measures what becomes resident: the part of
//! `tester footprint` that runs in a process of its own, under `LD_PRELOAD`.
//!
//! What it needs itself lies in mappings and not in the heap that is measured.

use std::fs::File;
use std::io::{self, Read};
use std::os::fd::AsFd;
use std::os::unix::fs::FileExt;
use std::ptr::{self, NonNull};
use std::slice;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use crate::tester::sys;
use crate::tester::trace::{Operation, Trace};

/// How often it looks, at even distances; and once when most bytes live.
const LOOKS: usize = 200;

/// An operation, as the parent hands it over.
#[derive(Clone, Copy)]
#[repr(C)]
struct Step {
    size: u64,
    object: u32,
    kind: u32,
}

const STEP: usize = size_of::<Step>();
const ALLOCATE: u32 = 0;
const REALLOCATE: u32 = 1;
const FREE: u32 = 2;

/// What came of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MallocReplay {
    /// Most bytes that were resident beyond what was before the first operation.
    pub resident: u64,
    /// How long the operations took, with the first use of every byte.
    pub nanoseconds: u64,
    /// Requests that got no memory.
    pub failed: u64,
}

/// What the child gets as its standard input.
///
/// # Errors
/// The kernel's.
pub fn script(trace: &Trace) -> io::Result<File> {
    let mut bytes = Vec::with_capacity((trace.operations().len() + 1) * STEP);
    let mut push = |Step { size, object, kind }| {
        bytes.extend_from_slice(&u64::to_ne_bytes(size));
        bytes.extend_from_slice(&u32::to_ne_bytes(object));
        bytes.extend_from_slice(&u32::to_ne_bytes(kind));
    };
    let objects = u32::try_from(trace.objects()).map_err(io::Error::other)?;
    push(Step { size: trace.peak_at() as u64, object: objects, kind: 0 });
    for operation in trace.operations() {
        push(match *operation {
            Operation::Allocate { object, size } => Step { size, object, kind: ALLOCATE },
            Operation::Reallocate { object, size } => Step { size, object, kind: REALLOCATE },
            Operation::Free { object } => Step { size: 0, object, kind: FREE },
        });
    }
    let file = sys::memory_file(bytes.len())?;
    file.write_all_at(&bytes, 0)?;
    Ok(file)
}

/// Replays the script on standard input.
///
/// # Errors
/// It is none, or the kernel's.
pub fn replay_by_malloc() -> io::Result<MallocReplay> {
    let file = File::from(io::stdin().as_fd().try_clone_to_owned()?);
    let count = usize::try_from(file.metadata()?.len()).map_err(io::Error::other)? / STEP;
    let mapping = sys::map_shared(&file, (count * STEP).max(1))?.cast::<Step>();
    // SAFETY: so many steps are mapped, for as long as the process lives; the parent, which wrote them, does not change them;
    // every bit pattern is a step.
    let steps = unsafe { slice::from_raw_parts(mapping.as_ptr(), count) };
    let Some((head, steps)) = steps.split_first() else { return Err(io::ErrorKind::InvalidData.into()) };
    let objects = head.object as usize;
    let table = sys::map_private((objects * size_of::<*mut u8>()).max(1))?.cast::<*mut u8>();
    // SAFETY: so many zeroed pointers are mapped, for as long as the process lives, and nobody else has them.
    let table = unsafe { slice::from_raw_parts_mut(table.as_ptr(), objects) };
    // What this touches is resident before it is counted.
    table.fill(ptr::dangling_mut());
    table.fill(ptr::null_mut());
    let mut player = Player { table, failed: 0 };
    let (before, mut most, mut time) = (anonymous()?, 0, Duration::ZERO);
    for (part, steps) in steps.chunks(steps.len().div_ceil(LOOKS).max(1)).enumerate() {
        let first = part * (count - 1).div_ceil(LOOKS).max(1);
        let peak = usize::try_from(head.size).unwrap_or(0).wrapping_sub(first).wrapping_add(1).min(steps.len());
        for steps in [&steps[..peak], &steps[peak..]] {
            let start = Instant::now();
            steps.iter().for_each(|step| player.step(step));
            time += start.elapsed();
            most = most.max(anonymous()?);
        }
    }
    let nanoseconds = u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
    Ok(MallocReplay { resident: most.saturating_sub(before), nanoseconds, failed: player.failed })
}

struct Player<'a> {
    table: &'a mut [*mut u8],
    failed: u64,
}

impl Player<'_> {
    fn step(&mut self, step: &Step) {
        let Some(place) = self.table.get_mut(step.object as usize) else { return };
        let size = usize::try_from(step.size).unwrap_or(usize::MAX);
        match step.kind {
            // An object that a failed request did not make is none to resize.
            REALLOCATE if place.is_null() => {}
            FREE => {
                // SAFETY: null, or an object that was not freed since it was made.
                unsafe { libc::free(place.cast()) };
                *place = ptr::null_mut();
            }
            kind => {
                let old = if kind == ALLOCATE { ptr::null_mut() } else { *place };
                // SAFETY: as above. Of nothing, this is malloc; a size of 0 would free.
                let object = unsafe { libc::realloc(old.cast(), size.max(1)) };
                match NonNull::new(object.cast::<u8>()) {
                    None => self.failed += 1,
                    Some(object) => {
                        // SAFETY: just handed out, of so many bytes. Volatile, so that it is done: each is used, as programs do.
                        unsafe { libc::memset(object.as_ptr().cast(), 1, size) };
                        *place = core::hint::black_box(object.as_ptr());
                    }
                }
            }
        }
    }
}

/// Bytes of this process's anonymous memory that are resident. Allocates nothing.
fn anonymous() -> io::Result<u64> {
    let mut text = [0; 4096];
    let len = File::open("/proc/self/smaps_rollup")?.read(&mut text)?;
    let text = core::str::from_utf8(&text[..len]).map_err(io::Error::other)?;
    let line = text.lines().find_map(|line| line.strip_prefix("Anonymous:"));
    let kilobytes = line.and_then(|line| line.split_ascii_whitespace().next()?.parse::<u64>().ok());
    kilobytes.map(|kilobytes| kilobytes << 10).ok_or_else(|| io::ErrorKind::InvalidData.into())
}
