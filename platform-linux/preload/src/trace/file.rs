//! A trace as a file: what is stored in it is in the kernel's hands at once, however the process ends.
//!
//! The end of the file is mapped, a chunk at a time, and records are stored straight into it. A chunk is written as blank lines
//! before it is mapped, so that a full disk is an error here and no signal there, and so that a reader finds whole lines
//! whenever it looks. In a zstd file each chunk is a frame of one stored block.
//!
//! What a program can do to the file: closing its number (as programs do that close all they do not know) costs nothing, it is
//! opened again by its name; cutting it short while it is mapped ends the program with SIGBUS.
#![allow(unsafe_code)]

use core::mem;
use core::ops::RangeInclusive;
use core::ptr::{self, NonNull};

use rustix::fd::{BorrowedFd, FromRawFd, IntoRawFd, OwnedFd, RawFd};
use rustix::fs::{FileType, FlockOperation, OFlags, flock, fstat, ftruncate};
use rustix::io::{DupFlags, Errno, close, dup3, fcntl_getfd, pread, pwrite, retry_on_intr};
use rustix::mm::{MapFlags, ProtFlags, mmap, mmap_anonymous, munmap};
use rustix::process::{Resource, getrlimit};

use crate::libc::open;
use crate::name::Path;
use crate::trace::line::{Digits, Lines};

/// Bytes that are mapped at a time: a multiple of every page there is.
const CHUNK: usize = 64 << 10;

/// Numbers for the file, above those that programs and shells use by themselves.
const NUMBERS: RangeInclusive<RawFd> = 301..=331;

const BLANK: [u8; 4096] = [b'\n'; 4096];

/// Bytes in front of a chunk's text: magic number, descriptor, window of 64 KiB, header of the only block.
const FRAME: usize = 9;

/// The start of a frame with `len` bytes of text: one block, the last, stored as it is.
fn frame(len: usize) -> [u8; FRAME] {
    let [low, middle, high, ..] = ((len as u32) << 3 | 1).to_le_bytes();
    [0x28, 0xb5, 0x2f, 0xfd, 0x00, 0x30, low, middle, high]
}

/// The numbers in the header of a trace, in their order.
#[derive(Clone, Copy)]
pub(crate) enum Field {
    PeakBytes,
    Objects,
    Operations,
}

/// Bytes from one number of the header to the next: its digits, the end of the line, and zeros, so that all digits stand at
/// multiples of 8.
const FIELD: usize = 24;
const FIELDS: usize = 3;

/// Invariants: `header` and `window` are mappings of CHUNK bytes, of the first chunk and of `chunk`, and stay where they are;
/// FRAME <= `used` <= CHUNK in a zstd file.
pub(crate) struct TraceFile {
    name: Path,
    number: RawFd,
    identity: (u64, u64),
    zstd: bool,
    header: NonNull<u8>,
    window: NonNull<u8>,
    chunk: u64,
    /// Bytes of the chunk that are no blank lines to come.
    used: usize,
    /// The file ends where the records do.
    trimmed: bool,
    /// Nothing may reach the file any more.
    is_cut_off: bool,
}

impl TraceFile {
    /// Makes the file, or empties it.
    pub(crate) fn create(name: Path, new: bool) -> Result<Self, Errno> {
        Self::open(name, new)
    }

    /// Writes the first chunk: the header and these lines, and then blank ones. All that says something comes in one piece, less
    /// than a page, so that the file can be read as soon as there is a byte in it, whatever ends the process.
    pub(crate) fn begin(&mut self, lines: &Lines) -> Result<(), Errno> {
        let mut head = [0; 128];
        let end = self.head(&mut head).unwrap_or_default();
        let frame = frame(CHUNK - FRAME);
        let frame = if self.zstd { frame.as_slice() } else { &[] };
        let text = head.get(frame.len()..end).unwrap_or_default();
        let all = frame.iter().chain(text).chain(lines.as_bytes());
        let mut page = BLANK;
        page.iter_mut().zip(all).for_each(|(place, &byte)| *place = byte);
        self.has_room(CHUNK as u64)?;
        self.write(&page, 0)?;
        self.write_blank(page.len() as u64, CHUNK as u64)?;
        self.map(self.header, 0)?;
        self.map(self.window, 0)?;
        self.used = end + lines.as_bytes().len();
        Ok(())
    }

    /// A file that begins as this one, for a child of the process.
    pub(crate) fn copy_to(&mut self, name: Path) -> Result<Self, Errno> {
        let mut copy = Self::open(name, true)?;
        let end = self.chunk * CHUNK as u64 + self.used as u64;
        let source = self.file()?;
        let mut piece = [0; BLANK.len()];
        let mut at = 0;
        while at < end {
            let most = piece.len().min((end - at) as usize);
            let read = pread(source, &mut *piece.get_mut(..most).unwrap_or_default(), at)?;
            if read == 0 {
                return Err(Errno::IO);
            }
            copy.write(piece.get(..read).unwrap_or_default(), at)?;
            at += read as u64;
        }
        (copy.chunk, copy.used, copy.trimmed) = (self.chunk, self.used, true);
        copy.map(copy.header, 0)?;
        copy.map(copy.window, self.chunk)?;
        copy.untrim()?;
        Ok(copy)
    }

    /// Adds a record. Whenever the process ends meanwhile, all of it stands in the file, or nothing but comments.
    pub(crate) fn push(&mut self, lines: &Lines) -> Result<(), Errno> {
        if self.trimmed {
            self.untrim()?;
        }
        if lines.as_bytes().len() > CHUNK - self.used {
            self.start_chunk(self.chunk + 1)?;
        }
        let start = self.used;
        for (index, &byte) in lines.as_bytes().iter().enumerate() {
            self.byte(start + index, lines.placeholder(index).unwrap_or(byte));
        }
        for (index, &byte) in lines.as_bytes().iter().enumerate() {
            if lines.placeholder(index).is_some() {
                self.byte(start + index, byte);
            }
        }
        self.used = start + lines.as_bytes().len();
        Ok(())
    }

    /// Sets a number of the header. Eight digits are stored at once.
    pub(crate) fn set(&mut self, field: Field, digits: &Digits) {
        let at = self.first_digits() + field as usize * FIELD;
        for (index, half) in digits.halves().into_iter().enumerate() {
            // SAFETY: all digits of the header lie in its first 96 bytes, and CHUNK are mapped.
            let place = unsafe { self.header.as_ptr().add(at + index * 8) }.cast::<u64>();
            // SAFETY: mapped for writing; at a multiple of 8 after the start of a page.
            unsafe { place.write_volatile(half) };
        }
    }

    /// Cuts off the blank lines. A record may still follow.
    pub(crate) fn trim(&mut self) -> Result<(), Errno> {
        ftruncate(self.file()?, self.chunk * CHUNK as u64 + self.used as u64)?;
        self.set_frame(self.used);
        self.trimmed = true;
        Ok(())
    }

    /// Ends what a child has of its parent's file.
    pub(crate) fn abandon(&mut self) {
        for mapping in [self.header, self.window] {
            // SAFETY: a mapping of CHUNK bytes that is this value's alone, and that is not used after this. The kernel refuses
            // only what would leave it with too many mappings, and then the pages stay.
            let _ = unsafe { munmap(mapping.as_ptr().cast(), CHUNK) };
        }
        self.cut_off();
    }

    /// Sees to it that whatever a child was about to store in its parent's file does not reach it: in the middle of a record.
    pub(crate) fn orphan(&mut self) {
        for mapping in [self.header, self.window] {
            // If the kernel has no memory for this, the child stores once more what its parent has stored.
            let _ = reserve(Some(mapping));
        }
        self.cut_off();
    }

    fn cut_off(&mut self) {
        if self.is_open() {
            // SAFETY: the number is this file's, as was just seen, and is not used after this.
            unsafe { close(self.number) };
        }
        self.is_cut_off = true;
    }

    fn open(name: Path, new: bool) -> Result<Self, Errno> {
        // What is no file is refused without waiting for it.
        let how = OFlags::RDWR | OFlags::CREATE | OFlags::NONBLOCK | if new { OFlags::EXCL } else { OFlags::empty() };
        let file = open(name.as_c_str(), how)?;
        let stat = fstat(&file)?;
        // Not reached: where lines are counted, which begins after this; tests/tests/preload sees it.
        if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
            // Not reached: as above.
            return Err(Errno::INVAL);
        }
        flock(&file, FlockOperation::NonBlockingLockExclusive)?;
        ftruncate(&file, 0)?;
        let number = keep(file);
        let (identity, zstd) = ((stat.st_dev, stat.st_ino), name.is_zstd());
        let (header, window) = (reserve(None)?, reserve(None)?);
        Ok(Self { name, number, identity, zstd, header, window, chunk: 0, used: 0, trimmed: false, is_cut_off: false })
    }

    /// Writes a chunk of blank lines and maps it.
    fn start_chunk(&mut self, chunk: u64) -> Result<(), Errno> {
        let start = chunk * CHUNK as u64;
        self.has_room(start + CHUNK as u64)?;
        let used = if self.zstd { FRAME } else { 0 };
        self.write(frame(CHUNK - FRAME).get(..used).unwrap_or_default(), start)?;
        self.write_blank(start + used as u64, start + CHUNK as u64)?;
        self.map(self.window, chunk)?;
        (self.chunk, self.used) = (chunk, used);
        Ok(())
    }

    /// Whether the file may be so large: past its limit the kernel would end the program.
    fn has_room(&self, size: u64) -> Result<(), Errno> {
        if getrlimit(Resource::Fsize).current.is_some_and(|most| size > most) { Err(Errno::FBIG) } else { Ok(()) }
    }

    fn untrim(&mut self) -> Result<(), Errno> {
        let start = self.chunk * CHUNK as u64;
        self.write_blank(start + self.used as u64, start + CHUNK as u64)?;
        self.set_frame(CHUNK);
        self.trimmed = false;
        Ok(())
    }

    /// Has the chunk's frame end `end` bytes after the chunk's start.
    fn set_frame(&mut self, end: usize) {
        if self.zstd {
            frame(end - FRAME).into_iter().enumerate().for_each(|(at, byte)| self.byte(at, byte));
        }
    }

    /// The header with zeros for numbers, after the room for a frame's start, and where it ends.
    fn head(&self, bytes: &mut [u8]) -> Option<usize> {
        let mut at = self.first_digits();
        bytes.iter_mut().for_each(|byte| *byte = b'0');
        for _ in 0..FIELDS {
            *bytes.get_mut(at + Digits::WIDTH)? = b'\n';
            at += FIELD;
        }
        // The weight, which is 1, stands where the zeros of a fourth number would.
        let end = at - (FIELD - Digits::WIDTH) + 1;
        *bytes.get_mut(end)? = b'1';
        *bytes.get_mut(end + 1)? = b'\n';
        Some(end + 2)
    }

    /// Where the first number's digits are.
    fn first_digits(&self) -> usize {
        if self.zstd { FRAME.next_multiple_of(8) } else { 0 }
    }

    /// Stores a byte of the chunk, after those stored before it.
    fn byte(&mut self, at: usize, byte: u8) {
        // SAFETY: inside the mapping, which has CHUNK bytes, whatever the callers say.
        let place = unsafe { self.window.as_ptr().add(at.min(CHUNK - 1)) };
        // SAFETY: mapped for writing. Volatile: in the order in which it is written here.
        unsafe { place.write_volatile(byte) };
    }

    fn write_blank(&mut self, mut at: u64, end: u64) -> Result<(), Errno> {
        while at < end {
            let most = BLANK.len().min((end - at) as usize);
            self.write(BLANK.get(..most).unwrap_or_default(), at)?;
            at += most as u64;
        }
        Ok(())
    }

    fn write(&mut self, bytes: &[u8], at: u64) -> Result<(), Errno> {
        self.has_room(at + bytes.len() as u64)?;
        let file = self.file()?;
        let written = retry_on_intr(|| pwrite(file, bytes, at))?;
        // If it is a part, that was the last room there is.
        if written == bytes.len() { Ok(()) } else { Err(Errno::NOSPC) }
    }

    /// Maps a chunk in the place of what is mapped there.
    fn map(&mut self, place: NonNull<u8>, chunk: u64) -> Result<(), Errno> {
        let (access, flags) = (ProtFlags::READ | ProtFlags::WRITE, MapFlags::SHARED | MapFlags::FIXED);
        let file = self.file()?;
        // SAFETY: the place is one of this value's two, and nothing but this file's text is ever looked for there.
        unsafe { mmap(place.as_ptr().cast(), CHUNK, access, flags, file, chunk * CHUNK as u64) }?;
        Ok(())
    }

    /// The file, which is opened again if the program has closed it.
    fn file(&mut self) -> Result<BorrowedFd<'static>, Errno> {
        // Not reached: a signal handler that forks just when a chunk is full, but by chance.
        if self.is_cut_off {
            // Not reached: as above.
            return Err(Errno::BADF);
        }
        if !self.is_open() {
            self.number = open(self.name.as_c_str(), OFlags::RDWR)?.into_raw_fd();
            if !self.is_open() {
                return Err(Errno::STALE);
            }
        }
        Ok(borrow(self.number))
    }

    fn is_open(&self) -> bool {
        fstat(borrow(self.number)).is_ok_and(|stat| (stat.st_dev, stat.st_ino) == self.identity)
    }
}

/// Memory for a mapping, in the place of one that is there or wherever there is none.
fn reserve(place: Option<NonNull<u8>>) -> Result<NonNull<u8>, Errno> {
    let fixed = if place.is_some() { MapFlags::FIXED } else { MapFlags::empty() };
    let place = place.map_or(ptr::null_mut(), NonNull::as_ptr).cast();
    let access = ProtFlags::READ | ProtFlags::WRITE;
    // SAFETY: a place that is replaced is a file's own, by the callers; otherwise the kernel finds one where nothing is mapped.
    let start = unsafe { mmap_anonymous(place, CHUNK, access, MapFlags::PRIVATE | fixed) }?;
    NonNull::new(start.cast()).ok_or(Errno::NOMEM)
}

fn borrow(number: RawFd) -> BorrowedFd<'static> {
    // SAFETY: only the number is ever used, in calls that take any but -1.
    unsafe { BorrowedFd::borrow_raw(number & RawFd::MAX) }
}

/// Keeps a file open until the process ends, under a number that is in nobody's way, if there is one. In a process of one
/// thread.
fn keep(file: OwnedFd) -> RawFd {
    let Some(number) = NUMBERS.clone().find(|&number| fcntl_getfd(borrow(number)).is_err()) else {
        return file.into_raw_fd();
    };
    // SAFETY: nothing is open under this number, and no other thread can open anything.
    let mut kept = unsafe { OwnedFd::from_raw_fd(number & RawFd::MAX) };
    let copied = dup3(&file, &mut kept, DupFlags::CLOEXEC);
    // It stays open; and if nothing was opened, nothing is to be closed.
    mem::forget(kept);
    if copied.is_ok() { number } else { file.into_raw_fd() }
}
