//! Errors and figures can be logged by defmt. (That they are is seen by a probe; here it is enough that they can be.)
#![allow(missing_docs)]
#![cfg(feature = "defmt")]

use defmt::Format;
use slabfit::{AllocError, ClassStats, ExtendError, InitError, InvalidFree, ReallocError, Reason, Reentered};
use slabfit::{SegmentStats, Stats, Violation};

const fn can_be_logged<T: Format>() {}

const _: () = {
    can_be_logged::<Reentered>();
    can_be_logged::<InitError>();
    can_be_logged::<ExtendError>();
    can_be_logged::<AllocError>();
    can_be_logged::<Reason>();
    can_be_logged::<InvalidFree>();
    can_be_logged::<ReallocError>();
    can_be_logged::<Violation>();
    can_be_logged::<Stats>();
    can_be_logged::<SegmentStats>();
    can_be_logged::<ClassStats>();
};
