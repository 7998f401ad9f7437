//! What a heap under [`Hardened`](crate::Hardened) does in place of the others' alloc, free and realloc.

mod calls;
mod fenced;
mod objects;
mod slots;
mod span;

pub(crate) use objects::Object;
