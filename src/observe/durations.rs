//! How long requests took, by what was asked for and how it ended: the one histogram.

use std::time::Duration;

use actors::fault::FaultKind;
use prometheus::core::Collector as _;
use prometheus::proto::{Metric, MetricFamily};
use prometheus::{HistogramOpts, HistogramVec};

/// The name of the histogram, as dashboards of Azul know it.
pub const NAME: &str = "recovery_streams_op_duration";

const HELP: &str = "Seconds from a request to the head of its answer, by method and result. Methods of the bucket: head, \
    get, put, list, post (uploads begun and completed), delete (uploads aborted); of the dispatcher, with `dispatcher-` \
    before them: pull (waits for events, up to EVENT_PULL_DEADLINE), get, head, post. The result is ok, or the kind of \
    fault.";

/// The bounds in seconds: from what a bucket nearby takes to the longest time-out.
const BOUNDS: [f64; 12] = [
    0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0, 30.0, 120.0,
];

/// What requests are told apart by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    /// Is it there?
    Head,
    /// An object.
    Get,
    /// An object, or a part of one.
    Put,
    /// Names.
    List,
    /// An upload is begun, or completed.
    Post,
    /// An upload is aborted.
    Delete,
    /// Events, from the dispatcher.
    Pull,
    /// A stream, from the dispatcher.
    Download,
    /// Whether the dispatcher has a stream.
    Exists,
    /// Events or a stream, to the dispatcher.
    Upload,
}

impl Method {
    /// The value of the label.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Head => "head",
            Self::Get => "get",
            Self::Put => "put",
            Self::List => "list",
            Self::Post => "post",
            Self::Delete => "delete",
            Self::Pull => "dispatcher-pull",
            Self::Download => "dispatcher-get",
            Self::Exists => "dispatcher-head",
            Self::Upload => "dispatcher-post",
        }
    }
}

/// The durations of all requests of this process. Clones share it; threads may differ.
#[derive(Clone, Debug)]
pub struct Durations(HistogramVec);

impl Default for Durations {
    fn default() -> Self {
        let options = HistogramOpts::new(NAME, HELP).buckets(BOUNDS.to_vec());
        let histogram = HistogramVec::new(options, &["method", "result"]);
        Self(histogram.expect("name, labels and bounds are constants that are allowed"))
    }
}

impl Durations {
    /// A request that took so long: `fault` is how it failed, if it did.
    pub fn observe(&self, method: Method, fault: Option<FaultKind>, took: Duration) {
        let result = fault.map_or("ok", FaultKind::as_str);
        self.0
            .with_label_values(&[method.as_str(), result])
            .observe(took.as_secs_f64());
    }

    /// What there is to tell, for the text of all metrics; nothing before the first request.
    pub(crate) fn families(&self) -> Vec<MetricFamily> {
        let mut families = self.0.collect();
        families.retain(|family| !family.get_metric().is_empty());
        let labels = |series: &Metric| -> Vec<String> {
            let labels = series.get_label().iter();
            labels.map(|label| label.value().to_owned()).collect()
        };
        for family in &mut families {
            let mut series = family.take_metric();
            series.sort_by_cached_key(labels);
            family.set_metric(series);
        }
        families
    }
}
