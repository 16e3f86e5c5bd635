//! When to try again: waits that double, with jitter, up to a cap; and what a server asks for with `Retry-After`.
//!
//! Jitter is over the upper half: a wait is drawn from `d/2 ..= d`, so that the producers which one restarting
//! collector has turned away do not come back together, and none of them waits longer than the cap.
//!
//! The crate `backon` was looked at. Its jitter is added on top of the wait, past its own cap; it retries a closure,
//! while the loops here answer differently to each kind of failure, change the cap when the process ends, and start
//! over after a success. What would be left of it is the doubling.

use std::time::{Duration, SystemTime};

use http::HeaderValue;

/// Waits that double from `min` to `max`.
#[derive(Debug, Clone)]
pub struct Backoff {
    min: Duration,
    max: Duration,
    current: Duration,
}

impl Backoff {
    /// Starts with waits of up to `min`.
    #[must_use]
    pub fn new(min: Duration, max: Duration) -> Self {
        Self { min, max, current: min }
    }

    /// Draws the next wait, and doubles the one after it.
    pub fn next_wait(&mut self) -> Duration {
        self.next_wait_within(self.max)
    }

    /// Returns the wait that a server has asked for, but at least `min`, or `Retry-After: 0` would have everybody send
    /// again without a pause. Draws the next wait if nothing was asked for.
    pub fn next_wait_asked(&mut self, asked: Option<Duration>) -> Duration {
        match asked {
            Some(asked) => asked.max(self.min),
            None => self.next_wait(),
        }
    }

    /// [`Backoff::next_wait`] under a cap of its own, as for a process that is about to end.
    pub fn next_wait_within(&mut self, max: Duration) -> Duration {
        let longest = self.current.min(max);
        self.current = (self.current * 2).min(max);
        longest.mul_f64(rand::random_range(0.5..=1.0))
    }

    /// Starts over, after a success.
    pub fn reset(&mut self) {
        self.current = self.min;
    }
}

/// Returns how long a `Retry-After` header asks to wait: seconds, or a date (RFC 9110, section 10.2.3). Any other text
/// and a date that is not in the future say nothing of a wait: the caller's own backoff applies. The caller bounds the
/// wait from above, and [`Backoff::next_wait_asked`] from below.
#[must_use]
pub fn retry_after(value: &HeaderValue, now: SystemTime) -> Option<Duration> {
    let text = value.to_str().ok()?.trim();
    if let Ok(seconds) = text.parse() {
        return Some(Duration::from_secs(seconds));
    }
    httpdate::parse_http_date(text).ok()?.duration_since(now).ok().filter(|wait| !wait.is_zero())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_the_cap_and_start_over() {
        let mut backoff = Backoff::new(Duration::from_millis(100), Duration::from_millis(350));
        for most_ms in [100, 200, 350, 350] {
            let wait = backoff.next_wait();
            assert!(wait <= Duration::from_millis(most_ms) && wait >= Duration::from_millis(most_ms / 2), "{wait:?}");
        }
        backoff.reset();
        assert!(backoff.next_wait() <= Duration::from_millis(100));
    }

    #[test]
    fn a_lower_cap_holds_at_once() {
        let mut backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(60));
        for _ in 0..8 {
            backoff.next_wait();
        }
        for _ in 0..3 {
            assert!(backoff.next_wait_within(Duration::from_millis(100)) <= Duration::from_millis(100));
        }
    }

    #[test]
    fn a_wait_that_was_asked_for_is_not_shorter_than_the_shortest() {
        let min = Duration::from_millis(100);
        let mut backoff = Backoff::new(min, Duration::from_secs(1));
        assert_eq!(backoff.next_wait_asked(Some(Duration::ZERO)), min);
        assert_eq!(backoff.next_wait_asked(Some(Duration::from_secs(7))), Duration::from_secs(7));
        let own = backoff.next_wait_asked(None);
        assert!(own >= min / 2 && own <= min, "{own:?}: what was asked for doubles nothing");
    }

    #[test]
    fn a_wait_is_seconds_or_a_date() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000);
        for (text, seconds) in [
            ("7", Some(7)),
            (" 0 ", Some(0)),
            ("Thu, 01 Jan 1970 00:17:10 GMT", Some(30)),
            ("Thu, 01 Jan 1970 00:16:40 GMT", None),
            ("Thu, 01 Jan 1970 00:00:10 GMT", None),
            ("-1", None),
            ("soon", None),
        ] {
            let value = HeaderValue::from_static(text);
            assert_eq!(retry_after(&value, now), seconds.map(Duration::from_secs), "{text}");
        }
    }
}
