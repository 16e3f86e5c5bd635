//! How upstreams fare, known to all workers.
//!
//! * **Passive**: failures in a row, seen by transactions ([`UpstreamState`], one for each upstream identity). At the
//!   service's bound the target is out for a while; it comes back by time, is out for twice as long if its next request
//!   fails too, and is as good as new after one that does not.
//! * **Active**: what checks say ([`Check`], one for each identity and rule), by thresholds in both directions.
//!
//! All of it is atomics that workers read when a service has several targets; no lock, and nothing is written while all
//! is well. It belongs to the upstream identity, and so outlives a reload of the configuration.

pub mod active;

use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU32, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, OnceLock, PoisonError, Weak};
use std::time::{Duration, Instant};

use http::header::HeaderValue;

use crate::config::{Endpoint, HealthPlan, Plan, ServicePlan};

/// Doublings of an ejection's time, whatever its bound.
const DOUBLINGS_MAX: u32 = 16;

/// What all workers know of one upstream identity.
#[derive(Debug)]
pub struct UpstreamState {
    /// How people call it.
    pub name: String,
    failures: AtomicU32,
    ejections: AtomicU32,
    /// Milliseconds of [`clock_ms`]; 0 = not ejected.
    ejected_until_ms: AtomicU64,
    /// Requests in flight, for services that balance by it.
    in_flight: AtomicI64,
    /// Connections open.
    pub connections: AtomicI64,
    checks: Mutex<Vec<Weak<Check>>>,
}

/// Milliseconds since the process first asked, plus one: never 0.
#[must_use]
pub fn clock_ms() -> u64 {
    static BEGAN: OnceLock<Instant> = OnceLock::new();
    BEGAN.get_or_init(Instant::now).elapsed().as_millis() as u64 + 1
}

impl UpstreamState {
    /// Nothing known yet.
    #[must_use]
    pub fn new(endpoint: &Endpoint) -> Self {
        Self {
            name: endpoint.to_string(),
            failures: AtomicU32::new(0),
            ejections: AtomicU32::new(0),
            ejected_until_ms: AtomicU64::new(0),
            in_flight: AtomicI64::new(0),
            connections: AtomicI64::new(0),
            checks: Mutex::default(),
        }
    }

    /// Whether it is out because of its failures.
    #[must_use]
    pub fn is_ejected(&self, now_ms: u64) -> bool {
        self.ejected_until_ms.load(Relaxed) > now_ms
    }

    /// Failures in a row, and how often it was put out since it last was well.
    #[must_use]
    pub fn failures(&self) -> (u32, u32) {
        (self.failures.load(Relaxed), self.ejections.load(Relaxed))
    }

    /// Notes an exchange that went well.
    pub fn succeeded(&self) {
        if self.failures.load(Relaxed) != 0 {
            self.failures.store(0, Relaxed);
            self.ejections.store(0, Relaxed);
        }
    }

    /// Notes a failure. Returns whether it put the target out.
    fn failed(&self, plan: &HealthPlan, may_eject: impl FnOnce() -> bool, now_ms: u64) -> bool {
        let failures = self.failures.fetch_add(1, Relaxed).saturating_add(1);
        if plan.failures == 0 || failures < plan.failures || self.is_ejected(now_ms) || !may_eject() {
            return false;
        }
        let doublings = self.ejections.fetch_add(1, Relaxed).min(DOUBLINGS_MAX);
        let time = plan.ejection.saturating_mul(1 << doublings).min(plan.ejection_max);
        self.ejected_until_ms.store(now_ms + time.as_millis() as u64, Relaxed);
        true
    }

    /// Requests in flight.
    #[must_use]
    pub fn in_flight(&self) -> i64 {
        self.in_flight.load(Relaxed)
    }
}

/// Notes a failure of a service's target. Returns whether it put the target out.
pub fn failed(plan: &Plan, service: &ServicePlan, target: usize) -> bool {
    let now_ms = clock_ms();
    let state = |target: &crate::config::TargetPlan| &plan.upstreams[target.upstream].state;
    let others = || service.targets.iter().filter(|target| state(target).is_ejected(now_ms)).count();
    state(&service.targets[target]).failed(&service.health, || others() < service.health.ejected_max, now_ms)
}

/// Counts a request in flight to an upstream.
#[derive(Debug)]
pub struct InFlight(Arc<crate::config::UpstreamPlan>);

impl InFlight {
    /// Counts one more.
    #[must_use]
    pub fn new(upstream: Arc<crate::config::UpstreamPlan>) -> Self {
        upstream.state.in_flight.fetch_add(1, Relaxed);
        Self(upstream)
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.state.in_flight.fetch_sub(1, Relaxed);
    }
}

/// What a check asks, and how its answers count.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CheckRule {
    /// What to GET; `None` = a connection is enough.
    pub path: Option<String>,
    /// From one check to the next.
    pub interval: Duration,
    /// For one check.
    pub timeout: Duration,
    /// Failed checks in a row that put the target out.
    pub unhealthy: u32,
    /// Good checks in a row that bring it back.
    pub healthy: u32,
    /// Statuses that are good; empty: 200 to 399.
    pub statuses: Vec<u16>,
}

impl CheckRule {
    /// Whether a status is good.
    #[must_use]
    pub fn accepts(&self, status: u16) -> bool {
        match self.statuses.is_empty() {
            true => (200..400).contains(&status),
            false => self.statuses.contains(&status),
        }
    }
}

/// What active checks under one rule say of one upstream identity. It begins as well.
#[derive(Debug)]
pub struct Check {
    /// The rule.
    pub rule: CheckRule,
    /// The Host that is asked for.
    pub host: HeaderValue,
    out: AtomicBool,
    /// Answers in a row that speak against what holds.
    against: AtomicU32,
    last: Mutex<Option<String>>,
}

impl Check {
    /// The check of an upstream under this rule: the one that runs already, if there is one.
    #[must_use]
    pub fn of(state: &UpstreamState, rule: &CheckRule, host: &HeaderValue) -> Arc<Self> {
        let mut checks = state.checks.lock().unwrap_or_else(PoisonError::into_inner);
        checks.retain(|check| check.strong_count() > 0);
        let same = |check: &Arc<Self>| check.rule == *rule && check.host == *host;
        if let Some(check) = checks.iter().filter_map(Weak::upgrade).find(same) {
            return check;
        }
        let check = Arc::new(Self::new(rule.clone(), host.clone()));
        checks.push(Arc::downgrade(&check));
        check
    }

    fn new(rule: CheckRule, host: HeaderValue) -> Self {
        Self { rule, host, out: AtomicBool::new(false), against: AtomicU32::new(0), last: Mutex::default() }
    }

    /// Whether the target is out.
    #[must_use]
    pub fn is_out(&self) -> bool {
        self.out.load(Relaxed)
    }

    /// Why the last check failed; `None` if it did not.
    #[must_use]
    pub fn last_failure(&self) -> Option<String> {
        self.last.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Notes an answer. Returns the new state if it changed: whether the target is out.
    pub fn note(&self, answer: Result<(), String>) -> Option<bool> {
        let (well, out) = (answer.is_ok(), self.is_out());
        *self.last.lock().unwrap_or_else(PoisonError::into_inner) = answer.err();
        if well != out {
            self.against.store(0, Relaxed);
            return None;
        }
        let against = self.against.fetch_add(1, Relaxed) + 1;
        if against < if out { self.rule.healthy } else { self.rule.unhealthy } {
            return None;
        }
        self.against.store(0, Relaxed);
        self.out.store(!out, Relaxed);
        Some(!out)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::AllOut;

    fn plan(failures: u32) -> HealthPlan {
        let (ejection, ejection_max) = (Duration::from_secs(10), Duration::from_secs(25));
        HealthPlan { failures, ejection, ejection_max, ejected_max: 1, all_out: AllOut::Serve }
    }

    fn state() -> UpstreamState {
        UpstreamState::new(&Endpoint::Tcp("a".into(), 1))
    }

    #[test]
    fn failures_in_a_row_put_a_target_out_for_longer_each_time() {
        let (state, plan) = (state(), plan(3));
        assert!(!state.failed(&plan, || true, 1));
        assert!(!state.failed(&plan, || true, 1));
        state.succeeded();
        assert!(!state.failed(&plan, || true, 1), "a success starts the count anew");
        assert!(!state.failed(&plan, || true, 1));
        assert!(state.failed(&plan, || true, 1));
        assert!(state.is_ejected(10_000) && !state.is_ejected(10_001));
        assert!(!state.failed(&plan, || true, 5_000), "it is out already");
        assert!(state.failed(&plan, || true, 10_001), "the next failure puts it out at once");
        assert!(state.is_ejected(30_000) && !state.is_ejected(30_001));
        assert!(state.failed(&plan, || true, 30_001));
        assert!(state.is_ejected(55_000) && !state.is_ejected(55_001), "the bound holds");
        state.succeeded();
        assert_eq!(state.failures(), (0, 0));
    }

    #[test]
    fn nobody_is_put_out_past_the_share_nor_when_it_is_switched_off() {
        let state = state();
        assert!((0..10).all(|_| !state.failed(&plan(3), || false, 1)));
        assert!((0..10).all(|_| !state.failed(&plan(0), || true, 1)));
        assert!(!state.is_ejected(1));
    }

    #[test]
    fn checks_count_in_both_directions() {
        let second = Duration::from_secs(1);
        let statuses = Vec::new();
        let rule = CheckRule { path: None, interval: second, timeout: second, unhealthy: 3, healthy: 2, statuses };
        let check = Check::new(rule, HeaderValue::from_static("a"));
        let bad = || Err("no".to_owned());
        let answers = [bad(), bad(), Ok(()), bad(), bad(), bad(), Ok(()), bad(), Ok(()), Ok(())];
        let changes: Vec<_> = answers.into_iter().map(|answer| check.note(answer)).collect();
        let mut expected = vec![None; 10];
        expected[5] = Some(true);
        expected[9] = Some(false);
        assert_eq!(changes, expected);
        assert!(!check.is_out() && check.last_failure().is_none());
    }

    #[test]
    fn a_check_is_found_again_under_an_equal_rule() {
        let (state, second) = (state(), Duration::from_secs(1));
        let statuses = Vec::new();
        let rule = CheckRule { path: None, interval: second, timeout: second, unhealthy: 3, healthy: 2, statuses };
        let host = HeaderValue::from_static("a");
        let check = Check::of(&state, &rule, &host);
        assert!(Arc::ptr_eq(&check, &Check::of(&state, &rule, &host)));
        let other = CheckRule { healthy: 3, ..rule };
        assert!(!Arc::ptr_eq(&check, &Check::of(&state, &other, &host)));
    }
}
