//! Chooses the target of a request. Reads the targets' health, and changes nothing.
//!
//! Round robin follows the round that the configuration laid out ([`crate::plan::turns`]). A target that is out costs a
//! turn, and the next one is drawn, so that the others share its part evenly. Least requests compares all targets and
//! takes the one with the fewest requests in flight for its weight, over all workers; turns break ties.

use tollgate_proxy_config::{AllOut, Balance};

use crate::health::clock_ms;
use crate::plan::turns::TRIED_MAX;
use crate::plan::{RuntimeConfig, ServiceConfig};

/// Targets that a request has tried already.
#[derive(Debug, Default, Clone, Copy)]
pub struct Tried {
    targets: [u16; TRIED_MAX],
    count: usize,
}

impl Tried {
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

/// Returns the target for the next attempt of a request, or `None` if all were tried, or all are out and the service
/// refuses then. `turn` draws the service's next number.
pub fn choose(
    config: &RuntimeConfig,
    service: &ServiceConfig,
    tried: &Tried,
    mut turn: impl FnMut() -> usize,
) -> Option<usize> {
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
        !checked_out && !config.upstreams[target.upstream].state.is_ejected(now_ms)
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
                let in_flight = config.upstreams[target.upstream].state.in_flight();
                // Scaled up, so that the integer quotient still tells small numbers apart.
                (in_flight + 1).saturating_mul(1 << 20) / i64::from(target.weight.max(1))
            })
        }
    };
    let well = among(&|target| !tried.has(target) && is_well(target));
    if well.is_some() || service.health.all_out == AllOut::Refuse {
        return well;
    }
    // All are out, and the service serves on: an untried target that is out is better than a refusal.
    among(&|target| !tried.has(target))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tried_targets_are_remembered_up_to_the_bound() {
        let mut tried = Tried::default();
        (0..TRIED_MAX + 5).for_each(|target| tried.note(target));
        assert!(tried.has(0) && tried.has(TRIED_MAX - 1) && !tried.has(TRIED_MAX));
    }
}
