//! A bound on retries, so that a failing upstream does not get every request twice.
//!
//! Each request to an upstream identity pays a percentage of one retry into the budget; each retry takes a whole one
//! out. A budget that is short also grows by time, so that an upstream with few requests gets retries too. Each worker
//! has its own budgets.

use std::cell::Cell;
use std::time::Instant;

use tollgate_proxy_config::Retries;

/// Price of one retry. A request pays its percentage.
const ATTEMPT: u64 = 100;
/// Retries that can be saved up.
const SAVED_MAX: u64 = 100;

/// The retry budget of one upstream identity.
#[derive(Debug, Default)]
pub struct Budget {
    saved: Cell<u64>,
    /// `None` = never, so that a full second's worth is due.
    filled_at: Cell<Option<Instant>>,
}

impl Budget {
    /// Counts a request that is sent.
    pub fn earn(&self, rules: &Retries) {
        let saved = self.saved.get() + u64::from(rules.budget_percent.value);
        self.saved.set(saved.min(SAVED_MAX * ATTEMPT));
    }

    /// Takes the price of one retry out. Returns whether there was enough.
    pub fn spend(&self, rules: &Retries, now: Instant) -> bool {
        let by_second = u64::from(rules.budget_per_second_min.value);
        // Time gives at most one second's worth.
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
    fn requests_pay_for_retries_up_to_a_bound() {
        let (budget, rules, now) = (Budget::default(), rules(20, 0), Instant::now());
        assert_eq!(spent(&budget, &rules, now), 0);
        (0..50).for_each(|_| budget.earn(&rules));
        assert_eq!(spent(&budget, &rules, now), 10);
        (0..1_000_000).for_each(|_| budget.earn(&rules));
        assert_eq!(spent(&budget, &rules, now), SAVED_MAX as usize);
    }

    #[test]
    fn time_pays_for_an_upstream_with_few_requests() {
        let (budget, rules) = (Budget::default(), rules(0, 10));
        let later = Instant::now() + Duration::from_secs(1);
        assert_eq!(spent(&budget, &rules, later), 10);
        assert_eq!(spent(&budget, &rules, later), 0);
        assert_eq!(spent(&budget, &rules, later + Duration::from_millis(200)), 2);
        assert_eq!(spent(&budget, &rules, later + Duration::from_secs(3_600)), 10);
    }
}
