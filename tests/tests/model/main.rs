//! Random programs beside the reference model.

mod model;
mod random;
