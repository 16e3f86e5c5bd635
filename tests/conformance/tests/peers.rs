//! The same cases through nginx and HAProxy: what they do otherwise is written down, with the reason.

use std::collections::BTreeMap;

use tollgate_conformance::case::{self, Case};
use tollgate_conformance::gate::Gate;
use tollgate_conformance::listed::{self, Listed};
use tollgate_conformance::origin::Origin;
use tollgate_conformance::peer::{Kind, Peer};
use tollgate_conformance::{exchange, outcome};

use crate::http1::in_lanes;

#[test]
fn nginx_differs_as_listed() {
    compare(Kind::Nginx, "nginx.yaml");
}

#[test]
fn haproxy_differs_as_listed() {
    compare(Kind::Haproxy, "haproxy.yaml");
}

fn compare(kind: Kind, list: &str) {
    let cases = case::load_all().unwrap();
    let listed = listed::load(list).unwrap();
    let lanes = in_lanes(&cases, |lane| differing(kind, lane, &listed));
    let Some(lanes) = lanes.into_iter().collect::<Option<Vec<_>>>() else { return };
    let wrong = listed.compare(&lanes.into_iter().flatten().collect());
    assert!(wrong.is_empty(), "{}\n{} differences:\n{}", listed.about, wrong.len(), wrong.join("\n"));
}

/// The outcomes of the peer where they are not ours.
fn differing(kind: Kind, cases: &[&Case], listed: &Listed) -> Option<BTreeMap<String, String>> {
    let (our_origin, their_origin) = (Origin::start().unwrap(), Origin::start().unwrap());
    let peer = Peer::start(kind, their_origin.addr).unwrap()?;
    let gate = Gate::start(our_origin.addr, "", "").unwrap();
    let mut differing = BTreeMap::new();
    for case in cases {
        our_origin.begin(&case.upstream);
        let seen = exchange::run(gate.plain, case, case.expected().0.len()).unwrap();
        let ours = outcome::of(&seen, &our_origin.heard());
        // How many answers to wait for: as many as it is known to give.
        let statuses = |outcome: &str| outcome.split(" | ").next().unwrap_or_default().split(' ').count() - 1;
        let count = listed.of(&case.name).map_or(case.expected().0.len(), statuses);
        their_origin.begin(&case.upstream);
        let seen = exchange::run(peer.addr, case, count).unwrap();
        let theirs = outcome::of(&seen, &their_origin.heard());
        if theirs != ours {
            differing.insert(case.name.clone(), theirs);
        }
    }
    Some(differing)
}
