//! Weighted round robin: the order in which a service's targets take turns, laid out once when the plan is compiled
//! (nginx' smooth order).

/// Targets that one request can have tried.
pub const TRIED_MAX: usize = 8;

/// One whole round of turns for targets of these weights: each appears as often as its weight says, evenly mixed.
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
}
