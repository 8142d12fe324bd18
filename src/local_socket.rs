//! How commands reach local state: sled lets one process in, so while the backup runs they ask it over a Unix socket
//! beside its state, and when none runs they open the state themselves.
//!
//! # The promise
//! * One connection is one question: a line of JSON (see [`protocol`]), answered by lines of JSON that end with
//!   `{"done":{}}` or `{"error":"…"}`. An answer without its end has been cut off, and is never taken for whole.
//! * No question holds up the actors, on whose thread they are answered: each asks for a page of rows, or names a
//!   page of streams. Lengths, times and the number of connections are bounded; whoever asks badly, or hangs, is told
//!   so or dropped.
//! * Only the user of the process reaches it: the socket has mode 0600 in a directory of mode 0700.
//! * A socket that a killed process left behind is replaced: whoever holds the lock of the state owns its socket.

mod client;
mod place;
pub mod protocol;
mod server;
#[cfg(test)]
mod tests;

pub use client::{NotAsked, SocketClient};
pub use place::SocketPlace;
pub use server::LocalSocket;
