//! What a heap with a handle is to be like, as C says it: by flags, or by a struct.
#![deny(unsafe_code)]

use core::ffi::{c_int, c_void};

use slabfit::Config;
#[cfg(target_os = "linux")]
use slabfit::{Damage, Hooks};

use crate::errno::{Answer, Failure};
use crate::platform::{FLAGS, STRUCT_FLAGS};

/// The policies, by name.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Placement {
    NextFit,
    FirstFit,
    General,
}

/// `mem_heap_create`: first fit in place of next fit.
pub const MEM_FIRST_FIT: c_int = 1;
/// Wrong addresses and damage also go to standard error, as those of the process's heap do.
pub const MEM_REPORT: c_int = 2;

/// `struct mem_heap_options`: finds what the program does wrong with its objects.
#[cfg_attr(target_os = "none", expect(dead_code, reason = "no heap is hardened there"))]
pub const MEM_HARDENED: c_int = 4;

/// `struct mem_heap_options`: the policy that suits most programs.
pub const MEM_POLICY_DEFAULT: c_int = 0;
/// Next fit.
pub const MEM_POLICY_NEXT_FIT: c_int = 1;
/// First fit.
pub const MEM_POLICY_FIRST_FIT: c_int = 2;
/// Size classes in front of first fit.
pub const MEM_POLICY_GENERAL: c_int = 3;

/// `struct mem_heap_options`.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct HeapOptions {
    pub(crate) size: usize,
    slab_size: usize,
    slab_bytes: usize,
    pub(crate) buffer: *mut c_void,
    policy: c_int,
    flags: c_int,
    reserved: [usize; 4],
}

/// What a hardened heap calls that reports.
#[cfg(target_os = "linux")]
static REPORTING: Hooks = Hooks::new().damage(report_damage);

#[cfg(target_os = "linux")]
#[cold]
fn report_damage(damage: Damage) {
    crate::platform::say(damage);
}

/// What a heap is to be like.
#[derive(Clone, Copy)]
pub(crate) struct Options {
    pub(crate) config: Config,
    pub(crate) placement: Placement,
    #[cfg(target_os = "linux")]
    pub(crate) hardened: bool,
    pub(crate) reports: bool,
}

impl Options {
    /// By the flags of the functions that have no struct.
    pub(crate) fn of_flags(slab_size: usize, flags: c_int) -> Answer<Self> {
        if flags & !(MEM_FIRST_FIT | FLAGS) != 0 {
            return Err(Failure::INVALID);
        }
        let placement = if flags & MEM_FIRST_FIT == 0 { Placement::NextFit } else { Placement::FirstFit };
        let reports = flags & MEM_REPORT != 0;
        let config = Config::new(slab_size);
        Ok(Self {
            config,
            placement,
            #[cfg(target_os = "linux")]
            hardened: false,
            reports,
        })
    }

    /// By a struct. What this library does not know is refused: it would not be what was asked for.
    pub(crate) fn of_struct(asked: &HeapOptions) -> Answer<Self> {
        let placement = match asked.policy {
            MEM_POLICY_DEFAULT | MEM_POLICY_GENERAL => Placement::General,
            MEM_POLICY_NEXT_FIT => Placement::NextFit,
            MEM_POLICY_FIRST_FIT => Placement::FirstFit,
            _ => return Err(Failure::INVALID),
        };
        if asked.flags & !(FLAGS | STRUCT_FLAGS) != 0 || asked.reserved != [0; 4] {
            return Err(Failure::INVALID);
        }
        let options = Self {
            config: asked.config()?,
            placement,
            #[cfg(target_os = "linux")]
            hardened: asked.flags & MEM_HARDENED != 0,
            reports: asked.flags & MEM_REPORT != 0,
        };
        #[cfg(target_os = "linux")]
        if options.hardened {
            return options.harden();
        }
        Ok(options)
    }

    /// Gives a hardened heap its key. Such a heap has no slab, and no next fit.
    #[cfg(target_os = "linux")]
    fn harden(self) -> Answer<Self> {
        if self.config.slab_size != 0 || self.placement == Placement::NextFit {
            return Err(Failure::INVALID);
        }
        let config = self.config.key(slabfit_linux::random_key().ok_or(Failure::NO_RANDOM)?);
        Ok(Self { config: if self.reports { config.hooks(&REPORTING) } else { config }, ..self })
    }
}

impl HeapOptions {
    fn config(&self) -> Answer<Config> {
        match (self.slab_size, self.slab_bytes) {
            (0, 0) => Ok(Config::without_slab()),
            (slab_size, 0) => Ok(Config::new(slab_size)),
            // A slab without slots, or nothing beside it.
            (0, _) => Err(Failure::INVALID),
            (_, bytes) if bytes >= self.size => Err(Failure::INVALID),
            (slab_size, bytes) => Ok(Config::new(slab_size).slab_bytes(bytes)),
        }
    }
}
