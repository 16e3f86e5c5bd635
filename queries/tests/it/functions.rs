//! Functions and views: that they prune, and that the key of `token_hmac` stays where it is. Their values are in `tests/slt`.

use std::sync::Arc;

use serde_json::json;
use tollgate_config::{ConfigPath, Spanned};
use tollgate_queries::{Engine, ErrorKind, Limits, TokenHmacKey};
use tollgate_record::redact::TokenHasher;

use super::fixture::{Fixture, rows, value};

const SECRET: &[u8] = b"0123456789abcdef0123456789abcdef";

#[tokio::test]
async fn a_range_that_begins_ago_opens_no_older_file() {
    let fixture = Fixture::new().await;
    // The files hold the rows from 480, 420 and 360 seconds ago on, a minute each.
    for (sql, files) in [
        ("SELECT count(*) FROM transactions WHERE time >= ago('1h')", 3),
        ("SELECT count(*) FROM transactions WHERE time >= ago('350s')", 1),
        ("SELECT service, error_class FROM failures WHERE time >= ago('350s') AND status = 504", 1),
        ("SELECT tls_sni FROM handshakes WHERE time >= ago('1m')", 0),
        ("SELECT count(*) FROM gaps WHERE time >= ago('5m')", 0),
    ] {
        let result = fixture.engine.query(sql).await.expect(sql);
        assert_eq!((result.scanned.files_total, result.scanned.files_read), (3, files), "{sql}");
    }
    let plan = rows(&fixture.engine, "EXPLAIN SELECT service FROM failures WHERE time >= ago('15m')").await;
    let plan = plan[0]["plan"].as_str().expect("plan");
    assert!(plan.contains("TimestampMicrosecond(") && !plan.contains("ago("), "{plan}");
    let scan = plan.lines().find(|line| line.contains("TableScan")).expect("scan");
    assert!(scan.contains("projection=[") && scan.contains("partial_filters=["), "{scan}");
    assert!(!scan.contains("user_agent"), "only the columns that are needed: {scan}");
}

#[tokio::test]
async fn a_credential_finds_its_records() {
    let fixture = Fixture::new().await;
    let hasher = TokenHasher::new("k1", SECRET).expect("key");
    let wanted: String = hasher.hash(b"eyJh.abc").iter().map(|byte| format!("{byte:02x}")).collect();
    let engine = Engine::new(fixture.table.clone(), Limits { threads: 2, ..Limits::default() }).expect("engine");
    let engine = Arc::new(engine.with_token_hasher(hasher));
    assert_eq!(value(&engine, "SELECT token_hmac(' eyJh.abc ')").await, json!(wanted));
    assert_eq!(value(&engine, "SELECT token_hmac(NULL)").await, json!(null));
    let sql = "SELECT count(*) FROM transactions WHERE token_hmac = token_hmac('eyJh.abc')";
    assert_eq!(value(&engine, sql).await, 0);
    let plan = rows(&engine, &format!("EXPLAIN {sql}")).await;
    assert!(!plan[0]["plan"].as_str().expect("plan").contains("eyJh"), "{plan:?}");
}

#[tokio::test]
async fn without_a_key_the_credential_is_in_no_message() {
    let fixture = Fixture::new().await;
    let error = fixture.engine.query("SELECT token_hmac('eyJh.abc')").await.expect_err("no key");
    assert_eq!(error.kind, ErrorKind::Failed);
    assert!(!error.to_string().contains("eyJh"), "{error}");
}

#[test]
fn a_key_file_that_cannot_be_used_is_told() {
    let dir = tempfile::TempDir::new().expect("folder");
    let key = |name: &str| TokenHmacKey {
        key_file: Spanned::nowhere(ConfigPath::new(dir.path().join(name))),
        key_id: "k1".to_owned(),
    };
    std::fs::write(dir.path().join("short"), "abc").expect("written");
    std::fs::write(dir.path().join("good"), [SECRET, b"\n"].concat()).expect("written");
    assert!(key("none").load().expect_err("no file").contains("hmac.key_file"));
    assert!(key("short").load().expect_err("short").contains("at least 32"));
    let read = key("good").load().expect("a key");
    assert_eq!(read.hash(b"a"), TokenHasher::new("k1", SECRET).expect("key").hash(b"a"));
}
