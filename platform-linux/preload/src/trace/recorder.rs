//! What is known of the process while it is recorded, and the lines that each call leaves.
#![allow(unsafe_code)]

use core::fmt::Write;
use core::mem;
use core::ptr::{self, NonNull};

use rustix::io::Errno;
use rustix::mm::{MapFlags, ProtFlags, mmap_anonymous};
use rustix::process::getpid;
use rustix::thread::gettid;
use slabfit::{AllocError, GRANULE, InvalidFree, ReallocError};

use crate::heap::HEAP;
use crate::libc;
use crate::name::{Name, Path};
use crate::trace::caller::{Caller, Stack};
use crate::trace::file::{Field, TraceFile};
use crate::trace::line::{Digits, Lines};
use crate::trace::modules::Modules;

/// What a request came to.
pub(crate) type Answer = Result<NonNull<u8>, AllocError>;

/// A request, as the heap gets it.
#[derive(Clone, Copy)]
pub(crate) struct Request {
    pub(crate) size: usize,
    pub(crate) alignment: usize,
    pub(crate) zeroed: bool,
    pub(crate) caller: Caller,
}

/// The trace, and the live objects with their ids.
pub(crate) struct Recorder {
    file: TraceFile,
    /// As it stands in the settings.
    pattern: Name,
    objects: Table,
    made: u64,
    live_bytes: u64,
    peak_bytes: u64,
    made_digits: Digits,
    operations: Digits,
    /// The thread of the last record.
    thread: i32,
    /// Return addresses that each call has recorded.
    addresses: usize,
    modules: Modules,
}

// SAFETY: its pointers are to memory of the process, which no thread owns.
unsafe impl Send for Recorder {}

/// What is known of a live object.
#[derive(Clone, Copy, Default)]
struct Object {
    id: u64,
    size: u64,
}

const _: () = assert!(size_of::<Object>() == GRANULE);

/// The live objects, by the granule at which they start: as many entries as the heap has granules, of which those become
/// resident that were used.
struct Table(NonNull<Object>);

impl Table {
    /// For a heap of `size` bytes, rounded up to whole pages, as the table is then: the two are of one size.
    fn new(size: usize) -> Result<Self, Errno> {
        let (access, flags) = (ProtFlags::READ | ProtFlags::WRITE, MapFlags::PRIVATE | MapFlags::NORESERVE);
        // SAFETY: without a wish for an address the kernel gives one where nothing is mapped.
        let start = unsafe { mmap_anonymous(ptr::null_mut(), size, access, flags) }?;
        NonNull::new(start.cast()).map(Self).ok_or(Errno::NOMEM)
    }

    /// The entry of the object at `offset`.
    fn at(&mut self, offset: usize) -> &mut Object {
        // SAFETY: what the heap hands out lies in it, so that the index is below the count of its granules.
        let mut entry = unsafe { self.0.add(offset / GRANULE) };
        // SAFETY: mapped, aligned, zeroed at first, and reached through `self` alone.
        unsafe { entry.as_mut() }
    }
}

impl Recorder {
    /// For a heap of `heap` bytes, of which nothing is in use.
    pub(crate) fn new(file: TraceFile, pattern: Name, heap: usize, addresses: usize) -> Result<Self, Errno> {
        Ok(Self {
            file,
            pattern,
            objects: Table::new(heap)?,
            made: 0,
            live_bytes: 0,
            peak_bytes: 0,
            made_digits: Digits::ZERO,
            operations: Digits::ZERO,
            thread: 0,
            addresses,
            modules: Modules::NONE,
        })
    }

    pub(crate) fn file(&mut self) -> &mut TraceFile {
        &mut self.file
    }

    /// Whether a child of the process is to be recorded as well.
    pub(crate) fn has_many_files(&self) -> bool {
        self.pattern.tells_processes()
    }

    /// What stands above the record itself: what has changed since the last one, and how many calls a handler was refused.
    pub(crate) fn preface(&mut self, interrupted: u32, lines: &mut Lines) {
        let thread = gettid().as_raw_nonzero().get();
        if thread != self.thread {
            self.thread = thread;
            lines.text("#t ").number(thread.unsigned_abs().into()).byte(b'\n');
        }
        if interrupted > 0 {
            lines.text("#!i ").number(interrupted.into()).byte(b'\n');
        }
    }

    /// Begins the file with the heap, which has its memory now, and the program.
    pub(crate) fn begin(&mut self) -> Result<(), Errno> {
        let mut lines = Lines::none();
        self.introduce(&mut lines);
        self.file.begin(&lines)
    }

    fn introduce(&self, lines: &mut Lines) {
        let placement = HEAP.placement().word();
        lines.text("#slabfit 1 heap=").number(HEAP.size() as u64);
        lines.text(" slab=").number(HEAP.slab_size() as u64).text(" placement=").text(placement);
        let base = HEAP.base().map_or(0, |base| base.addr().get());
        // There is room for it: see `Lines`.
        let _ = write!(lines, " base={base:#x} pid={} program=", getpid().as_raw_nonzero());
        libc::program_name().for_each(|byte| lines.byte(if byte.is_ascii_graphic() { byte } else { b'?' }));
        lines.byte(b'\n');
    }

    /// Where a call came from, if that is recorded. What is no code ends it: there the program keeps no frame pointers.
    pub(crate) fn called(&mut self, caller: Caller, lines: &mut Lines) {
        if self.addresses == 0 {
            return;
        }
        let (file, modules) = (&mut self.file, &mut self.modules);
        let stack = Stack::of(caller, self.addresses);
        // Where the file can grow no more, the record that follows fails as well, and says so.
        let mut tell = |line: &Lines| {
            let _ = file.push(line);
        };
        let code = stack.addresses().iter().take_while(|&&address| modules.find(address, &mut tell));
        let mut begun = false;
        for address in code {
            lines.text(if begun { "" } else { "#s" });
            begun = true;
            let _ = write!(lines, " {address:#x}");
        }
        if begun {
            lines.byte(b'\n');
        }
    }

    pub(crate) fn requested(&mut self, request: Request, answer: &Answer, lines: &mut Lines) {
        let size = request.size as u64;
        self.called(request.caller, lines);
        match answer {
            Ok(object) => {
                let at = offset(object.addr().get());
                lines.text("#@").number(at as u64);
                wishes(request, lines);
                lines.byte(b'\n');
                lines.text("a ").number(self.made).text(" ").number(size);
                *self.objects.at(at) = Object { id: self.made, size };
                self.made += 1;
                self.made_digits.increment();
                self.resize(0, size);
            }
            Err(why) => {
                lines.text("#-a ").number(size);
                wishes(request, lines);
                let _ = write!(lines, " {why}");
            }
        }
    }

    pub(crate) fn freed(&mut self, address: usize, answer: Result<(), InvalidFree>, lines: &mut Lines) {
        match answer {
            Ok(()) => {
                let object = mem::take(self.objects.at(offset(address)));
                lines.text("f ").number(object.id);
                self.resize(object.size, 0);
            }
            Err(wrong) => {
                place(address, lines.text("#!f "));
                let _ = write!(lines, " {}", wrong.reason);
            }
        }
    }

    pub(crate) fn resized(
        &mut self,
        address: usize,
        size: usize,
        answer: Result<NonNull<u8>, ReallocError>,
        lines: &mut Lines,
    ) {
        let size = size as u64;
        match answer {
            Ok(moved) => {
                let object = mem::take(self.objects.at(offset(address)));
                let at = offset(moved.addr().get());
                lines.text("#@").number(at as u64).byte(b'\n');
                lines.text("r ").number(object.id).text(" ").number(size);
                *self.objects.at(at) = Object { id: object.id, size };
                self.resize(object.size, size);
            }
            Err(ReallocError::InvalidFree(wrong)) => {
                place(address, lines.text("#!r "));
                let _ = write!(lines.text(" ").number(size), " {}", wrong.reason);
            }
            Err(why) => {
                lines.text("#-r ").number(self.objects.at(offset(address)).id).text(" ").number(size);
                let _ = write!(lines, " {why}");
            }
        }
    }

    /// An operation that the header counts: what it takes back, and what it hands out.
    fn resize(&mut self, from: u64, to: u64) {
        self.operations.increment();
        self.live_bytes = self.live_bytes.wrapping_sub(from).wrapping_add(to);
    }

    /// Stores a record, and then the header's numbers with it.
    pub(crate) fn push(&mut self, lines: &Lines) -> Result<(), Errno> {
        self.file.push(lines)?;
        self.file.set(Field::Operations, &self.operations);
        self.file.set(Field::Objects, &self.made_digits);
        if self.live_bytes > self.peak_bytes {
            self.peak_bytes = self.live_bytes;
            self.file.set(Field::PeakBytes, &Digits::of(self.peak_bytes));
        }
        Ok(())
    }

    /// Goes on in a file of the child's own, which begins with what its parent has recorded until the fork.
    pub(crate) fn follow(&mut self) -> Result<(), Errno> {
        let parents = &mut self.file;
        let file = create(&self.pattern, |name| parents.copy_to(name));
        parents.abandon();
        self.file = file?;
        self.file.set(Field::Operations, &self.operations);
        self.file.set(Field::Objects, &self.made_digits);
        self.file.set(Field::PeakBytes, &Digits::of(self.peak_bytes));
        let mut lines = Lines::none();
        lines.text("#fork ").number(getpid().as_raw_nonzero().get().unsigned_abs().into()).byte(b'\n');
        self.file.push(&lines)
    }
}

/// Makes a file of the name, or of the first that is not taken where each process is to have its own.
pub(crate) fn create(
    pattern: &Name,
    mut make: impl FnMut(Path) -> Result<TraceFile, Errno>,
) -> Result<TraceFile, Errno> {
    let process = getpid().as_raw_nonzero().get().unsigned_abs();
    let mut which = 1;
    loop {
        let name = match which {
            1 => pattern.path(&process, which),
            // Which of several with that number it is.
            _ => pattern.path(&format_args!("{process}.{which}"), which),
        };
        let name = name.ok_or(Errno::NAMETOOLONG)?;
        match make(name) {
            // The kernel says so of files that must be new, which they must where each process has its own.
            Err(Errno::EXIST) => which += 1,
            made => return made,
        }
    }
}

fn wishes(request: Request, lines: &mut Lines) {
    if request.alignment > GRANULE {
        lines.text(" m").number(request.alignment as u64);
    }
    if request.zeroed {
        lines.text(" z");
    }
}

/// An address of any kind.
fn place(address: usize, lines: &mut Lines) {
    if HEAP.owns(ptr::without_provenance(address)) {
        lines.number(offset(address) as u64);
    } else {
        let _ = write!(lines, "{address:#x}");
    }
}

/// Bytes between the heap's first byte and an address in it.
fn offset(address: usize) -> usize {
    address.wrapping_sub(HEAP.base().map_or(0, |base| base.addr().get()))
}
