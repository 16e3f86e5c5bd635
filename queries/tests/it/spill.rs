//! Sorts, aggregates and distinct counts that do not fit into their memory.

use std::path::Path;

use tempfile::TempDir;
use tollgate_queries::{ErrorKind, Limits};

use super::fixture::{Fixture, rows};
use super::http::{post, serve};
use super::streaming::{limits, until};

/// Rows whose keys take some 40 MiB in a hash table.
const KEYS: u64 = 400_000;
/// A part of that.
const MEMORY: usize = 10 << 20;

fn keys() -> String {
    format!("(SELECT 'a key of some length ' || value AS k FROM generate_series(1, {KEYS}))")
}

/// What needs several times the memory, with its answer.
fn large() -> [(String, serde_json::Value); 2] {
    [
        (format!("SELECT count(DISTINCT k) AS n FROM {}", keys()), serde_json::json!([{ "n": KEYS }])),
        (
            format!("SELECT count(*) AS n, max(c) AS c FROM (SELECT k, count(*) AS c FROM {} GROUP BY k)", keys()),
            serde_json::json!([{ "n": KEYS, "c": 1 }]),
        ),
    ]
}

/// Two columns of different values at once, with their numbers.
fn two_distinct() -> (String, serde_json::Value) {
    let calls = "count(*) AS n, count(DISTINCT k) AS ks, count(DISTINCT j) AS js, max(k) AS last";
    let rows = format!(
        "SELECT 'a key of some length ' || value AS k, 'a sixth of a key ' || value / 6 AS j FROM generate_series(1, {KEYS})"
    );
    let answer = serde_json::json!([{ "n": KEYS, "ks": KEYS, "js": 66_667, "last": "a key of some length 99999" }]);
    (format!("SELECT {calls} FROM ({rows})"), answer)
}

fn spilling(dir: &TempDir) -> Limits {
    Limits { memory_bytes_max: MEMORY, spill_dir: Some(dir.path().to_owned()), ..limits() }
}

/// Files that queries have left, but for the lock.
fn left(dir: &Path) -> Vec<std::path::PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(dir).expect("folder") {
        let path = entry.expect("entry").path();
        match path.is_dir() {
            true => found.extend(left(&path)),
            false if path.ends_with("lock") => {}
            false => found.push(path),
        }
    }
    found
}

#[tokio::test]
async fn aggregates_larger_than_the_memory_are_right_and_leave_nothing() {
    let dir = TempDir::new().expect("folder");
    let fixture = Fixture::with(spilling(&dir)).await;
    for (sql, answer) in large().into_iter().chain([two_distinct()]) {
        assert_eq!(serde_json::Value::from(rows(&fixture.engine, &sql).await), answer, "{sql}");
        until("clean", || left(dir.path()).is_empty() && fixture.engine.load().spilled_bytes == 0).await;
    }
    drop(fixture);
    until("removed", || std::fs::read_dir(dir.path()).expect("folder").count() == 0).await;
}

#[tokio::test]
async fn everything_is_sorted_though_it_does_not_fit() {
    let dir = TempDir::new().expect("folder");
    let fixture = Fixture::with(Limits { memory_bytes_max: 16 << 20, ..spilling(&dir) }).await;
    let sql = format!("SELECT k FROM {} ORDER BY k DESC", keys());
    let body = serde_json::json!({ "sql": sql, "format": "csv" }).to_string();
    let answer = post(serve(&fixture).await, "/v1/sql", &body).await.text();
    let keys: Vec<&str> = answer.lines().filter(|line| line.starts_with("a key")).collect();
    assert_eq!(keys.len(), KEYS as usize, "{}", answer.lines().rev().find(|line| line.len() > 4).unwrap_or_default());
    assert!(keys.is_sorted_by(|a, b| a > b));
    until("clean", || left(dir.path()).is_empty()).await;
}

#[tokio::test]
async fn without_a_place_to_spill_and_with_a_full_one_the_error_says_what_to_do() {
    let dir = TempDir::new().expect("folder");
    let none = Fixture::with(Limits { spill_bytes_max: 0, ..spilling(&dir) }).await;
    let full = Fixture::with(Limits { spill_bytes_max: 1 << 20, ..spilling(&dir) }).await;
    for (sql, _) in large() {
        let error = none.engine.query(&sql).await.expect_err("no place");
        assert_eq!(error.kind, ErrorKind::OutOfMemory, "{error}");
        let error = full.engine.query(&sql).await.expect_err("full");
        assert_eq!(error.kind, ErrorKind::OutOfMemory, "{error}");
        assert!(error.hint.as_deref().is_some_and(|hint| hint.contains("spill_bytes_max")), "{error}");
    }
    until("clean", || left(dir.path()).is_empty() && full.engine.load().spilled_bytes == 0).await;
}

#[tokio::test]
async fn a_withdrawn_query_leaves_nothing_on_disk() {
    let dir = TempDir::new().expect("folder");
    let fixture = Fixture::with(spilling(&dir)).await;
    let engine = fixture.engine.clone();
    let sql = format!("SELECT k, count(*) FROM {} GROUP BY k ORDER BY k", keys());
    let running = tokio::spawn(async move { engine.query(&sql).await });
    until("spilled", || fixture.engine.load().spilled_bytes > 0).await;
    running.abort();
    until("ended", || fixture.engine.load().running == 0).await;
    until("clean", || left(dir.path()).is_empty() && fixture.engine.load().memory_bytes == 0).await;
}

#[tokio::test]
async fn queries_beside_each_other_each_finish_in_their_share() {
    let dir = TempDir::new().expect("folder");
    let fixture = Fixture::with(Limits { memory_bytes_max: 2 * MEMORY, ..spilling(&dir) }).await;
    let [(sql, answer), _] = large();
    let (first, second, third) =
        tokio::join!(rows(&fixture.engine, &sql), rows(&fixture.engine, &sql), rows(&fixture.engine, &sql));
    for found in [first, second, third] {
        assert_eq!(serde_json::Value::from(found), answer);
    }
}
