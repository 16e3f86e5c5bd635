//! Which target of a service gets a request. Pure but for the health that it reads.
//!
//! Round robin follows a round that is laid out when the configuration is compiled: each target as often as its weight
//! says, evenly mixed (the smooth order of nginx). A target that is out costs a turn, and the next one is drawn, so that
//! those that are well share its part evenly. Least requests looks at every target and takes the one with the fewest
//! requests in flight for its weight, over all workers; among equals, turns decide.

use crate::config::{AllOut, Balance, Plan, ServicePlan};
use crate::upstream::health::clock_ms;

/// Targets that one request can have tried.
pub const TRIED_MAX: usize = 8;

/// Targets that a request has tried already.
#[derive(Debug, Default, Clone, Copy)]
pub struct Tried {
    targets: [u16; TRIED_MAX],
    count: usize,
}

impl Tried {
    /// Notes one.
    pub fn note(&mut self, target: usize) {
        if let Some(place) = self.targets.get_mut(self.count) {
            *place = target as u16;
            self.count += 1;
        }
    }

    fn has(&self, target: usize) -> bool {
        self.targets[..self.count].contains(&(target as u16))
    }
}

/// A whole round of turns for targets of these weights: each as often as its weight says, evenly mixed.
#[must_use]
pub fn round(weights: &[u32]) -> Vec<u16> {
    let divisor = weights.iter().copied().fold(0, gcd).max(1);
    let weights: Vec<i64> = weights.iter().map(|weight| i64::from(weight / divisor)).collect();
    let total: i64 = weights.iter().sum();
    if weights.iter().all(|weight| *weight == 1) {
        return (0..weights.len() as u16).collect();
    }
    let mut standing = vec![0; weights.len()];
    let mut round = Vec::with_capacity(total as usize);
    for _ in 0..total {
        let mut best = 0;
        for (target, weight) in weights.iter().enumerate() {
            standing[target] += weight;
            if standing[target] > standing[best] {
                best = target;
            }
        }
        standing[best] -= total;
        round.push(best as u16);
    }
    round
}

fn gcd(a: u32, b: u32) -> u32 {
    if b == 0 { a } else { gcd(b, a % b) }
}

/// The target for the next attempt of a request. `turn` draws the service's next number. `None` = all are out, and the
/// service refuses then, or all were tried.
pub fn choose(plan: &Plan, service: &ServicePlan, tried: &Tried, mut turn: impl FnMut() -> usize) -> Option<usize> {
    let targets = &service.targets;
    if let [only] = &targets[..] {
        let is_out = || only.check.as_ref().is_some_and(|check| check.is_out());
        let refused = service.health.all_out == AllOut::Refuse && is_out();
        return (!tried.has(0) && !refused).then_some(0);
    }
    let now_ms = clock_ms();
    let is_well = |target: usize| {
        let target = &targets[target];
        let checked_out = target.check.as_ref().is_some_and(|check| check.is_out());
        !checked_out && !plan.upstreams[target.upstream].state.is_ejected(now_ms)
    };
    let mut among = |usable: &dyn Fn(usize) -> bool| match service.balance {
        Balance::RoundRobin => {
            let round = &service.round;
            let mut draws = (0..round.len()).map(|_| usize::from(round[turn() % round.len()]));
            draws.find(|target| usable(*target))
        }
        Balance::LeastRequests => {
            let start = turn();
            let places = (0..targets.len()).map(|place| (start + place) % targets.len());
            places.filter(|target| usable(*target)).min_by_key(|target| {
                let target = &targets[*target];
                let in_flight = plan.upstreams[target.upstream].state.in_flight();
                // Scaled, so that a quotient of small numbers still tells them apart.
                (in_flight + 1).saturating_mul(1 << 20) / i64::from(target.weight.max(1))
            })
        }
    };
    let well = among(&|target| !tried.has(target) && is_well(target));
    if well.is_some() || service.health.all_out == AllOut::Refuse {
        return well;
    }
    // Those that are out and were not tried yet: better than refusing.
    among(&|target| !tried.has(target))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn turns_are_evenly_mixed() {
        assert_eq!(round(&[1, 1, 1]), [0, 1, 2]);
        assert_eq!(round(&[5, 1, 1]), [0, 0, 1, 0, 2, 0, 0]);
        assert_eq!(round(&[20, 10]), [0, 1, 0]);
        assert_eq!(round(&[7]), [0]);
        assert!(round(&[]).is_empty());
    }

    proptest! {
        #[test]
        fn each_target_has_its_share(weights in proptest::collection::vec(1u32..=100, 1..20)) {
            let round = round(&weights);
            let divisor = weights.iter().copied().fold(0, gcd);
            for (target, weight) in weights.iter().enumerate() {
                let turns = round.iter().filter(|turn| usize::from(**turn) == target).count();
                prop_assert_eq!(turns as u32, weight / divisor);
            }
        }
    }

    #[test]
    fn what_was_tried_is_remembered_up_to_the_bound() {
        let mut tried = Tried::default();
        (0..TRIED_MAX + 5).for_each(|target| tried.note(target));
        assert!(tried.has(0) && tried.has(TRIED_MAX - 1) && !tried.has(TRIED_MAX));
    }
}
