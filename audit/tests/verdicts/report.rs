//! The report over all producers.

use tollgate_audit::{AuditError, Evidence, Range, Request, judge};

use crate::{OLD, SETTLED_US, SINCE_US, evidence, judged, observed, request, young};

fn one(name: &str) -> Request {
    Request { scope: name.parse().expect("a name"), ..request() }
}

#[test]
fn producers_with_a_fault_come_first() {
    let report = judged(&evidence([
        ("edge-1/65f/0", observed(&[(1, 3)])),
        ("edge-2/65f/0", observed(&[(1, 3), (5, 6)])),
        ("edge-3/65f/0", observed(&[(1, 3)])),
    ]));
    let names: Vec<&str> = report.producers.iter().map(|verdict| verdict.producer.as_str()).collect();
    assert_eq!(names, ["edge-2/65f/0", "edge-1/65f/0", "edge-3/65f/0"]);
    assert_eq!((report.totals.producers, report.totals.issued, report.totals.missing), (3, 12, 1));
}

#[test]
fn a_name_without_records_is_no_proof() {
    let evidence = evidence([("edge-1/65f/0", observed(&[(1, 3)]))]);
    for name in ["edge-2", "edge-1/65f/1"] {
        let error = judge(&one(name), &Evidence { observed: filtered(&evidence, name), ..Evidence::default() });
        assert!(matches!(error, Err(AuditError::NoSuchProducer(asked)) if asked == name), "{name}");
    }
    assert!(judge(&one("edge-1/65f/0"), &evidence).is_ok());
}

/// What the table answers when it is asked for one node.
fn filtered(evidence: &Evidence, name: &str) -> tollgate_audit::ByProducer<tollgate_audit::Observed> {
    let node = format!("{}/", name.split('/').next().unwrap_or_default());
    evidence.observed.clone().into_iter().filter(|(producer, _)| producer.starts_with(&node)).collect()
}

#[test]
fn others_of_a_node_are_read_and_not_reported() {
    let successor = young();
    let evidence = evidence([(OLD, observed(&[(1, 3)])), (&successor, observed(&[(1, 9)]))]);
    let report = judge(&one(OLD), &evidence).expect("a report");
    let [verdict] = report.producers.try_into().expect("one producer");
    assert_eq!((verdict.producer.as_str(), verdict.state.as_str()), (OLD, "ended"));
}

#[test]
fn rows_that_no_answer_shows_allow_no_verdict_on_what_is_missing() {
    let mut missing = evidence([(OLD, observed(&[(1, 3), (5, 6)]))]);
    missing.contents.hot_evicted = 7;
    let error = judge(&request(), &missing).expect_err("the missing row may be one of those");
    assert!(matches!(error, AuditError::RowsEvicted { missing: 1, evicted: 7 }));
    let mut whole = evidence([(OLD, observed(&[(1, 6)]))]);
    whole.contents.hot_evicted = 7;
    assert!(judged(&whole).whole, "what is complete without them is complete with them");
}

#[test]
fn rows_in_memory_are_noted() {
    let mut evidence = evidence([(OLD, observed(&[(1, 3)]))]);
    evidence.contents.hot_rows = 3;
    assert!(judged(&evidence).notes.iter().any(|note| note.starts_with("3 rows are in memory and in the journal")));
}

#[test]
fn a_range_from_before_what_is_kept_says_so_and_misses_nothing_of_it() {
    let started = format!("edge-1/{:x}/0", SINCE_US - 1);
    let evidence = evidence([(started.as_str(), observed(&[(500, 600)]))]);
    let mut request = request();
    request.range = Range { since_us: Some(SINCE_US - 10_000_000), ..request.range };
    let report = judge(&request, &evidence).expect("a report");
    assert!(report.whole, "the table has forgotten its first numbers: they are not missing");
    let note = report.notes.last().expect("a note");
    assert!(note.starts_with("nothing before 1970-01-02T00:00:00Z was audited"), "{note}");
}

#[test]
fn nothing_issued_is_whole() {
    let report = judged(&evidence([]));
    assert!(report.whole && report.producers.is_empty());
}

#[test]
fn the_json_form_is_what_scripts_read() {
    let report = judged(&evidence([(OLD, observed(&[(1, 3), (5, 6)]))]));
    let json = serde_json::to_value(&report).expect("JSON");
    assert_eq!(json["range"]["settled_before_us"], "1970-01-02T01:00:00Z");
    assert_eq!(json["range"]["since_us"], serde_json::Value::Null);
    assert_eq!((&json["whole"], &json["totals"]["missing"]), (&false.into(), &1.into()));
    let producer = &json["producers"][0];
    assert_eq!(producer["missing"], serde_json::json!({ "count": 1, "runs": [[4, 4]] }));
    assert_eq!((&producer["state"], &producer["newest_us"]), (&"silent".into(), &(SETTLED_US - 1).into()));
    assert!(json.get("kafka").is_none() && json["totals"].get("only_in_kafka").is_none());
}
