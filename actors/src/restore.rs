//! The restore: everything back, in the right order, from wherever it stopped.

pub mod settling;
