//! How fast merges go, and when they stop.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crate::TableError;

/// Work of this length is followed by rest that many times as long: a quarter of a core.
const REST_TIMES: u32 = 3;
/// Longest rest without a look at whether maintenance was stopped.
const NAP: Duration = Duration::from_millis(50);

/// The pace of one run, shared with whoever may stop it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Pace {
    stopped: Arc<AtomicBool>,
    behind: Arc<AtomicBool>,
    rest_times: u32,
}

impl Pace {
    /// For work that has time, until [`Pace::set_behind`] says otherwise.
    pub(crate) fn easy(stopped: &Arc<AtomicBool>) -> Self {
        Self { stopped: Arc::clone(stopped), behind: Arc::default(), rest_times: REST_TIMES }
    }

    /// Work that is behind does not rest.
    pub(crate) fn set_behind(&self, is_behind: bool) {
        self.behind.store(is_behind, Ordering::Relaxed);
    }

    /// Rests after some work, on a thread that may block.
    ///
    /// # Errors
    /// If maintenance was stopped.
    pub(crate) fn rest(&self, began: Instant) -> Result<(), TableError> {
        let rest_times = if self.behind.load(Ordering::Relaxed) { 0 } else { self.rest_times };
        let until = Instant::now() + began.elapsed() * rest_times;
        loop {
            if self.stopped.load(Ordering::Relaxed) {
                return Err(TableError::Stopped);
            }
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(());
            }
            std::thread::sleep(left.min(NAP));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_rests_is_stopped() {
        let stopped = Arc::<AtomicBool>::default();
        let pace = Pace::easy(&stopped);
        assert!(pace.rest(Instant::now()).is_ok());
        stopped.store(true, Ordering::Relaxed);
        let long_ago = Instant::now().checked_sub(Duration::from_secs(5)).unwrap_or_else(Instant::now);
        assert!(matches!(pace.rest(long_ago), Err(TableError::Stopped)));
        pace.set_behind(true);
        assert!(matches!(pace.rest(long_ago), Err(TableError::Stopped)));
    }

    #[test]
    fn what_is_behind_does_not_rest() {
        let pace = Pace::easy(&Arc::default());
        pace.set_behind(true);
        // An hour of work: its rest would end no test.
        let hour_ago = Instant::now().checked_sub(Duration::from_secs(3_600)).unwrap_or_else(Instant::now);
        assert!(pace.rest(hour_ago).is_ok());
    }
}
