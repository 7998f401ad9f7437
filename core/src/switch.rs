//! Checks that a test build can be without, one at a time, so that it can be seen that a test notices.
//!
//! `--cfg slabfit_without="magic"` is a build without the check `magic`; `ci/68-switches` builds and tries each. It is no
//! feature, so that no crate can ask for it, and the names are those that the workspace's Cargo.toml lists.
#![deny(unsafe_code)]

/// Whether the check `$name` has found something wrong; never, in a build that is without this check.
macro_rules! wrong {
    ($name:tt, $found:expr) => {
        cfg!(not(slabfit_without = $name)) && $found
    };
}

pub(crate) use wrong;
