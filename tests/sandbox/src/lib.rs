//! The world around azul-backup, on loopback: a stand-in dispatcher, an S3 server, generated events and binaries,
//! and an audit that compares what lies in the bucket with what was handed out.
//!
//! | question | place |
//! | --- | --- |
//! | What do generated events and binaries look like? | [`generator`] |
//! | Which traps of the dispatcher are acted out, and how? | [`dispatcher`] |
//! | What does it mean that a backup is good? | [`audit`] |
//! | What does it mean that a restore is good? | [`comparison`] |
//! | How is a restore run, and what is asked of it? | [`restored`] |
//! | How is the program run for the demo? | [`child`] |
//! | What does an event of an older version become? | [`upgrade`] |
//! | What lies in `testdata/`? | [`testdata`] |
//! | What does a backup take? | [`measure`] |
//! | How is a disk made full? | [`small_disk`] |
//! | Is anything lost when the program is killed? | [`torture`] |
//! | Is anything lost, or told twice, when a restore is killed? | [`torture_restore`] |
//! | Does it take more and more? | [`soak`] |
//! | How can the bucket be made to fail, and what did it see? | [`s3`] |
//! | How are requests and answers spoiled on their way? | [`proxy`] |
//! | What happens at every fault of every request? | [`faults`] |
//! | What if servers are reached through a company's proxy only? | [`forward_proxy`] |

pub mod audit;
pub mod child;
pub mod comparison;
pub mod decode;
pub mod demo;
pub mod dispatcher;
pub mod encode;
pub mod faults;
pub mod forward_proxy;
pub mod generator;
pub mod measure;
pub mod proxy;
pub mod restored;
pub mod s3;
pub mod small_disk;
pub mod soak;
pub mod testdata;
pub mod torture;
pub mod torture_restore;
pub mod upgrade;
pub mod validity;
