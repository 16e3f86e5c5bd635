//! Waits that double, with jitter, up to a cap.

use std::time::Duration;

/// Full jitter over the upper half: `d/2 .. d`, `d` doubling.
#[derive(Debug, Clone)]
pub(crate) struct Backoff {
    min: Duration,
    max: Duration,
    current: Duration,
}

impl Backoff {
    pub(crate) fn new(min: Duration, max: Duration) -> Self {
        Self { min, max, current: min }
    }

    /// The next wait.
    pub(crate) fn next(&mut self) -> Duration {
        let wait = self.current.mul_f64(rand::random_range(0.5..=1.0));
        self.current = (self.current * 2).min(self.max);
        wait
    }

    /// After a success.
    pub(crate) fn reset(&mut self) {
        self.current = self.min;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_the_cap_and_start_over() {
        let mut backoff = Backoff::new(Duration::from_millis(100), Duration::from_millis(350));
        for most_ms in [100, 200, 350, 350] {
            let wait = backoff.next();
            assert!(wait <= Duration::from_millis(most_ms) && wait >= Duration::from_millis(most_ms / 2), "{wait:?}");
        }
        backoff.reset();
        assert!(backoff.next() <= Duration::from_millis(100));
    }
}
