//! A flag that is raised once and seen everywhere: handlers look at it, so that a message that asks for the end
//! does not wait behind a long backlog.

use std::sync::Arc;

use tokio::sync::watch;

/// Raised once, never lowered. Clones share it.
#[derive(Clone, Debug)]
pub struct StopFlag {
    raised: Arc<watch::Sender<bool>>,
}

impl Default for StopFlag {
    fn default() -> Self {
        Self {
            raised: Arc::new(watch::Sender::new(false)),
        }
    }
}

impl StopFlag {
    /// Raises it; doing so again changes nothing.
    pub fn raise(&self) {
        self.raised.send_replace(true);
    }

    /// Whether it has been raised.
    pub fn is_raised(&self) -> bool {
        *self.raised.borrow()
    }

    /// Waits until it is raised.
    pub async fn raised(&self) {
        // The sender lives in `self`, so waiting cannot fail.
        let _ = self.raised.subscribe().wait_for(|raised| *raised).await;
    }
}
