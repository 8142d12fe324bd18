//! `azul-backup backup` from end to end: the real binary, the stand-in dispatcher and the S3 server, over real
//! sockets.

mod bundles;
mod ending;
mod full_disk;
mod pulls;
mod scene;
mod streams;
mod uploads;
