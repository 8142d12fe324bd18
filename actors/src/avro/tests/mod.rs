//! The walk, the bulks and the bundles, held against recorded samples and against apache-avro.

mod bulks;
mod oracle;
mod samples;
