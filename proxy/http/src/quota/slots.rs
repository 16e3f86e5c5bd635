//! A count of what is open at one time, over all workers.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// A count of open things.
#[derive(Debug, Default)]
pub struct Slots {
    open: AtomicU64,
}

/// One open thing, counted until it is dropped.
#[derive(Debug)]
pub struct Slot {
    of: Arc<Slots>,
}

impl Slots {
    /// Takes a slot, unless `max` are taken.
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
