//! `azul-backup restore` from end to end: the real binary, a bucket that was written by hand, and the stand-in
//! dispatcher that it is restored into, over real sockets.

mod bad_events;
mod bucket;
mod bundles;
mod matrix;
mod memory;
mod order;
mod program;
mod retry;
mod scene;
mod selection;
