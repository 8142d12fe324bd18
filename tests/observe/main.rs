//! Metrics, health, status and the page over real sockets, of programs that are made by hand; and the page in a real
//! browser. The real program is looked at by the tests of backup and restore.

mod browser;
mod endpoints;
mod limits;
mod made;
mod page;
#[path = "../raw_http/mod.rs"]
mod raw_http;
mod readme;
mod webdriver;
