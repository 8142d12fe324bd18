//! `azul-backup restore` from end to end: the real binary, a bucket that was written by hand, and the stand-in
//! dispatcher that it is restored into, over real sockets.

#[path = "../asked/mod.rs"]
mod asked;
mod bad_events;
mod bucket;
mod bundles;
mod first_look;
mod last_scrape;
mod matrix;
mod memory;
mod order;
mod program;
#[path = "../raw_http/mod.rs"]
mod raw_http;
mod retry;
mod scene;
mod selection;
