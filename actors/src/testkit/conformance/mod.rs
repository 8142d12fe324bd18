//! What every implementation of a port promises. Each suite runs over the fake and over the adapter, and panics
//! where a promise is broken.

pub mod journal;
pub mod restore_state;
pub mod state;
pub mod target;
