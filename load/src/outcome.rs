//! How a made-up transaction ends.

use tollgate_record::vocabulary::{AuthFailReason, ErrorClass, GapReason};

use crate::draws::{Draws, mixed};

/// Services that have no outages: the busiest ones would hide all else.
const STEADY_SERVICES: usize = 5;
/// One hour in so many has an outage of a service.
const OUTAGE_ONE_IN_HOURS: u64 = 50;
/// Share of the transactions that fail in an outage, in a million.
const OUTAGE_FAILS: u64 = 700_000;
/// Microseconds of an hour and of a minute.
const HOUR_US: i64 = 3_600_000_000;
const MINUTE_US: i64 = 60_000_000;

/// How a transaction ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// The upstream answers with this status.
    Answered(i32),
    /// The credential is refused.
    Unauthenticated(AuthFailReason),
    /// The firewall refuses it by this rule.
    Blocked(i32),
    /// It fails for this reason, with this status to the client.
    Failed(ErrorClass, i32),
    /// The handshake fails.
    Handshake,
    /// Not a transaction: records that were shed.
    Gap(GapReason, i64),
}

/// Failures that the traffic always has, and how often in a million.
const ALWAYS: [(u64, Outcome); 13] = [
    (1_500, Outcome::Unauthenticated(AuthFailReason::BadSignature)),
    (600, Outcome::Unauthenticated(AuthFailReason::Expired)),
    (300, Outcome::Unauthenticated(AuthFailReason::Missing)),
    (2_000, Outcome::Failed(ErrorClass::Upstream5xx, 500)),
    (400, Outcome::Failed(ErrorClass::UpstreamTimeout, 504)),
    (200, Outcome::Failed(ErrorClass::ConnectRefused, 502)),
    (200, Outcome::Failed(ErrorClass::UpstreamReset, 502)),
    (700, Outcome::Failed(ErrorClass::ClientAbort, 499)),
    (400, Outcome::Failed(ErrorClass::RateLimited, 429)),
    (300, Outcome::Failed(ErrorClass::Acl, 403)),
    (300, Outcome::Failed(ErrorClass::BadRequest, 400)),
    (20, Outcome::Failed(ErrorClass::Internal, 500)),
    (200, Outcome::Handshake),
];
/// Requests that the firewall refuses, in a million of those that it watches.
const BLOCKED: u64 = 1_500;
/// Gaps, in a million.
const GAPS: u64 = 1;
/// Records of one gap, at most.
const GAP_RECORDS_MAX: u64 = 400;
/// Rules of the OWASP core rule set, the common ones first.
const RULES: [i32; 12] =
    [942_100, 941_100, 930_120, 949_110, 920_350, 932_160, 942_190, 933_100, 913_100, 921_110, 944_100, 931_100];

pub(crate) fn outcome(seed: u64, service: usize, is_watched: bool, time_us: i64, draws: &mut Draws) -> Outcome {
    if draws.happens(GAPS) {
        return Outcome::Gap(GapReason::BufferFull, 1 + draws.below(GAP_RECORDS_MAX) as i64);
    }
    let mut drawn = draws.below(1_000_000);
    for (share, outcome) in ALWAYS {
        match drawn.checked_sub(share) {
            Some(rest) => drawn = rest,
            None => return outcome,
        }
    }
    if is_watched && draws.happens(BLOCKED) {
        let rule = draws.below(RULES.len() as u64).min(draws.below(RULES.len() as u64));
        return Outcome::Blocked(RULES[rule as usize]);
    }
    if let Some(failure) = outage(seed, service, time_us).filter(|_| draws.happens(OUTAGE_FAILS)) {
        return failure;
    }
    match draws.below(1_000) {
        0..20 => Outcome::Answered(404),
        20..30 => Outcome::Answered(409),
        30..110 => Outcome::Answered(201),
        110..160 => Outcome::Answered(304),
        _ => Outcome::Answered(200),
    }
}

/// How the service's transactions fail at that time, if it is out: once in a while, for two to nine minutes.
fn outage(seed: u64, service: usize, time_us: i64) -> Option<Outcome> {
    if service < STEADY_SERVICES {
        return None;
    }
    let hour = time_us.div_euclid(HOUR_US);
    let drawn = mixed(seed ^ mixed((service as u64) << 32 ^ hour as u64));
    if !drawn.is_multiple_of(OUTAGE_ONE_IN_HOURS) {
        return None;
    }
    let begins = (drawn >> 8) as i64 & 0x3f;
    let lasts = 2 + ((drawn >> 16) & 7) as i64;
    let minute = time_us.rem_euclid(HOUR_US) / MINUTE_US;
    (begins..begins + lasts).contains(&minute).then_some(match (drawn >> 24) % 4 {
        0 => Outcome::Failed(ErrorClass::UpstreamTimeout, 504),
        1 => Outcome::Failed(ErrorClass::ConnectRefused, 502),
        2 => Outcome::Failed(ErrorClass::UpstreamReset, 502),
        _ => Outcome::Failed(ErrorClass::Upstream5xx, 503),
    })
}
