//! What is on stable storage and may be read: by sinks, and by the hot rows.

use std::sync::Arc;

use tokio::sync::watch;
use tollgate_sink::{Delivery, LiveObserver, Position};

use super::recent::Recent;

/// Where the intake publishes what is stored, and the runners of the sinks find it.
pub(crate) struct Committed {
    /// Last position that sinks may take.
    pub last: watch::Sender<Option<Position>>,
    /// The last batches, decoded.
    pub recent: Recent,
    /// The hot rows, if there is a table.
    pub tail: Option<Arc<dyn LiveObserver>>,
}

impl Committed {
    pub(crate) fn new(last: Option<Position>, recent: Recent, tail: Option<Arc<dyn LiveObserver>>) -> Self {
        Self { last: watch::Sender::new(last), recent, tail }
    }

    /// Publishes the next position. Sinks are woken last: then they find the batch among the recent ones, and need not read it
    /// from the journal.
    pub(crate) fn publish(&self, delivery: Delivery) {
        let position = delivery.position;
        if let Some(tail) = &self.tail {
            tail.append(delivery.clone());
        }
        self.recent.insert(delivery);
        self.last.send_replace(Some(position));
    }
}
