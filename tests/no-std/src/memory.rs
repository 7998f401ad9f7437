//! The functions on bytes that every compiler of Rust or C expects to find; bare-metal targets bring them along, those of
//! Linux leave them to libc, which is not here. One byte after the other, and volatile, lest the compiler recognise what
//! the loops do and replace them by calls of themselves.

/// # Safety
/// `count` bytes at `to` may be written, and `count` at `from` read; the two do not overlap.
#[unsafe(no_mangle)]
unsafe extern "C" fn memcpy(to: *mut u8, from: *const u8, count: usize) -> *mut u8 {
    for at in 0..count {
        // SAFETY: `at` is below `count`: in bounds, as the caller promises.
        unsafe { to.add(at).write_volatile(from.add(at).read_volatile()) };
    }
    to
}

/// # Safety
/// `count` bytes at `to` may be written, and `count` at `from` read.
#[unsafe(no_mangle)]
unsafe extern "C" fn memmove(to: *mut u8, from: *const u8, count: usize) -> *mut u8 {
    if to.addr().wrapping_sub(from.addr()) >= count {
        // SAFETY: as the caller promises; from the front, nothing is written before it was read, as `to` is not inside.
        return unsafe { memcpy(to, from, count) };
    }
    for at in (0..count).rev() {
        // SAFETY: `at` is below `count`: in bounds, as the caller promises.
        unsafe { to.add(at).write_volatile(from.add(at).read_volatile()) };
    }
    to
}

/// # Safety
/// `count` bytes at `to` may be written.
#[unsafe(no_mangle)]
unsafe extern "C" fn memset(to: *mut u8, value: i32, count: usize) -> *mut u8 {
    for at in 0..count {
        // SAFETY: `at` is below `count`: in bounds, as the caller promises.
        unsafe { to.add(at).write_volatile(value as u8) };
    }
    to
}

/// # Safety
/// `count` bytes at either address may be read.
#[unsafe(no_mangle)]
unsafe extern "C" fn memcmp(one: *const u8, other: *const u8, count: usize) -> i32 {
    for at in 0..count {
        // SAFETY: `at` is below `count`: in bounds, as the caller promises.
        let (one, other) = unsafe { (one.add(at).read_volatile(), other.add(at).read_volatile()) };
        if one != other {
            return i32::from(one) - i32::from(other);
        }
    }
    0
}

/// # Safety
/// As for `memcmp`.
#[unsafe(no_mangle)]
unsafe extern "C" fn bcmp(one: *const u8, other: *const u8, count: usize) -> i32 {
    // SAFETY: as the caller promises.
    unsafe { memcmp(one, other, count) }
}
