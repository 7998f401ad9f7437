//! The name of a file to be made: `%p` in it stands for the number of the process.
#![allow(unsafe_code)]

use core::ffi::CStr;

use rustix::fs::{CWD, readlinkat_raw};

/// The longest name that the kernel takes, with the zero at its end.
const LONGEST: usize = 4096;

/// A name of a file, ready for the kernel.
///
/// Invariant: `len` is below LONGEST, and from `len` on all bytes are zero.
#[derive(Clone)]
pub(crate) struct Name {
    bytes: [u8; LONGEST],
    len: usize,
}

impl Name {
    pub(crate) const EMPTY: Self = Self { bytes: [0; LONGEST], len: 0 };

    /// `None` for one that is too long for the kernel.
    pub(crate) fn new(bytes: &[u8]) -> Option<Self> {
        let mut name = Self::EMPTY;
        name.push(bytes)?;
        Some(name)
    }

    /// The same file, whatever becomes the program's working directory.
    pub(crate) fn absolute(&self) -> Option<Self> {
        let mut folder = [0; LONGEST];
        match readlinkat_raw(CWD, c"/proc/self/cwd", folder.as_mut_slice()) {
            Ok(len) if self.bytes.first() != Some(&b'/') => {
                let mut name = Self::new(folder.get(..len)?)?;
                name.push(b"/")?;
                name.push(self.as_bytes())?;
                Some(name)
            }
            // Without /proc the name is good for as long as the program stays where it is.
            _ => Some(self.clone()),
        }
    }

    /// Whether every process has a name of its own.
    pub(crate) fn is_pattern(&self) -> bool {
        self.as_bytes().windows(2).any(|pair| pair == b"%p")
    }

    /// With the number of a process in it, and behind that which of several with that number it is: 1 goes without saying.
    pub(crate) fn of_process(&self, process: u32, which: u32) -> Option<Self> {
        let mut name = Self::EMPTY;
        let mut rest = self.as_bytes();
        while let [first, behind @ ..] = rest {
            if let [b'%', b'p', behind @ ..] = rest {
                name.push_number(process)?;
                if which > 1 {
                    name.push(b".")?;
                    name.push_number(which)?;
                }
                rest = behind;
            } else {
                name.push(&[*first])?;
                rest = behind;
            }
        }
        Some(name)
    }

    /// Whether the trace is to be a zstd file, which its name says.
    pub(crate) fn is_zstd(&self) -> bool {
        self.as_bytes().ends_with(b".zst")
    }

    pub(crate) fn as_bytes(&self) -> &[u8] {
        self.bytes.get(..self.len).unwrap_or_default()
    }

    pub(crate) fn as_c_str(&self) -> &CStr {
        // SAFETY: the last of its bytes is zero, by the invariant.
        unsafe { CStr::from_ptr(self.bytes.as_ptr().cast()) }
    }

    fn push(&mut self, more: &[u8]) -> Option<()> {
        let end = self.len.checked_add(more.len()).filter(|&end| end < LONGEST)?;
        let place = self.bytes.get_mut(self.len..end)?;
        place.iter_mut().zip(more).for_each(|(place, &byte)| *place = byte);
        self.len = end;
        Some(())
    }

    fn push_number(&mut self, number: u32) -> Option<()> {
        let mut place = 1;
        while number / 10 >= place {
            place *= 10;
        }
        while place > 0 {
            self.push(&[b'0' + (number / place % 10) as u8])?;
            place /= 10;
        }
        Some(())
    }
}
