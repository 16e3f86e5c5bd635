//! The questions about traffic, callers and completeness, against what the fixture's rows must answer.

use serde_json::Value;

use super::fixture::{Fate, Fixture, PRODUCERS, ROWS, SHED, count, fate, service};
use super::questions::{asked, line};

fn sum(rows: &[Value], column: &str) -> i64 {
    rows.iter().filter_map(|row| row[column].as_i64()).sum()
}

/// How many rows of the fixture fit; the row after the hole is like row 0.
fn rows_where(fits: impl Fn(i64) -> bool) -> i64 {
    (0..ROWS).chain([0]).filter(|row| fits(*row)).count() as i64
}

fn is_transaction(row: i64) -> bool {
    fate(row) != Fate::Handshake
}

#[tokio::test]
async fn services_by_traffic_and_over_time() {
    let fixture = Fixture::new().await;
    let busiest = asked(&fixture.engine, "busiest-services", &[]).await;
    let of_members = rows_where(|row| is_transaction(row) && fate(row) != Fate::Nowhere && service(row) == "members");
    assert_eq!(line(&busiest, "service", "members")["requests"], of_members);
    assert!(
        busiest
            .iter()
            .all(|row| row["p50_ms"].as_f64() <= row["p95_ms"].as_f64()
                && row["p95_ms"].as_f64() <= row["p99_ms"].as_f64()),
        "{busiest:?}"
    );
    let timeline = asked(&fixture.engine, "service-timeline", &[("service", "members")]).await;
    assert_eq!(sum(&timeline, "requests"), of_members);
    assert_eq!(
        sum(&timeline, "failed"),
        count(Fate::TimedOut, Some("members")) + count(Fate::Refused, Some("members"))
    );
    let times: Vec<_> = timeline.iter().filter_map(|row| row["five_minutes"].as_str()).collect();
    assert!(times.is_sorted_by(|a, b| a > b) && times.iter().all(|time| time.contains(":00.000000Z")), "{times:?}");
    let classes = asked(&fixture.engine, "error-classes-by-service", &[]).await;
    let timed_out: Vec<_> = classes.iter().filter(|row| row["error_class"] == "upstream_timeout").cloned().collect();
    assert_eq!(sum(&timed_out, "requests"), count(Fate::TimedOut, None));
    assert!(timed_out.iter().all(|row| row["who_acts"] == "team of the API"), "{timed_out:?}");
}

#[tokio::test]
async fn callers_by_name_address_and_credential() {
    let fixture = Fixture::new().await;
    let failures = asked(&fixture.engine, "consumer-failures", &[("consumer", "partner")]).await;
    assert_eq!(sum(&failures, "failed"), rows_where(|row| is_transaction(row) && fate(row) != Fate::Fine));
    let none = asked(&fixture.engine, "consumer-failures", &[("consumer", "nobody")]).await;
    assert!(none.is_empty());
    let failed = asked(&fixture.engine, "failed-auth-by-client", &[]).await;
    assert_eq!(sum(&failed, "failed"), count(Fate::Unauthenticated, None));
    let credential = "03".repeat(32);
    let uses = asked(&fixture.engine, "token-use", &[("token_hmac", &credential)]).await;
    assert_eq!(sum(&uses, "requests"), rows_where(|row| row % 8 == 3));
    let network = asked(&fixture.engine, "client-activity", &[("network", "10.0.1.0/24")]).await;
    assert_eq!(sum(&network, "requests"), rows_where(|row| row / 250 % 250 == 1));
    let one = asked(&fixture.engine, "client-activity", &[("network", "10.0.1.7")]).await;
    assert_eq!(sum(&one, "requests"), 1);
    let certificates = asked(&fixture.engine, "certificate-inventory", &[]).await;
    assert_eq!((certificates.len(), sum(&certificates, "requests")), (4, ROWS + 1));
    let rules = asked(&fixture.engine, "waf-blocks-by-rule", &[]).await;
    assert_eq!(sum(&rules, "noted"), 2 * rows_where(|row| row % 50 == 1));
    assert_eq!(sum(&rules, "blocked"), 0);
    let first = rules.iter().filter(|row| row["rule"] == 942_100).cloned().collect::<Vec<_>>();
    assert_eq!(sum(&first, "noted"), rows_where(|row| row % 50 == 1));
}

#[tokio::test]
async fn nodes_configurations_connects_and_gaps() {
    let fixture = Fixture::new().await;
    let nodes = asked(&fixture.engine, "nodes", &[]).await;
    assert_eq!(nodes.len(), 2);
    let first = line(&nodes, "node_id", "gw-a");
    let shed = SHED.0 - ROWS / 2 - 1 + SHED.1;
    assert_eq!((&first["shed"], &first["records"]), (&Value::from(shed), &Value::from(ROWS / 2 + 1)));
    assert_eq!((&first["config_revision"], &first["config_revisions"]), (&Value::from("c0ffee"), &Value::from(1)));
    let revisions = asked(&fixture.engine, "config-revisions", &[]).await;
    assert_eq!(sum(&revisions, "requests"), rows_where(is_transaction));
    let gaps = asked(&fixture.engine, "shed-and-gaps", &[]).await;
    assert_eq!((gaps.len(), sum(&gaps, "records")), (2, shed));
    let complete = asked(&fixture.engine, "completeness-by-producer", &[]).await;
    let broken = line(&complete, "producer", PRODUCERS[0]);
    assert_eq!((&broken["open"], &broken["shed"]), (&Value::from(2), &Value::from(shed)));
    assert_eq!(line(&complete, "producer", PRODUCERS[1])["open"], 0);
    let connects = asked(&fixture.engine, "slow-upstream-connects", &[]).await;
    let refused = count(Fate::Refused, None);
    assert_eq!(sum(&connects, "failed"), refused, "{connects:?}");
    assert!(connects.iter().all(|row| row["connect_p99_ms"].as_f64().is_none_or(|ms| (0.5..1.0).contains(&ms))));
}
