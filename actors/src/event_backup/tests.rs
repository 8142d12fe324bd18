//! A feed over ports in memory, on virtual time.

mod delivering;
mod pulling;
mod world;
