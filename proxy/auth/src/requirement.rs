//! How the methods of a route are combined, and what follows from their outcomes.
//!
//! | outcomes of the methods | `any_of` | `all_of` |
//! |---|---|---|
//! | one failed | refused, whatever the others say | refused |
//! | none failed, one unavailable | unavailable: nobody knows whether it contradicts the others | unavailable |
//! | several succeeded | the first, if all are of one caller; else refused as a conflict | their union, if they can belong together; else refused as a conflict |
//! | one succeeded, others absent | that one | refused: one is missing |
//! | all absent | refused as missing; anonymous if `optional` | the same |

use tollgate_record::vocabulary::{AuthFailReason, AuthPattern};

use crate::{Failure, Outcome, Principal};

/// How many of a route's methods must succeed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Combination {
    /// One of them.
    AnyOf,
    /// Each of them.
    AllOf,
}

/// What a route asks of its callers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Requirement {
    /// How many of the methods must succeed.
    pub combination: Combination,
    /// Whether a request without any credential is let in as anonymous.
    pub optional: bool,
}

/// What follows from the outcomes of all methods.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// The caller is known.
    Authenticated(Box<Principal>),
    /// No credential was presented, and the route allows that.
    Anonymous,
    /// The caller is refused: 401.
    Refused(Refusal),
    /// Nobody could judge: 503.
    Unavailable {
        /// The method that could not be judged.
        pattern: AuthPattern,
        /// Who does not answer.
        detail: String,
    },
}

/// Why a caller is refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// The method that refuses.
    pub pattern: AuthPattern,
    /// The fault.
    pub failure: Failure,
}

impl Requirement {
    /// Decides over the outcomes of the route's methods, in the order of the configuration.
    #[must_use]
    pub fn decide(self, outcomes: Vec<(AuthPattern, Outcome)>) -> Verdict {
        let first = outcomes.first().map_or(AuthPattern::None, |(pattern, _)| *pattern);
        let (mut absent, mut waiting, mut known) = (None, None, Vec::new());
        for (pattern, outcome) in outcomes {
            match outcome {
                Outcome::Failed(failure) => return Verdict::Refused(Refusal { pattern, failure }),
                Outcome::Unavailable(detail) => waiting = waiting.or(Some((pattern, detail))),
                Outcome::Absent => absent = absent.or(Some(pattern)),
                Outcome::Succeeded(principal) => known.push(*principal),
            }
        }
        if let Some((pattern, detail)) = waiting {
            return Verdict::Unavailable { pattern, detail };
        }
        if known.is_empty() {
            return match self.optional {
                true => Verdict::Anonymous,
                false => refused(first, AuthFailReason::Missing, "no credential was presented"),
            };
        }
        match (self.combination, absent) {
            (Combination::AllOf, Some(pattern)) => {
                refused(pattern, AuthFailReason::Missing, "one of the credentials that are needed together is missing")
            }
            (Combination::AllOf, None) => merged(known, Principal::is_compatible, Principal::joined),
            (Combination::AnyOf, _) => merged(known, Principal::is_same, |first, _| first),
        }
    }
}

/// Makes one principal of several, if each pair of them fits.
fn merged(
    known: Vec<Principal>,
    fits: fn(&Principal, &Principal) -> bool,
    join: fn(Principal, Principal) -> Principal,
) -> Verdict {
    for (nth, one) in known.iter().enumerate() {
        if let Some(other) = known[nth + 1..].iter().find(|other| !fits(one, other)) {
            let detail = format!("the {} and {} credentials are of different callers", one.pattern, other.pattern);
            return refused(one.pattern, AuthFailReason::Conflict, &detail);
        }
    }
    match known.into_iter().reduce(join) {
        Some(principal) => Verdict::Authenticated(Box::new(principal)),
        None => refused(AuthPattern::None, AuthFailReason::Missing, "no credential was presented"),
    }
}

fn refused(pattern: AuthPattern, reason: AuthFailReason, detail: &str) -> Verdict {
    Verdict::Refused(Refusal { pattern, failure: Failure::new(reason, detail) })
}

#[cfg(test)]
mod tests;
