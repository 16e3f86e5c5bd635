//! Request rates by the generic cell rate algorithm: the whole state of a rate is the time at which its next request is
//! due.

use std::sync::LazyLock;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

/// The zero of all times here: the first use in this process.
static EPOCH: LazyLock<Instant> = LazyLock::new(Instant::now);

const NANOS: f64 = 1e9;

/// Returns the nanoseconds from the epoch to `at`, and at least 1, because 0 marks a free entry of a table.
pub(super) fn nanos(at: Instant) -> u64 {
    (at.saturating_duration_since(*EPOCH).as_nanos() as u64).max(1)
}

/// A number of requests a second, and a number at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pace {
    interval_ns: u64,
    tolerance_ns: u64,
}

impl Pace {
    /// Allows `per_second` requests in the long run and `burst`, at least 1, at once. The interval between requests is
    /// a whole number of nanoseconds.
    #[must_use]
    pub fn new(per_second: f64, burst: u64) -> Self {
        let interval_ns = ((NANOS / per_second) as u64).max(1);
        Self { interval_ns, tolerance_ns: interval_ns.saturating_mul(burst.max(1) - 1) }
    }

    /// Returns when the request after this one is due, or how long this one must wait. This one is due at `due_ns`.
    pub(super) fn next(self, due_ns: u64, now_ns: u64) -> Result<u64, Duration> {
        let due_ns = due_ns.max(now_ns);
        match (due_ns - now_ns).checked_sub(self.tolerance_ns) {
            None | Some(0) => Ok(due_ns.saturating_add(self.interval_ns)),
            Some(early_ns) => Err(Duration::from_nanos(early_ns)),
        }
    }
}

/// A rate that all workers share.
#[derive(Debug)]
pub struct Rate {
    /// The rate itself.
    pub pace: Pace,
    due_ns: AtomicU64,
}

impl Rate {
    /// Begins with the whole burst.
    #[must_use]
    pub fn new(pace: Pace) -> Self {
        Self { pace, due_ns: AtomicU64::new(0) }
    }

    /// Takes one request.
    ///
    /// # Errors
    /// The time until the next request is due.
    pub fn take(&self, now: Instant) -> Result<(), Duration> {
        let now_ns = nanos(now);
        let mut due_ns = self.due_ns.load(Relaxed);
        loop {
            let next_ns = self.pace.next(due_ns, now_ns)?;
            match self.due_ns.compare_exchange_weak(due_ns, next_ns, Relaxed, Relaxed) {
                Ok(_) => return Ok(()),
                Err(other_ns) => due_ns = other_ns,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_then_one_an_interval_and_the_wait_is_told() {
        let rate = Rate::new(Pace::new(10.0, 3));
        let now = Instant::now();
        for _ in 0..3 {
            assert_eq!(rate.take(now), Ok(()));
        }
        assert_eq!(rate.take(now), Err(Duration::from_millis(100)));
        assert_eq!(rate.take(now + Duration::from_millis(60)), Err(Duration::from_millis(40)));
        assert_eq!(rate.take(now + Duration::from_millis(100)), Ok(()));
        assert!(
            rate.take(now + Duration::from_millis(100)).is_err(),
            "a refused request costs nothing, a taken one does"
        );
        let later = now + Duration::from_secs(60);
        for _ in 0..3 {
            assert_eq!(rate.take(later), Ok(()), "the burst is whole again, and no more than that");
        }
        assert!(rate.take(later).is_err());
    }

    #[test]
    fn threads_together_get_no_more_than_the_burst() {
        let rate = Rate::new(Pace::new(1.0, 100));
        let now = Instant::now();
        let taken: usize = std::thread::scope(|scope| {
            let take = || (0..100).filter(|_| rate.take(now).is_ok()).count();
            let threads: Vec<_> = (0..4).map(|_| scope.spawn(take)).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).sum()
        });
        assert_eq!(taken, 100);
    }
}
