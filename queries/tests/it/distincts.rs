//! DISTINCT aggregates, several of them and beside others, hold the same values as one at a time.

use serde_json::Value;

use super::fixture::{Fixture, rows};

/// Filters of the aggregate, and of the rows.
const FILTERS: [&str; 3] = ["", "FILTER (WHERE status >= 400)", "FILTER (WHERE status > 999)"];

/// The values of one column of an answer.
fn values(answer: &[Value], column: &str) -> Vec<Value> {
    answer.iter().map(|row| row[column].clone()).collect()
}

#[tokio::test]
async fn several_at_once_are_as_one_at_a_time() {
    let fixture = Fixture::new().await;
    let calls = [
        "count(*)",
        "count(status)",
        "sum(status)",
        "avg(total_us)",
        "min(time)",
        "max(request_id)",
        "bool_or(tls_resumed)",
        "percentile(total_us, 0.95)",
        "count(DISTINCT service)",
        "count(DISTINCT client_ip)",
        "count(DISTINCT status)",
        "sum(DISTINCT status)",
        "avg(DISTINCT status)",
        "max(DISTINCT error_class)",
        "count(DISTINCT coalesce(consumer, 'x') || service)",
    ];
    for keys in ["", "kind", "service, status"] {
        let (group, shown) = match keys {
            "" => (String::new(), String::new()),
            keys => (format!("GROUP BY {keys} ORDER BY {keys}"), format!("{keys}, ")),
        };
        for filter in FILTERS {
            let named = |(at, call): (usize, &&str)| format!("{call} {filter} AS c{at}");
            let all: Vec<String> = calls.iter().enumerate().map(named).collect();
            let together =
                rows(&fixture.engine, &format!("SELECT {shown}{} FROM transactions {group}", all.join(", "))).await;
            assert!(!together.is_empty());
            for (at, call) in all.iter().enumerate() {
                // Alone it is DataFusion's own plan, or a set of its own.
                let alone = rows(&fixture.engine, &format!("SELECT {shown}{call} FROM transactions {group}")).await;
                let column = format!("c{at}");
                assert_eq!(values(&together, &column), values(&alone, &column), "{call} by {keys}");
            }
        }
    }
}

#[tokio::test]
async fn of_nothing_there_is_one_row_without_keys_and_none_with() {
    let fixture = Fixture::new().await;
    let calls = "count(*) AS n, count(DISTINCT service) AS a, count(DISTINCT status) AS b, sum(DISTINCT seq) AS c, avg(seq) AS d";
    let none = "FROM transactions WHERE service = 'no such service'";
    let answer = rows(&fixture.engine, &format!("SELECT {calls} {none}")).await;
    assert_eq!(Value::from(answer), serde_json::json!([{ "n": 0, "a": 0, "b": 0, "c": null, "d": null }]));
    let answer = rows(&fixture.engine, &format!("SELECT kind, {calls} {none} GROUP BY kind")).await;
    assert!(answer.is_empty());
}

#[tokio::test]
async fn different_values_are_counted_as_groups() {
    let fixture = Fixture::new().await;
    let several = "count(*), count(DISTINCT service), count(DISTINCT client_ip) FROM transactions GROUP BY kind";
    let plan = Value::from(rows(&fixture.engine, &format!("EXPLAIN SELECT {several}")).await).to_string();
    assert!(plan.contains("GROUPING SETS"), "{plan}");
    // What is no sum of parts stays as it is, and so is right.
    let others =
        "SELECT kind, approx_distinct(service) AS a, count(DISTINCT service) AS b, count(DISTINCT status) AS c";
    let answer = rows(&fixture.engine, &format!("{others} FROM transactions GROUP BY kind ORDER BY kind")).await;
    assert_eq!(values(&answer, "a"), values(&answer, "b"));
}
