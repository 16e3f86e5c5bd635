//! The state of one upstream identity: failures in a row, ejections, open connections and requests in flight.

use std::sync::atomic::{AtomicI64, AtomicU32, AtomicU64, Ordering::Relaxed};
use std::sync::{Mutex, OnceLock, Weak};
use std::time::{Duration, Instant};

use crate::health::Check;

/// Doublings of an ejection's time, whatever its bound.
const DOUBLINGS_MAX: u32 = 16;

/// When failures eject an upstream, and for how long.
#[derive(Debug, Clone, Copy)]
pub struct EjectionRule {
    /// Failures in a row that eject; 0 = never.
    pub failures: u32,
    /// Time of the first ejection. Each further one, without a success between, lasts twice as long.
    pub time: Duration,
    pub time_max: Duration,
}

/// How one upstream identity fares, as all workers know it. Begins healthy.
#[derive(Debug)]
pub struct UpstreamState {
    /// `host:port` or `unix:path`, for messages.
    pub name: String,
    failures: AtomicU32,
    ejections: AtomicU32,
    /// In milliseconds of [`clock_ms`]; 0 = not ejected.
    ejected_until_ms: AtomicU64,
    /// Counted only for services that balance by least requests.
    in_flight: AtomicI64,
    connections: AtomicI64,
    /// The checks that run on this identity.
    pub(super) checks: Mutex<Vec<Weak<Check>>>,
}

/// Milliseconds since the process first asked, plus one: never 0.
#[must_use]
pub fn clock_ms() -> u64 {
    static BEGAN: OnceLock<Instant> = OnceLock::new();
    BEGAN.get_or_init(Instant::now).elapsed().as_millis() as u64 + 1
}

impl UpstreamState {
    #[must_use]
    pub fn new(name: String) -> Self {
        Self {
            name,
            failures: AtomicU32::new(0),
            ejections: AtomicU32::new(0),
            ejected_until_ms: AtomicU64::new(0),
            in_flight: AtomicI64::new(0),
            connections: AtomicI64::new(0),
            checks: Mutex::default(),
        }
    }

    /// Whether the upstream is passed over because of its failures.
    #[must_use]
    pub fn is_ejected(&self, now_ms: u64) -> bool {
        self.ejected_until_ms.load(Relaxed) > now_ms
    }

    /// Failures in a row, and ejections since the last success.
    #[must_use]
    pub fn failures(&self) -> (u32, u32) {
        (self.failures.load(Relaxed), self.ejections.load(Relaxed))
    }

    /// Records a success. It writes only after a failure, so that a healthy upstream's cache line stays shared.
    pub fn record_success(&self) {
        if self.failures.load(Relaxed) != 0 {
            self.failures.store(0, Relaxed);
            self.ejections.store(0, Relaxed);
        }
    }

    /// Records a failure. Returns whether it ejected the upstream.
    pub fn record_failure(&self, rule: EjectionRule, may_eject: impl FnOnce() -> bool, now_ms: u64) -> bool {
        let failures = self.failures.fetch_add(1, Relaxed).saturating_add(1);
        if rule.failures == 0 || failures < rule.failures || self.is_ejected(now_ms) || !may_eject() {
            return false;
        }
        let doublings = self.ejections.fetch_add(1, Relaxed).min(DOUBLINGS_MAX);
        let time = rule.time.saturating_mul(1 << doublings).min(rule.time_max);
        self.ejected_until_ms.store(now_ms + time.as_millis() as u64, Relaxed);
        true
    }

    /// Requests in flight.
    #[must_use]
    pub fn in_flight(&self) -> i64 {
        self.in_flight.load(Relaxed)
    }

    pub fn request_began(&self) {
        self.in_flight.fetch_add(1, Relaxed);
    }

    pub fn request_ended(&self) {
        self.in_flight.fetch_sub(1, Relaxed);
    }

    /// Open connections of all workers.
    #[must_use]
    pub fn connections(&self) -> i64 {
        self.connections.load(Relaxed)
    }

    pub fn connection_opened(&self) {
        self.connections.fetch_add(1, Relaxed);
    }

    pub fn connection_closed(&self) {
        self.connections.fetch_sub(1, Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(failures: u32) -> EjectionRule {
        EjectionRule { failures, time: Duration::from_secs(10), time_max: Duration::from_secs(25) }
    }

    fn state() -> UpstreamState {
        UpstreamState::new("a:1".into())
    }

    #[test]
    fn failures_in_a_row_eject_for_longer_each_time() {
        let (state, rule) = (state(), rule(3));
        assert!(!state.record_failure(rule, || true, 1));
        assert!(!state.record_failure(rule, || true, 1));
        state.record_success();
        assert!(!state.record_failure(rule, || true, 1), "a success restarts the count");
        assert!(!state.record_failure(rule, || true, 1));
        assert!(state.record_failure(rule, || true, 1));
        assert!(state.is_ejected(10_000) && !state.is_ejected(10_001));
        assert!(!state.record_failure(rule, || true, 5_000), "it is out already");
        assert!(state.record_failure(rule, || true, 10_001), "the next failure puts it out at once");
        assert!(state.is_ejected(30_000) && !state.is_ejected(30_001));
        assert!(state.record_failure(rule, || true, 30_001));
        assert!(state.is_ejected(55_000) && !state.is_ejected(55_001), "the bound holds");
        state.record_success();
        assert_eq!(state.failures(), (0, 0));
    }

    #[test]
    fn nothing_is_ejected_past_the_share_nor_when_ejection_is_off() {
        let state = state();
        assert!((0..10).all(|_| !state.record_failure(rule(3), || false, 1)));
        assert!((0..10).all(|_| !state.record_failure(rule(0), || true, 1)));
        assert!(!state.is_ejected(1));
    }
}
