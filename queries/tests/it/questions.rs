//! Every question, asked of the fixture, against what the fixture's rows must answer.

use std::collections::BTreeMap;

use serde_json::Value;
use tollgate_queries::questions::{all, ask};
use tollgate_queries::{Engine, ErrorKind, Limits};
use tollgate_record::vocabulary::ErrorClass;

use super::fixture::{
    Fate, Fixture, MISSING, PRODUCERS, ROWS, SHED, TRACE, count, fate, rows, rows_of, service, value,
};

pub async fn asked(engine: &Engine, name: &str, params: &[(&str, &str)]) -> Vec<Value> {
    let params: BTreeMap<String, String> =
        params.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    rows_of(&ask(engine, name, &params).await.unwrap_or_else(|error| panic!("{name}: {error}")))
}

pub fn line<'r>(rows: &'r [Value], column: &str, value: &str) -> &'r Value {
    let found = rows.iter().find(|row| row[column] == value);
    found.unwrap_or_else(|| panic!("no {column} = {value} in {rows:#?}"))
}

/// A value of a required parameter that the fixture has rows for.
fn example(parameter: &str) -> &'static str {
    match parameter {
        "trace_id" => TRACE,
        "token_hmac" => "0303030303030303030303030303030303030303030303030303030303030303",
        "network" => "10.0.0.0/8",
        "consumer" => "partner",
        _ => "members",
    }
}

#[tokio::test]
async fn every_question_is_answered_with_its_defaults() {
    let fixture = Fixture::new().await;
    for question in all() {
        let required: Vec<(&str, &str)> = question
            .params
            .iter()
            .filter(|parameter| parameter.required)
            .map(|parameter| (parameter.name.as_str(), example(&parameter.name)))
            .collect();
        let rows = asked(&fixture.engine, &question.name, &required).await;
        assert!(!rows.is_empty(), "{} answers nothing", question.name);
    }
}

#[tokio::test]
async fn failures_are_counted_and_laid_at_the_right_door() {
    let fixture = Fixture::new().await;
    let rows = asked(&fixture.engine, "why-failed", &[("service", "members")]).await;
    for (class, wanted, who) in [
        ("upstream_timeout", Fate::TimedOut, "team of the API"),
        ("connect_refused", Fate::Refused, "team of the API"),
        ("auth", Fate::Unauthenticated, "caller"),
        ("acl", Fate::Denied, "caller"),
        ("client_abort", Fate::Left, "caller left; see its latency"),
    ] {
        let row = line(&rows, "error_class", class);
        assert_eq!(row["requests"], count(wanted, Some("members")), "{class}");
        assert_eq!(row["who_acts"], who);
        assert_eq!(row["newest_request_id"].as_str().map(str::len), Some(36));
    }
    let rows = asked(&fixture.engine, "errors-by-class", &[]).await;
    let failed: i64 = rows.iter().filter_map(|row| row["failed"].as_i64()).sum();
    assert_eq!(failed, (0..=ROWS - 1).filter(|row| fate(*row) != Fate::Fine).count() as i64);
    let one = asked(&fixture.engine, "errors-by-class", &[("service", "claims")]).await;
    assert!(one.iter().all(|row| row["service"] == "claims") && one.len() == 5);
    let rows = asked(&fixture.engine, "top-failing-services", &[]).await;
    let members = line(&rows, "service", "members");
    assert_eq!(members["failed"], count(Fate::TimedOut, Some("members")) + count(Fate::Refused, Some("members")));
    assert_eq!(members["client_left"], count(Fate::Left, Some("members")));
}

#[tokio::test]
async fn the_actor_of_an_error_class_is_the_records() {
    let fixture = Fixture::new().await;
    for class in ErrorClass::ALL {
        let sql = format!("SELECT actor('{class}') AS who");
        assert_eq!(value(&fixture.engine, &sql).await, class.actor().as_str());
    }
    let sql = "SELECT actor(NULL) AS null, actor('upstream_quic') AS upstream, actor('nonsense') AS unknown, \
               actor(error_class) AS column FROM transactions WHERE error_class = 'connect_refused' LIMIT 1";
    let row = rows(&fixture.engine, sql).await.remove(0);
    let (api, gateway) = ("team of the API", "gateway team");
    assert_eq!(row, serde_json::json!({ "null": null, "upstream": api, "unknown": gateway, "column": api }));
}

#[tokio::test]
async fn traffic_and_latency() {
    let fixture = Fixture::new().await;
    let rows = asked(&fixture.engine, "traffic-by-status", &[]).await;
    let of = |name: &str, class: &str| {
        let row = rows.iter().find(|row| row["service"] == name && row["status_class"] == class);
        row.and_then(|row| row["requests"].as_i64())
    };
    // The record after the hole is a fine one of members.
    assert_eq!(of("members", "2xx"), Some(count(Fate::Fine, Some("members")) + 1));
    assert_eq!(of("claims", "499"), Some(count(Fate::Left, Some("claims"))));
    assert_eq!(of("(no route)", "4xx"), Some(count(Fate::Nowhere, None)));
    let rows = asked(&fixture.engine, "latency-percentiles", &[("service", "billing")]).await;
    assert_eq!(rows[0]["max_ms"], 30_000.0);
    assert!(rows[0]["p50_ms"].as_f64().is_some_and(|ms| (10.0..12.0).contains(&ms)), "{rows:?}");
    let rows = asked(&fixture.engine, "slowest-transactions", &[("service", "billing")]).await;
    assert_eq!((rows.len(), &rows[0]["error_class"]), (50, &Value::from("upstream_timeout")));
    let rows = asked(&fixture.engine, "slowest-routes", &[]).await;
    assert_eq!(rows.len(), 3);
    let rows = asked(&fixture.engine, "upstream-health", &[("service", "members")]).await;
    assert_eq!(rows[0]["unreachable"], count(Fate::Refused, Some("members")));
    assert_eq!(rows[0]["timed_out"], count(Fate::TimedOut, Some("members")));
    let rows = asked(&fixture.engine, "client-aborts", &[]).await;
    let aborted: i64 = rows.iter().filter_map(|row| row["aborted"].as_i64()).sum();
    assert_eq!(aborted, count(Fate::Left, None));
}

#[tokio::test]
async fn callers_and_their_certificates() {
    let fixture = Fixture::new().await;
    let rows = asked(&fixture.engine, "auth-failures", &[]).await;
    let refused: i64 = rows.iter().filter_map(|row| row["refused"].as_i64()).sum();
    assert_eq!(refused, count(Fate::Unauthenticated, None) + count(Fate::Denied, None));
    let rows = asked(&fixture.engine, "handshake-failures", &[]).await;
    let failed: i64 = rows.iter().filter_map(|row| row["failed"].as_i64()).sum();
    assert_eq!((failed, &rows[0]["reason"]), (count(Fate::Handshake, None), &Value::from("cert_unknown_ca")));
    let rows = asked(&fixture.engine, "who-calls", &[("service", "members")]).await;
    assert!(rows.iter().all(|row| row["consumer"] == "partner"));
    let rows = asked(&fixture.engine, "tls-posture", &[]).await;
    assert_eq!(rows[0]["tls_version"], "1.3");
    // A certificate a row, that expires after 0, 20, 40 or 60 days.
    let soon = asked(&fixture.engine, "expiring-certificates", &[("days", "10")]).await;
    assert!(soon.iter().all(|row| row["days_left"].as_i64().is_some_and(|days| days < 10)), "{soon:?}");
    assert!(!soon.is_empty());
}

#[tokio::test]
async fn what_is_missing_and_what_was_shed() {
    let fixture = Fixture::new().await;
    let rows = asked(&fixture.engine, "missing-records", &[]).await;
    let broken = line(&rows, "producer", PRODUCERS[0]);
    assert_eq!(
        (&broken["missing"], &broken["open"]),
        (&Value::from(0), &Value::from(MISSING.len())),
        "too young to say"
    );
    assert_eq!(broken["holes"], 1);
    assert_eq!(broken["shed"], SHED.0 - ROWS / 2 - 1 + SHED.1);
    assert_eq!(broken["records"], ROWS / 2 + 1);
    assert_eq!(broken["doubles"], 0);
    let whole = line(&rows, "producer", PRODUCERS[1]);
    assert_eq!((&whole["missing"], &whole["shed"]), (&Value::from(0), &Value::from(0)));
}

#[tokio::test]
async fn holes_and_doubles_of_an_hour_ago_are_told_by_their_numbers() {
    let mut fixture = Fixture::empty(Limits { threads: 2, ..Limits::default() }).await;
    fixture.base_us -= 3_600_000_000;
    // Row 2 n is number n + 1: 4, 5 and 9 are missing, and 7 comes in memory and in a file.
    fixture.rows(PRODUCERS[0], [12, 0, 2, 4, 10].into_iter()).await;
    fixture.commit().await;
    fixture.rows(PRODUCERS[0], [18, 12, 14].into_iter()).await;
    let rows = asked(&fixture.engine, "missing-records", &[("since", "3h"), ("producer", "gw-a/")]).await;
    let told = line(&rows, "producer", PRODUCERS[0]);
    assert_eq!((&told["missing"], &told["missing_seqs"]), (&Value::from(3), &Value::from("4..5, 9")));
    assert_eq!((&told["doubles"], &told["doubled_seqs"]), (&Value::from(1), &Value::from("7")));
    assert_eq!(
        (&told["from_seq"], &told["to_seq"], &told["open"]),
        (&Value::from(1), &Value::from(10), &Value::from(0))
    );
    let none = asked(&fixture.engine, "missing-records", &[("since", "3h"), ("producer", "gw-b/")]).await;
    assert!(none.is_empty(), "{none:?}");
}

#[tokio::test]
async fn a_trace_is_told_in_order() {
    let fixture = Fixture::new().await;
    let rows = asked(&fixture.engine, "trace", &[("trace_id", TRACE)]).await;
    assert_eq!(rows.len(), 12);
    let times: Vec<_> = rows.iter().filter_map(|row| row["time"].as_str()).collect();
    assert!(times.is_sorted());
    assert_eq!(rows[0]["request_id"], fixture.id(42));
    assert_eq!(rows[0]["path"], format!("/{}/42", service(42)));
}

#[tokio::test]
async fn parameters_that_do_not_fit_are_told() {
    let fixture = Fixture::new().await;
    type Case = (&'static str, &'static [(&'static str, &'static str)], &'static str);
    let cases: [Case; 6] = [
        ("why-failed", &[], "needs the parameter service"),
        ("why-failed", &[("service", "")], "needs the parameter service"),
        ("why-failed", &[("sevice", "members")], "has no parameter sevice"),
        ("why-failed", &[("service", "members"), ("since", "fortnight")], "not a length of time"),
        ("expiring-certificates", &[("days", "3.5")], "not a whole number"),
        ("trace", &[("trace_id", TRACE), ("x", "1")], "has no parameter x"),
    ];
    for (name, params, message) in cases {
        let params = params.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let error = ask(&fixture.engine, name, &params).await.expect_err(name);
        assert_eq!(error.kind, ErrorKind::Parameter);
        assert!(error.message.contains(message), "{error}");
        assert!(error.hint.as_ref().is_some_and(|hint| hint.contains("takes")), "{error}");
    }
}

#[tokio::test]
async fn a_value_is_never_sql() {
    let fixture = Fixture::new().await;
    for value in ["members' OR '1'='1", "'; DROP TABLE transactions; --", "$since", "\\'", "members\u{0}"] {
        let rows = asked(&fixture.engine, "latency-percentiles", &[("service", value)]).await;
        assert!(rows.is_empty(), "{value}: {rows:?}");
    }
}
