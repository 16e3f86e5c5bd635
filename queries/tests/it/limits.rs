//! Each bound, lowered and hit.

use std::sync::Arc;
use std::time::Duration;

use tollgate_queries::{Engine, ErrorKind, Limits, Source};
use tollgate_table::Snapshot;

use super::fixture::Fixture;

/// Runs until something ends it.
const ENDLESS: &str = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n";
const SLOW: &str =
    "SELECT sum(a.value * b.value) FROM generate_series(1, 1000000) a CROSS JOIN generate_series(1, 1000000) b";

fn limits() -> Limits {
    Limits { threads: 2, ..Limits::default() }
}

#[tokio::test]
async fn rows_past_the_bound_are_cut_and_said() {
    let fixture = Fixture::with(Limits { rows_max: 100, ..limits() }).await;
    let result = fixture.engine.query("SELECT seq FROM transactions").await.expect("answer");
    assert_eq!((result.rows(), result.truncated), (100, true));
    assert!(result.warnings.iter().any(|warning| warning.contains("100")), "{:?}", result.warnings);
    let fits = fixture.engine.query("SELECT seq FROM transactions LIMIT 100").await.expect("answer");
    assert_eq!((fits.rows(), fits.truncated), (100, false));
}

#[tokio::test]
async fn a_query_ends_at_its_time() {
    let fixture = Fixture::with(Limits { time_max: Duration::from_millis(300), ..limits() }).await;
    for sql in [SLOW, ENDLESS] {
        let error = fixture.engine.query(sql).await.expect_err("endless");
        assert!(matches!(error.kind, ErrorKind::TimedOut), "{error}");
    }
    // Its threads are free again.
    assert_eq!(super::fixture::value(&fixture.engine, "SELECT 1").await, 1);
}

#[tokio::test]
async fn memory_past_the_bound_is_an_error_that_says_what_to_do() {
    let fixture = Fixture::with(Limits { memory_bytes_max: 2 << 20, spill_bytes_max: 0, ..limits() }).await;
    for sql in [
        "SELECT value, count(*) FROM generate_series(1, 3000000) GROUP BY value ORDER BY value LIMIT 5",
        "SELECT count(*) FROM generate_series(1, 300000) a JOIN generate_series(1, 300000) b ON a.value = b.value",
    ] {
        let error = fixture.engine.query(sql).await.expect_err("too large");
        assert_eq!(error.kind, ErrorKind::OutOfMemory, "{error}");
        assert!(error.hint.is_some());
    }
    assert!(!super::fixture::rows(&fixture.engine, "SELECT count(*) FROM transactions").await.is_empty());
}

/// Each asks for gigabytes in few words.
#[tokio::test]
async fn much_out_of_little_is_refused() {
    let fixture = Fixture::with(Limits { memory_bytes_max: 32 << 20, ..limits() }).await;
    for sql in [
        "SELECT length(repeat('x', 1500000000))",
        "SELECT length(repeat(path, 60000000)) FROM transactions LIMIT 20",
        "SELECT length(lpad('x', 1500000000, 'y'))",
        "SELECT length(rpad('x', 1500000000))",
        "SELECT cardinality(range(0, 60000000))",
        "SELECT cardinality(generate_series(0, 60000000))",
        "SELECT cardinality(array_repeat(1, 100000000))",
        "SELECT cardinality(list_repeat(1, 100000000))",
        "SELECT cardinality(array_resize([1], 100000000, 1))",
        "SELECT cardinality(list_resize([1], 100000000, 1))",
    ] {
        let error = fixture.engine.query(sql).await.expect_err(sql);
        assert_eq!(error.kind, ErrorKind::UnknownName, "{sql}: {error}");
        assert!(error.hint.as_deref().is_some_and(|hint| hint.contains("more memory")), "{sql}: {error}");
    }
    let words = "x".repeat(30_000);
    for sql in [
        "WITH RECURSIVE t(s) AS (SELECT 'xxxxxxxx' UNION ALL SELECT s || s FROM t) SELECT max(length(s)) FROM t",
        "WITH RECURSIVE t(s) AS (SELECT 'xxxxxxxx' UNION ALL SELECT concat(s, s) FROM t) SELECT max(length(s)) FROM t",
        "WITH RECURSIVE t(s) AS (SELECT [1, 2] UNION ALL SELECT array_concat(s, s) FROM t) \
         SELECT max(cardinality(s)) FROM t",
        &format!("SELECT length(replace('{words}', 'x', '{words}'))"),
        &format!("SELECT length(regexp_replace('{words}', 'x', '{words}', 'g'))"),
        &format!("SELECT sum(length(path || '{words}')) FROM transactions"),
        &format!("SELECT sum(length(concat(path, '{words}'))) FROM transactions"),
        &format!("WITH a AS (SELECT '{words}' AS s), b AS (SELECT [s, s, s] AS s FROM a) SELECT s FROM b"),
    ] {
        let Err(error) = fixture.engine.query(sql).await else { panic!("answered: {}", &sql[..40]) };
        assert_eq!(error.kind, ErrorKind::OutOfMemory, "{}: {error}", &sql[..40]);
    }
}

#[tokio::test]
async fn little_out_of_little_is_made() {
    let fixture = Fixture::new().await;
    for (sql, made) in [
        ("SELECT 'a' || 1 || 'b'", serde_json::json!("a1b")),
        ("SELECT 'a' || NULL", serde_json::Value::Null),
        ("SELECT s || '!' FROM (SELECT 'a' || 'b' AS s)", serde_json::json!("ab!")),
        ("SELECT concat('a', NULL, 2)", serde_json::json!("a2")),
        ("SELECT replace('a/b', '/', '--')", serde_json::json!("a--b")),
        ("SELECT regexp_replace('a1b2', '[0-9]', '-', 'g')", serde_json::json!("a-b-")),
        ("SELECT array_to_string([1, 2] || [3], ',')", serde_json::json!("1,2,3")),
        ("SELECT count(*) FROM transactions WHERE method || ' ' || path = 'GET /members/3'", serde_json::json!(1)),
    ] {
        assert_eq!(super::fixture::value(&fixture.engine, sql).await, made, "{sql}");
    }
    // A table of numbers is made row by row, as it is read.
    assert_eq!(
        super::fixture::value(&fixture.engine, "SELECT count(*) FROM generate_series(1, 1000000)").await,
        1_000_000
    );
    assert_eq!(super::fixture::value(&fixture.engine, "SELECT sum(value) FROM range(0, 4)").await, 6);
}

#[tokio::test]
async fn an_answer_counts_against_the_memory_as_long_as_it_is_held() {
    let fixture = Fixture::with(Limits { memory_bytes_max: 3 << 20, rows_max: 10_000_000, ..limits() }).await;
    let error = fixture.engine.query("SELECT value, value FROM generate_series(1, 3000000)").await;
    assert!(error.is_err());
    let sql = "SELECT value FROM generate_series(1, 250000)";
    let held = fixture.engine.query(sql).await.expect("fits");
    assert_eq!(fixture.engine.query(sql).await.expect_err("full").kind, ErrorKind::OutOfMemory);
    drop(held);
    assert!(fixture.engine.query(sql).await.is_ok());
}

#[tokio::test]
async fn queries_past_the_permits_wait_and_past_the_queue_are_refused() {
    let limits = Limits { concurrent_max: 1, queued_max: 1, time_max: Duration::from_secs(2), ..limits() };
    let fixture = Fixture::with(limits).await;
    let start = || {
        let engine = fixture.engine.clone();
        tokio::spawn(async move { engine.query(SLOW).await })
    };
    let running = start();
    tokio::time::sleep(Duration::from_millis(300)).await;
    let waiting = start();
    tokio::time::sleep(Duration::from_millis(300)).await;
    let error = fixture.engine.query("SELECT 1").await.expect_err("refused");
    assert_eq!(error.kind, ErrorKind::Busy, "{error}");
    for task in [running, waiting] {
        assert_eq!(task.await.expect("task").expect_err("slow").kind, ErrorKind::TimedOut);
    }
    assert_eq!(super::fixture::value(&fixture.engine, "SELECT 1").await, 1);
}

#[tokio::test]
async fn a_text_past_the_bound_is_refused() {
    let fixture = Fixture::with(Limits { sql_bytes_max: 100, ..limits() }).await;
    let long = format!("SELECT '{}'", "x".repeat(100));
    assert_eq!(fixture.engine.query(&long).await.expect_err("long").kind, ErrorKind::TooLarge);
}

/// A table whose hot rows have been evicted.
#[derive(Debug)]
struct Evicted(Arc<tollgate_table::Table>);

impl Source for Evicted {
    fn snapshot(&self) -> Snapshot {
        Snapshot { hot_evicted: 17, ..self.0.snapshot() }
    }

    fn store(&self) -> Arc<dyn object_store::ObjectStore> {
        self.0.store()
    }
}

#[tokio::test]
async fn rows_that_are_not_in_the_answer_yet_are_told() {
    let fixture = Fixture::new().await;
    let engine = Engine::new(Arc::new(Evicted(fixture.table.clone())), limits()).expect("engine");
    let result = engine.query("SELECT count(*) FROM transactions").await.expect("answer");
    assert!(result.warnings.iter().any(|warning| warning.starts_with("17 recent rows")), "{:?}", result.warnings);
    assert!(engine.query("SELECT 1").await.expect("answer").warnings.is_empty());
}
