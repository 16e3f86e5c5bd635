//! How many of something there are at one time, over all workers.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// A count of what is open.
#[derive(Debug, Default)]
pub struct Slots {
    open: AtomicU64,
}

/// One of them, for as long as it is held.
#[derive(Debug)]
pub struct Slot {
    of: Arc<Slots>,
}

impl Slots {
    /// Takes one more, unless `max` are taken.
    pub fn take(self: &Arc<Self>, max: u64) -> Option<Slot> {
        let more = |open| (open < max).then_some(open + 1);
        self.open.fetch_update(Relaxed, Relaxed, more).ok().map(|_| Slot { of: self.clone() })
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.of.open.fetch_sub(1, Relaxed);
    }
}
