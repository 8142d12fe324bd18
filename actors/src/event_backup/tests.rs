//! A feed over ports in memory, on virtual time.

mod delivering;
mod ending;
mod large;
mod losing;
mod outage;
mod pulling;
mod rescuing;
mod showing;
mod world;
