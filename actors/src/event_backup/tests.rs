//! A feed over ports in memory, on virtual time.

mod delivering;
mod ending;
mod pulling;
mod world;
