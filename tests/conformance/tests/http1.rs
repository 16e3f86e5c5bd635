//! Every case in `cases/` against the proxy: what the client sees, what reaches the upstream, and the records.

use serde_json::Value;
use tollgate_conformance::case::{self, Case};
use tollgate_conformance::exchange::{self, Seen};
use tollgate_conformance::gate::Gate;
use tollgate_conformance::message::Message;
use tollgate_conformance::origin::{Origin, PROBE};
use tollgate_conformance::{bytes, records};

/// Cases run in this many proxies beside each other; in each, one after the other.
pub const LANES: usize = 8;

#[test]
fn every_case_has_the_outcome_that_is_written_down() {
    let cases = case::load_all().unwrap();
    assert!(cases.len() >= 60, "only {} cases are left", cases.len());
    let wrong: Vec<String> = in_lanes(&cases, run_lane).into_iter().flatten().collect();
    assert!(wrong.is_empty(), "{} of {} cases differ:\n\n{}", wrong.len(), cases.len(), wrong.join("\n\n"));
}

/// Deals the cases out to lanes and runs those beside each other.
pub fn in_lanes<T: Send>(cases: &[Case], lane: impl Fn(&[&Case]) -> T + Sync) -> Vec<T> {
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..LANES)
            .map(|nth| {
                let dealt: Vec<&Case> = cases.iter().skip(nth).step_by(LANES).collect();
                let lane = &lane;
                scope.spawn(move || lane(&dealt))
            })
            .collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    })
}

fn run_lane(cases: &[&Case]) -> Vec<String> {
    let origin = Origin::start().unwrap();
    let gate = Gate::start(origin.addr, "", "").unwrap();
    let mut wrong: Vec<Vec<String>> = Vec::new();
    for (nth, case) in cases.iter().enumerate() {
        origin.begin(&case.upstream);
        let seen = exchange::run(gate.plain, case, case.expected().0.len()).unwrap();
        let heard = origin.heard();
        wrong.push(differences(case, &seen, &heard));
        assert!(exchange::probe(gate.plain, &nth.to_string()).unwrap(), "the proxy is gone after `{}`", case.name);
    }
    let rows = gate.finish().unwrap();
    for ((nth, case), wrong) in cases.iter().enumerate().zip(&mut wrong) {
        let found: Vec<String> = of_case(&rows, nth).map(records::summary).collect();
        let expected = case.expected_records();
        // Without a class written down, the status decides.
        let found_short: Vec<String> =
            found.iter().map(|f| f.split(' ').next().unwrap_or_default().to_owned()).collect();
        let agrees = if case.records.is_some() { found == expected } else { found_short == expected };
        if !agrees {
            wrong.push(format!("  records: {found:?}\n  instead: {expected:?}"));
        }
    }
    let named = cases.iter().zip(wrong).filter(|(_, wrong)| !wrong.is_empty());
    named.map(|(case, wrong)| format!("{} ({})\n{}", case.name, case.source, wrong.join("\n"))).collect()
}

/// The records between the probe before a case and the one after it, without probes.
fn of_case(rows: &[Value], nth: usize) -> impl Iterator<Item = &Value> {
    let after = format!("{PROBE}/{nth}");
    let end = rows.iter().position(|row| row["url.path"] == after).unwrap_or(rows.len());
    let begin = match nth.checked_sub(1).map(|before| format!("{PROBE}/{before}")) {
        Some(before) => rows.iter().position(|row| row["url.path"] == before).map_or(0, |at| at + 1),
        None => 0,
    };
    rows[begin..end].iter().filter(|row| row["url.path"] != PROBE)
}

fn differences(case: &Case, seen: &Seen, heard: &[Message]) -> Vec<String> {
    let mut wrong = Vec::new();
    if seen.summary() != case.answer {
        wrong.push(format!("  answer: {}\n  instead: {}", seen.summary(), case.answer));
    }
    let mut text = seen.text();
    for wanted in &case.answer_has {
        match text.find(wanted.as_str()) {
            Some(at) => text.drain(..at + wanted.len()).for_each(drop),
            None => wrong.push(format!("  answer lacks {wanted:?} in {:?}", seen.text())),
        }
    }
    for unwanted in case.answer_lacks.iter().filter(|unwanted| seen.text().contains(unwanted.as_str())) {
        wrong.push(format!("  answer has {unwanted:?}: {:?}", seen.text()));
    }
    if let Some(most) = &case.reaches_upstream_at_most {
        let most = bytes::of_text(most).unwrap();
        let within = heard.iter().all(|cut| !cut.complete && most.starts_with(&with_id_named(&cut.raw)));
        if heard.len() > 1 || !within {
            wrong.push(format!("  reached the upstream: {heard:?}\n  at most: {}", bytes::to_text(&most)));
        }
        return wrong;
    }
    let found: Vec<String> = heard.iter().map(|request| bytes::to_text(&with_id_named(&request.raw))).collect();
    let expected: Vec<String> =
        case.reaches_upstream.iter().map(|text| bytes::to_text(&bytes::of_text(text).unwrap())).collect();
    if found != expected {
        wrong.push(format!("  reaches_upstream: [{}]\n  instead: [{}]", found.join(", "), expected.join(", ")));
    }
    wrong
}

/// The request with its own id replaced by `{id}`.
fn with_id_named(raw: &[u8]) -> Vec<u8> {
    const FIELD: &[u8] = b"x-request-id: ";
    const ID_BYTES: usize = 36;
    let Some(at) = raw.windows(FIELD.len()).position(|window| window == FIELD) else { return raw.to_vec() };
    let value = at + FIELD.len();
    [&raw[..value], b"{id}", raw.get(value + ID_BYTES..).unwrap_or_default()].concat()
}
