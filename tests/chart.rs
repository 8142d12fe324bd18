//! The chart, the settings and the code say the same.
//!
//! What helm renders lies in `tests/chart/snapshots`, which `tests/chart/run` keeps true: so these tests need no helm. They
//! read the chart as it is, and hold it against the catalogue of settings and the metrics of the program.

#[path = "chart/files.rs"]
mod files;
#[path = "chart/metrics.rs"]
mod metrics;
#[path = "chart/settings.rs"]
mod settings;
#[path = "chart/values.rs"]
mod values;
