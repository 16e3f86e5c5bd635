//! Active checks: the rule, and the state that the checks under it led to.

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use http::header::HeaderValue;

use crate::health::UpstreamState;

/// The request of a check, and the thresholds for its results.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CheckRule {
    /// Path to GET; `None` = connecting is enough.
    pub path: Option<String>,
    pub interval: Duration,
    pub timeout: Duration,
    /// Failed checks in a row that take the target out.
    pub unhealthy: u32,
    /// Good checks in a row that bring the target back.
    pub healthy: u32,
    /// Good statuses; empty = 200 to 399.
    pub statuses: Vec<u16>,
}

impl CheckRule {
    #[must_use]
    pub fn accepts(&self, status: u16) -> bool {
        match self.statuses.is_empty() {
            true => (200..400).contains(&status),
            false => self.statuses.contains(&status),
        }
    }
}

/// The active checks of one upstream identity under one rule. Begins healthy.
#[derive(Debug)]
pub struct Check {
    pub rule: CheckRule,
    /// Value of the Host field.
    pub host: HeaderValue,
    out: AtomicBool,
    /// Results in a row that contradict `out`.
    against: AtomicU32,
    last: Mutex<Option<String>>,
}

impl Check {
    /// Returns the check of an upstream under this rule: the running one, if there is one, so that it survives a
    /// reload.
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

    #[must_use]
    pub fn is_out(&self) -> bool {
        self.out.load(Relaxed)
    }

    /// Why the last check failed; `None` if it succeeded.
    #[must_use]
    pub fn last_failure(&self) -> Option<String> {
        self.last.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Records a result. Returns whether the target is out, if that changed.
    pub fn record(&self, result: Result<(), String>) -> Option<bool> {
        let (well, out) = (result.is_ok(), self.is_out());
        *self.last.lock().unwrap_or_else(PoisonError::into_inner) = result.err();
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

    #[test]
    fn checks_count_in_both_directions() {
        let second = Duration::from_secs(1);
        let statuses = Vec::new();
        let rule = CheckRule { path: None, interval: second, timeout: second, unhealthy: 3, healthy: 2, statuses };
        let check = Check::new(rule, HeaderValue::from_static("a"));
        let bad = || Err("no".to_owned());
        let answers = [bad(), bad(), Ok(()), bad(), bad(), bad(), Ok(()), bad(), Ok(()), Ok(())];
        let changes: Vec<_> = answers.into_iter().map(|answer| check.record(answer)).collect();
        let mut expected = vec![None; 10];
        expected[5] = Some(true);
        expected[9] = Some(false);
        assert_eq!(changes, expected);
        assert!(!check.is_out() && check.last_failure().is_none());
    }

    #[test]
    fn a_check_is_found_again_under_an_equal_rule() {
        let (state, second) = (UpstreamState::new("a:1".into()), Duration::from_secs(1));
        let statuses = Vec::new();
        let rule = CheckRule { path: None, interval: second, timeout: second, unhealthy: 3, healthy: 2, statuses };
        let host = HeaderValue::from_static("a");
        let check = Check::of(&state, &rule, &host);
        assert!(Arc::ptr_eq(&check, &Check::of(&state, &rule, &host)));
        let other = CheckRule { healthy: 3, ..rule };
        assert!(!Arc::ptr_eq(&check, &Check::of(&state, &other, &host)));
    }
}
