//! SQL over files and hot rows together.

use tollgate_queries::{ErrorKind, Format, TextPosition};

use super::fixture::{Fate, Fixture, PRODUCERS, ROWS, TRACE, count, rows, value};

/// All rows: those of the fixture, two gaps and the record after the hole.
const ALL: i64 = ROWS + 3;

#[tokio::test]
async fn files_and_hot_rows_are_one_table_without_doubles() {
    let mut fixture = Fixture::new().await;
    let snapshot = fixture.table.snapshot();
    assert!(snapshot.files.len() >= 3 && snapshot.hot.len() == 4, "{} {}", snapshot.files.len(), snapshot.hot.len());
    let engine = fixture.engine.clone();
    assert_eq!(value(&engine, "SELECT count(*) FROM transactions").await, ALL);
    assert_eq!(value(&engine, "SELECT count(DISTINCT request_id) FROM transactions").await, ROWS + 1);
    let failed = count(Fate::TimedOut, None) + count(Fate::Refused, None);
    assert_eq!(value(&engine, "SELECT count(*) FROM transactions WHERE status >= 500").await, failed);
    fixture.commit().await;
    assert_eq!(fixture.table.snapshot().hot.len(), 0);
    assert_eq!(value(&engine, "SELECT count(*) FROM transactions").await, ALL);
    assert_eq!(value(&engine, "SELECT count(*) FROM transactions WHERE status >= 500").await, failed);
}

#[tokio::test]
async fn every_column_reads_the_same_hot_and_stored() {
    let mut fixture = Fixture::new().await;
    let sql = "SELECT * FROM transactions WHERE seq >= 580 ORDER BY producer, seq";
    let hot = rows(&fixture.engine, sql).await;
    fixture.commit().await;
    let stored = rows(&fixture.engine, sql).await;
    assert!(hot.len() > 20);
    assert_eq!(hot, stored);
    let one = &hot[0];
    assert_eq!(one["producer"], PRODUCERS[0]);
    assert_eq!(one["auth_groups"], serde_json::json!(["readers", "writers"]));
    assert_eq!(one["client_cert_sha256"].as_str().map(str::len), Some(64));
    assert!(one["time"].as_str().is_some_and(|time| time.ends_with("000Z")), "{}", one["time"]);
}

#[tokio::test]
async fn request_ids_are_those_that_the_proxy_sent() {
    let fixture = Fixture::new().await;
    for row in [0, 1, 2, 601, 1_199] {
        let id = fixture.id(row);
        let path = value(&fixture.engine, &format!("SELECT path FROM transactions WHERE request_id = '{id}'")).await;
        assert!(path.as_str().is_some_and(|path| path.ends_with(&format!("/{row}"))), "{row}: {path}");
    }
    let (one, two) = (fixture.id(5), fixture.id(1_100));
    let both = format!("SELECT count(*) FROM transactions WHERE request_id IN ('{one}', '{two}', 'nonsense')");
    assert_eq!(value(&fixture.engine, &both).await, 2);
    let others = format!("SELECT count(*) FROM transactions WHERE request_id <> '{one}'");
    assert_eq!(value(&fixture.engine, &others).await, ROWS);
    let not = format!("SELECT count(*) FROM transactions WHERE NOT (request_id = '{one}')");
    assert_eq!(value(&fixture.engine, &not).await, ROWS);
    assert_eq!(value(&fixture.engine, "SELECT count(request_id) FROM transactions WHERE kind = 'gap'").await, 0);
}

#[tokio::test]
async fn another_producers_id_of_the_same_time_and_number_is_not_taken() {
    let fixture = Fixture::new().await;
    let other = tollgate_record::id::RequestId::from_parts(fixture.time_us(4), 0xdead_beef, 3);
    let sql = format!("SELECT count(*) FROM transactions WHERE request_id = '{other}'");
    assert_eq!(value(&fixture.engine, &sql).await, 0);
}

#[tokio::test]
async fn hexadecimal_columns_compare_as_text() {
    let fixture = Fixture::new().await;
    let traced = format!("SELECT count(*) FROM transactions WHERE trace_id = '{TRACE}'");
    assert_eq!(value(&fixture.engine, &traced).await, 12);
    let span = format!("SELECT count(*) FROM transactions WHERE span_id = '{:016x}'", 7);
    assert_eq!(value(&fixture.engine, &span).await, 1);
    let like = format!("SELECT count(*) FROM transactions WHERE trace_id LIKE '{}%'", &TRACE[..8]);
    assert_eq!(value(&fixture.engine, &like).await, 12);
    let capitals = format!("SELECT count(*) FROM transactions WHERE trace_id = '{}'", TRACE.to_uppercase());
    assert_eq!(value(&fixture.engine, &capitals).await, 0);
}

#[tokio::test]
async fn one_query_has_one_snapshot() {
    let fixture = Fixture::new().await;
    let sql = "SELECT (SELECT count(*) FROM transactions) - count(*) FROM transactions a JOIN transactions b \
               ON a.producer = b.producer AND a.seq = b.seq AND a.kind = b.kind";
    assert_eq!(value(&fixture.engine, sql).await, 0);
    let result = fixture.engine.query(sql).await.expect("answer");
    assert_eq!(result.scanned.scans, 3);
}

#[tokio::test]
async fn what_dashboards_ask_is_answered() {
    let fixture = Fixture::new().await;
    let from = "2026-01-01T00:00:00Z";
    let to = "2126-01-01T00:00:00Z";
    for sql in [
        format!("SELECT time AS \"time\", status FROM transactions WHERE time BETWEEN '{from}' AND '{to}' ORDER BY time"),
        format!("SELECT date_trunc('minute', time) AS t, count(*) FROM transactions WHERE time BETWEEN '{from}' AND '{to}' GROUP BY 1 ORDER BY 1"),
        "SELECT date_bin('1 minute', time) AS t, count(*) FROM transactions GROUP BY 1".to_owned(),
        "SELECT date_bin(INTERVAL '5 minutes', time, TIMESTAMP '2001-01-01') AS t, count(*) FROM transactions GROUP BY 1".to_owned(),
        "SELECT floor(extract(epoch from time)/60)*60 AS \"time\", count(*) AS value FROM transactions GROUP BY 1 ORDER BY 1".to_owned(),
        "SELECT extract(epoch from time) as \"time\" FROM transactions LIMIT 3".to_owned(),
        "SELECT to_timestamp(floor(extract(epoch from time)/60)*60) AS t, count(*) FROM transactions GROUP BY 1".to_owned(),
        "SELECT count(*) FROM transactions WHERE time >= to_timestamp(1700000000) AND extract(epoch from time) >= 1700000000".to_owned(),
        "SELECT count(*) FROM transactions WHERE time > now() - INTERVAL '1 hour' AND time <= now()".to_owned(),
        "SELECT service, percentile_cont(0.99) WITHIN GROUP (ORDER BY total_us) FROM transactions GROUP BY service".to_owned(),
        "SELECT count(*) FILTER (WHERE status >= 500)::float / count(*) FROM transactions".to_owned(),
        "SELECT current_database(), version(), current_schema()".to_owned(),
        "SELECT service, route, count(*) FROM transactions WHERE service = 'members' GROUP BY 1, 2 ORDER BY 3 DESC, 2, 1 LIMIT 5".to_owned(),
        format!("SELECT trace_id, service, count(*) FROM transactions WHERE trace_id = '{TRACE}' GROUP BY 1, 2 ORDER BY 3, 1, 2"),
        "SELECT producer, kind, count(*) FROM transactions WHERE kind = 'transaction' AND producer > 'a' GROUP BY 1, 2 ORDER BY 2, 1".to_owned(),
        "SELECT 1 FROM transactions WHERE 'readers' = ANY(auth_groups) LIMIT 1".to_owned(),
        "SELECT 1 FROM transactions WHERE service = ANY(ARRAY['members', 'claims']) LIMIT 1".to_owned(),
    ] {
        assert!(!rows(&fixture.engine, &sql).await.is_empty(), "{sql}");
    }
}

#[tokio::test]
async fn errors_say_where_and_what_to_do() {
    let fixture = Fixture::new().await;
    let failed = |sql: &'static str| {
        let engine = fixture.engine.clone();
        async move { engine.query(sql).await.expect_err(sql) }
    };
    let error = failed("SELECT time,\n       statuss FROM transactions").await;
    assert_eq!((error.kind, error.position), (ErrorKind::UnknownName, Some(TextPosition { line: 2, column: 8 })));
    assert_eq!(error.hint.as_deref(), Some("did you mean status?"));
    let error = failed("SELECT t.servce FROM transactions t").await;
    assert_eq!(error.hint.as_deref(), Some("did you mean service?"));
    let error = failed("SELECT time FROM transactions WHERE").await;
    assert_eq!(error.kind, ErrorKind::Syntax);
    let error = failed("SELECT time\nFORM transactions").await;
    assert_eq!(error.position.map(|position| position.line), Some(2), "{error}");
    let error = failed("SELECT * FROM transaction").await;
    assert_eq!(error.kind, ErrorKind::UnknownName);
    assert!(error.hint.is_some_and(|hint| hint.contains("transactions")));
    let error = failed("SELECT nosuchfunction(status) FROM transactions").await;
    assert_eq!((error.kind, error.position), (ErrorKind::UnknownName, Some(TextPosition { line: 1, column: 8 })));
    let error = failed("SELECT sum(service) FROM transactions").await;
    assert_eq!(error.kind, ErrorKind::Invalid, "{error}");
    let error = failed("SELECT 1 / (seq - seq) FROM transactions").await;
    assert_eq!(error.kind, ErrorKind::Failed, "{error}");
}

#[tokio::test]
async fn reads_of_other_kinds_are_answered() {
    let fixture = Fixture::new().await;
    for sql in [
        "EXPLAIN SELECT * FROM transactions",
        "EXPLAIN ANALYZE SELECT count(*) FROM transactions",
        "DESCRIBE transactions",
        "SHOW TABLES",
        "SHOW COLUMNS FROM transactions",
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 3) SELECT * FROM n",
        "VALUES (1, 'a'), (2, 'b')",
        "SELECT * FROM generate_series(1, 3)",
        "SELECT 1 UNION ALL SELECT 2",
    ] {
        assert!(!rows(&fixture.engine, sql).await.is_empty(), "{sql}");
    }
}

#[tokio::test]
async fn the_forms_of_an_answer_agree() {
    let fixture = Fixture::new().await;
    let sql =
        "SELECT seq, service, time, auth_groups, status > 400 AS bad FROM transactions ORDER BY producer, seq LIMIT 3";
    let result = fixture.engine.query(sql).await.expect("answer");
    let csv = String::from_utf8(result.render(Format::Csv).expect("csv")).expect("text");
    assert_eq!(csv.lines().count(), 4, "{csv}");
    assert!(csv.starts_with("seq,service,time,auth_groups,bad\n1,members,20"), "{csv}");
    let arrow = result.render(Format::Arrow).expect("arrow");
    let reader = arrow_reader(arrow);
    assert_eq!(reader, 3);
    let html = String::from_utf8(result.render(Format::Html).expect("html")).expect("text");
    assert!(html.contains("<th>service</th>") && html.contains("<td>members</td>"));
    assert!(result.text().expect("text").contains("members"));
    let none = fixture.engine.query("SELECT seq FROM transactions WHERE seq < 0").await.expect("answer");
    assert_eq!(String::from_utf8(none.render(Format::Csv).expect("csv")).expect("text"), "seq\n");
}

fn arrow_reader(bytes: Vec<u8>) -> usize {
    let reader = arrow::ipc::reader::StreamReader::try_new(std::io::Cursor::new(bytes), None).expect("stream");
    reader.map(|batch| batch.expect("batch").num_rows()).sum()
}
