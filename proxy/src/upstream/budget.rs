//! A bound on second attempts, so that an upstream that fails is not also asked twice for everything.
//!
//! Each request to an upstream identity pays a share into a purse, each second attempt takes a whole one out. A purse
//! that is short gets some by time as well, so that an upstream with few requests is tried again too. A worker has its
//! own purses.

use std::cell::Cell;
use std::time::Instant;

use crate::config::Retries;

/// What one second attempt costs. A request pays in its percentage.
const ATTEMPT: u64 = 100;
/// Second attempts that can be saved up.
const SAVED_MAX: u64 = 100;

/// The purse of one upstream identity.
#[derive(Debug, Default)]
pub struct Budget {
    saved: Cell<u64>,
    /// `None` = never: a full second's worth is due.
    filled_at: Cell<Option<Instant>>,
}

impl Budget {
    /// A request is sent for the first time.
    pub fn earn(&self, rules: &Retries) {
        let saved = self.saved.get() + u64::from(rules.budget_percent.value);
        self.saved.set(saved.min(SAVED_MAX * ATTEMPT));
    }

    /// Whether a second attempt may be made; it is paid for then.
    pub fn spend(&self, rules: &Retries, now: Instant) -> bool {
        let by_second = u64::from(rules.budget_per_second_min.value);
        // What time gives is not saved for more than a second.
        let since =
            self.filled_at.get().map_or(1_000, |at| now.saturating_duration_since(at).as_millis().min(1_000) as u64);
        let given = since * by_second * ATTEMPT / 1_000;
        let mut saved = self.saved.get();
        if saved < by_second * ATTEMPT {
            saved = (saved + given).min(by_second * ATTEMPT).max(saved);
        }
        self.filled_at.set(Some(now));
        let enough = saved >= ATTEMPT;
        self.saved.set(if enough { saved - ATTEMPT } else { saved });
        enough
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tollgate_config::Spanned;

    use super::*;

    fn rules(percent: u32, by_second: u32) -> Retries {
        let (budget_percent, budget_per_second_min) = (Spanned::nowhere(percent), Spanned::nowhere(by_second));
        Retries { budget_percent, budget_per_second_min, ..Retries::default() }
    }

    fn spent(budget: &Budget, rules: &Retries, now: Instant) -> usize {
        (0..1_000).take_while(|_| budget.spend(rules, now)).count()
    }

    #[test]
    fn requests_pay_for_second_attempts_up_to_a_bound() {
        let (budget, rules, now) = (Budget::default(), rules(20, 0), Instant::now());
        assert_eq!(spent(&budget, &rules, now), 0);
        (0..50).for_each(|_| budget.earn(&rules));
        assert_eq!(spent(&budget, &rules, now), 10);
        (0..1_000_000).for_each(|_| budget.earn(&rules));
        assert_eq!(spent(&budget, &rules, now), SAVED_MAX as usize);
    }

    #[test]
    fn time_gives_some_to_who_has_few_requests() {
        let (budget, rules) = (Budget::default(), rules(0, 10));
        let later = Instant::now() + Duration::from_secs(1);
        assert_eq!(spent(&budget, &rules, later), 10);
        assert_eq!(spent(&budget, &rules, later), 0);
        assert_eq!(spent(&budget, &rules, later + Duration::from_millis(200)), 2);
        assert_eq!(spent(&budget, &rules, later + Duration::from_secs(3_600)), 10);
    }
}
