//! Nothing but reads, through no server, in no protocol.

use tollgate_queries::ErrorKind;

use super::fixture::{Fixture, value};
use super::http::{post, serve as serve_http};
use super::postgres::serve as serve_postgres;
use super::wire::Client;

/// Every one must be refused or not understood; none may have an effect. `{}` is a folder that must stay empty.
const ATTEMPTS: &[&str] = &[
    "COPY transactions TO '{}/copied.csv'",
    "COPY (SELECT * FROM transactions) TO '{}/copied.parquet'",
    "COPY (SELECT 1) TO PROGRAM 'touch {}/program'",
    "COPY transactions TO STDOUT",
    "COPY transactions FROM '/etc/passwd'",
    "COPY transactions FROM STDIN",
    "COPY transactions TO '{}/copied.json' STORED AS JSON",
    "EXPLAIN ANALYZE COPY (SELECT 1) TO '{}/explained.csv'",
    "CREATE EXTERNAL TABLE t (a TEXT) STORED AS CSV LOCATION '/etc/passwd'",
    "CREATE TABLE t (a INT)",
    "CREATE TABLE t AS SELECT * FROM transactions",
    "CREATE TEMP TABLE t (a INT)",
    "CREATE VIEW v AS SELECT 1",
    "CREATE OR REPLACE VIEW transactions AS SELECT 1",
    "CREATE SCHEMA s",
    "CREATE DATABASE d",
    "CREATE FUNCTION f() RETURNS INT AS 'SELECT 1' LANGUAGE SQL",
    "CREATE EXTENSION x",
    "EXPLAIN CREATE TABLE t AS SELECT 1",
    "EXPLAIN ANALYZE CREATE TABLE t AS SELECT 1",
    "DROP TABLE transactions",
    "DROP VIEW transactions",
    "DROP SCHEMA public CASCADE",
    "ALTER TABLE transactions ADD COLUMN a INT",
    "ALTER TABLE transactions RENAME TO t",
    "TRUNCATE transactions",
    "INSERT INTO transactions (seq) VALUES (1)",
    "INSERT INTO transactions SELECT * FROM transactions",
    "EXPLAIN ANALYZE INSERT INTO transactions (seq) VALUES (1)",
    "WITH w AS (INSERT INTO transactions (seq) VALUES (1) RETURNING seq) SELECT * FROM w",
    "UPDATE transactions SET status = 200",
    "DELETE FROM transactions",
    "MERGE INTO transactions t USING transactions s ON t.seq = s.seq WHEN MATCHED THEN DELETE",
    "SELECT * INTO t FROM transactions",
    "SELECT 1 INTO OUTFILE '{}/out'",
    "SELECT * FROM '/etc/passwd'",
    "SELECT * FROM \"/etc/passwd\"",
    "SELECT * FROM 'file:///etc/passwd'",
    "SELECT * FROM '{}/table/x.parquet'",
    "SELECT * FROM read_csv('/etc/passwd')",
    "SELECT * FROM read_parquet('{}/x.parquet')",
    "SELECT * FROM parquet_metadata('{}/x.parquet')",
    "SELECT * FROM csv_scan('/etc/passwd')",
    "SELECT pg_read_file('/etc/passwd')",
    "SELECT pg_ls_dir('/')",
    "SELECT lo_import('/etc/passwd')",
    "SELECT pg_sleep(1000)",
    "SET datafusion.execution.target_partitions = 1",
    "SET datafusion.catalog.location = '/etc'",
    "SET datafusion.runtime.memory_limit = '100G'",
    "RESET datafusion.catalog.location",
    "SET ROLE admin",
    "SET SESSION AUTHORIZATION admin",
    "PREPARE p AS INSERT INTO transactions (seq) VALUES (1)",
    "EXECUTE p",
    "CALL f()",
    "DO $$ BEGIN END $$",
    "VACUUM transactions",
    "ANALYZE transactions",
    "GRANT ALL ON transactions TO public",
    "LOCK TABLE transactions",
    "LISTEN c",
    "NOTIFY c",
    "LOAD 'x'",
    "ATTACH DATABASE '/etc/passwd' AS p",
    "INSTALL httpfs",
    "DECLARE c CURSOR FOR SELECT 1",
    "IMPORT FOREIGN SCHEMA s FROM SERVER x INTO public",
    "CREATE SERVER s FOREIGN DATA WRAPPER w",
    "KILL 1",
    "SELECT 1; DROP TABLE transactions",
    "SELECT 1; COPY (SELECT 1) TO '{}/second.csv'",
    "BEGIN; CREATE TABLE t (a INT); COMMIT",
    "SELECT 1 /* */; /* */ INSERT INTO transactions (seq) VALUES (1)",
];

fn attempts(folder: &str) -> Vec<String> {
    ATTEMPTS.iter().map(|sql| sql.replace("{}", folder)).collect()
}

fn is_refusal(kind: ErrorKind) -> bool {
    matches!(kind, ErrorKind::Refused | ErrorKind::Syntax | ErrorKind::UnknownName | ErrorKind::Invalid)
}

async fn untouched(fixture: &Fixture, folder: &tempfile::TempDir, rows: &serde_json::Value) {
    assert_eq!(std::fs::read_dir(folder.path()).expect("folder").count(), 0, "a file was written");
    assert_eq!(&value(&fixture.engine, "SELECT count(*) FROM transactions").await, rows);
    let tables =
        "SELECT count(*) FROM information_schema.tables WHERE table_schema NOT IN ('information_schema', 'pg_catalog')";
    assert_eq!(value(&fixture.engine, tables).await, 5, "transactions and four views");
}

#[tokio::test]
async fn the_engine_refuses() {
    let fixture = Fixture::new().await;
    let folder = tempfile::TempDir::new().expect("folder");
    let rows = value(&fixture.engine, "SELECT count(*) FROM transactions").await;
    for sql in attempts(&folder.path().to_string_lossy()) {
        let error = fixture.engine.query(&sql).await.expect_err(&sql);
        assert!(is_refusal(error.kind), "{sql}: {error:?}");
        assert!(error.hint.is_some() || error.position.is_some() || !error.message.is_empty(), "{sql}");
    }
    untouched(&fixture, &folder, &rows).await;
}

#[tokio::test]
async fn refusals_are_clear() {
    let fixture = Fixture::new().await;
    for sql in ["COPY transactions TO '/tmp/x'", "DROP TABLE transactions", "INSERT INTO transactions (seq) VALUES (1)"]
    {
        let error = fixture.engine.query(sql).await.expect_err(sql);
        assert_eq!(error.kind, ErrorKind::Refused);
        assert!(error.message.ends_with("is refused"), "{error}");
        assert!(error.hint.expect("hint").contains("read-only"));
    }
    let error = fixture.engine.query("SELECT * FROM '/etc/passwd'").await.expect_err("file");
    assert!(error.to_string().contains("transactions"), "{error}");
}

#[tokio::test]
async fn the_postgres_server_refuses_in_both_protocols() {
    let fixture = Fixture::new().await;
    let folder = tempfile::TempDir::new().expect("folder");
    let rows = value(&fixture.engine, "SELECT count(*) FROM transactions").await;
    let mut client = Client::connect(serve_postgres(&fixture).await).await;
    for sql in attempts(&folder.path().to_string_lossy()) {
        let simple = client.simple(&sql).await;
        assert!(simple.error.is_some(), "{sql}: {simple:?}");
        assert!(simple.rows.is_empty() && simple.tags.is_empty(), "{sql}: part of it ran: {simple:?}");
        let extended = client.extended(&sql, &[], false).await;
        assert!(extended.error.is_some(), "{sql}: {extended:?}");
    }
    assert_eq!(client.simple("SELECT 1").await.text(), "1");
    untouched(&fixture, &folder, &rows).await;
}

#[tokio::test]
async fn the_http_server_refuses() {
    let fixture = Fixture::new().await;
    let folder = tempfile::TempDir::new().expect("folder");
    let rows = value(&fixture.engine, "SELECT count(*) FROM transactions").await;
    let address = serve_http(&fixture).await;
    for sql in attempts(&folder.path().to_string_lossy()) {
        let response = post(address, "/v1/sql", &serde_json::json!({ "sql": sql }).to_string()).await;
        assert!(response.status == 400 || response.status == 403, "{sql}: {response:?}");
        assert!(response.json()["message"].is_string(), "{sql}");
    }
    untouched(&fixture, &folder, &rows).await;
}
