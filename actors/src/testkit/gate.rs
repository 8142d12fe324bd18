//! A place where calls wait until the test lets them go on.

use std::sync::Arc;

use tokio::sync::watch;

/// Closed until it is opened, then open for good. Clones are the same gate; threads may differ.
#[derive(Clone, Debug)]
pub struct Gate {
    open: Arc<watch::Sender<bool>>,
    arrived: Arc<watch::Sender<usize>>,
}

impl Default for Gate {
    fn default() -> Self {
        Self {
            open: Arc::new(watch::Sender::new(false)),
            arrived: Arc::new(watch::Sender::new(0)),
        }
    }
}

impl Gate {
    /// A closed gate.
    pub fn new() -> Self {
        Self::default()
    }

    /// Lets everything pass, now and later.
    pub fn open(&self) {
        self.open.send_replace(true);
    }

    /// Waits until it is open.
    pub async fn pass(&self) {
        self.arrived.send_modify(|arrived| *arrived += 1);
        // Both senders live in `self`, so waiting cannot fail, here and below.
        let _ = self.open.subscribe().wait_for(|open| *open).await;
    }

    /// Waits until `count` calls in all have come to the gate.
    pub async fn arrived(&self, count: usize) {
        let _ = self
            .arrived
            .subscribe()
            .wait_for(|arrived| *arrived >= count)
            .await;
    }
}
