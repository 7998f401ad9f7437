//! The key of a hardened heap, from the kernel.
#![deny(unsafe_code)]

use rustix::io::Errno;
use rustix::rand::{GetRandomFlags, getrandom};

/// Returns random numbers for [`Config::key`](slabfit::Config::key), as the kernel has them for cryptography. Waits for them where the
/// system has just started.
///
/// `None` if the kernel gives none: it is older than Linux 3.17, or a seccomp filter does not allow `getrandom`.
#[must_use]
pub fn random_key() -> Option<[u64; 2]> {
    let mut bytes = [0u8; 16];
    loop {
        match getrandom(&mut bytes, GetRandomFlags::empty()) {
            // So few come at once.
            Ok(count) if count == bytes.len() => break,
            Err(Errno::INTR) => {}
            Ok(_) | Err(_) => return None,
        }
    }
    let both = u128::from_ne_bytes(bytes);
    Some([both as u64, (both >> 64) as u64])
}
