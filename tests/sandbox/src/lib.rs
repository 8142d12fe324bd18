//! The world around azul-backup, on loopback: a stand-in dispatcher, an S3 server, generated events and binaries,
//! and an audit that compares what lies in the bucket with what was handed out.
//!
//! | question | place |
//! | --- | --- |
//! | What do generated events and binaries look like? | [`generator`] |
//! | Which traps of the dispatcher are acted out, and how? | [`dispatcher`] |
//! | How can the bucket be made to fail, and what did it see? | [`s3`] |

pub mod dispatcher;
pub mod encode;
pub mod generator;
pub mod s3;
