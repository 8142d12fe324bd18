//! `azul-backup backup` from end to end: the real binary, the stand-in dispatcher and the S3 server, over real
//! sockets.

mod aftermath;
#[path = "../asked/mod.rs"]
mod asked;
mod bundles;
mod ending;
mod everything;
mod full_disk;
mod hanging;
mod health;
mod json_lines;
mod local_state;
mod outage;
mod pulls;
#[path = "../raw_http/mod.rs"]
mod raw_http;
#[path = "../raw_tcp/mod.rs"]
mod raw_tcp;
mod scene;
mod streams;
mod uploads;
