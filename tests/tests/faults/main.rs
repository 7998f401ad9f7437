//! What a heap makes of misuse: invalid frees, overwritten headers, destroyed bookkeeping, hostile set-ups; and that every small
//! layout is right.

#[cfg(target_pointer_width = "64")] // for the addresses and sizes that it tries
mod corruption;
mod destroyed;
mod exhaustion;
#[cfg(target_pointer_width = "64")] // for the addresses and sizes that it tries
mod hostile;
mod initialising;
mod reentry;
mod refusals;
