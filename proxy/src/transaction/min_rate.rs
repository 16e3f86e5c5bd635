//! The slowest rate at which a client may send or read a body: a grace, and one second more for each so many bytes.
//!
//! Only the time counts in which the proxy waits for the client alone: while the upstream would take more of a request
//! body, and while the client does not take what it was given of a response body. So a slow upstream does not make a
//! client slow.

use std::time::{Duration, Instant};

/// The slowest rate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MinRate {
    bytes_per_second: u64,
    grace: Duration,
}

impl MinRate {
    /// `None` for a rate of 0.
    #[must_use]
    pub fn new(bytes_per_second: u64, grace: Duration) -> Option<Self> {
        (bytes_per_second > 0).then_some(Self { bytes_per_second, grace })
    }
}

/// The time that the proxy waited for a client.
#[derive(Debug)]
pub struct Waiting {
    rule: MinRate,
    waited: Duration,
    since: Option<Instant>,
}

impl Waiting {
    #[must_use]
    pub fn new(rule: MinRate) -> Self {
        Self { rule, waited: Duration::ZERO, since: None }
    }

    /// Begins a wait, unless one is under way.
    pub fn begin(&mut self, now: Instant) {
        self.since.get_or_insert(now);
    }

    /// Ends the wait. Returns whether one was under way.
    pub fn end(&mut self, now: Instant) -> bool {
        let since = self.since.take();
        self.waited += since.map_or(Duration::ZERO, |since| now.saturating_duration_since(since));
        since.is_some()
    }

    /// How long a wait that begins now may last, after so many bytes.
    #[must_use]
    pub fn left(&self, bytes: u64) -> Duration {
        let micros = u128::from(bytes) * 1_000_000 / u128::from(self.rule.bytes_per_second);
        let earned = Duration::from_micros(u64::try_from(micros).unwrap_or(u64::MAX));
        self.rule.grace.saturating_add(earned).saturating_sub(self.waited)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_buy_time_and_waits_spend_it() {
        let mut waiting = Waiting::new(MinRate::new(1_000, Duration::from_secs(2)).unwrap());
        let at = |ms: u64| Duration::from_millis(ms);
        let start = Instant::now();
        assert_eq!(waiting.left(0), at(2_000));
        waiting.begin(start);
        waiting.begin(start + at(500));
        assert!(waiting.end(start + at(1_500)));
        assert!(!waiting.end(start + at(9_000)), "nobody was waited for");
        assert_eq!(waiting.left(0), at(500));
        assert_eq!(waiting.left(250), at(750));
        waiting.begin(start);
        waiting.end(start + at(5_000));
        assert_eq!(waiting.left(4_499), at(0));
        assert_eq!(waiting.left(4_501), at(1));
        assert_eq!(MinRate::new(0, at(1)), None);
    }
}
