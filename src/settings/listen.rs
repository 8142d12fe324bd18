//! Where metrics, health and status are served.

use std::net::SocketAddr;

use super::reader::{Reader, Reason};

/// The word for "nowhere"; in any case.
const OFF: &str = "off";

/// The address, or `Some(None)` where nothing is to be served.
pub(super) fn metrics_listen(reader: &mut Reader<'_>) -> Option<Option<SocketAddr>> {
    reader.required("BK__METRICS_LISTEN", |text| {
        if text.eq_ignore_ascii_case(OFF) {
            return Ok(None);
        }
        text.parse().map(Some).map_err(|_| Reason::new())
    })
}
