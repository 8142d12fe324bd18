//! What implements the ports of [`actors::ports`]: everything that speaks to the outside.

pub mod bucket;
pub mod dispatcher;
pub mod http;
pub mod journal;
pub mod metered;
pub mod restore_state;
pub mod state;
pub mod volume;
