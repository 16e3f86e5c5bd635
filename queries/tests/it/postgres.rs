//! The PostgreSQL server, as drivers use it.

use std::net::SocketAddr;
use std::time::Duration;

use tollgate_queries::{Limits, PgServer, QueryService as _};

use super::fixture::{Fixture, ROWS};
use super::wire::Client;

pub async fn serve(fixture: &Fixture) -> SocketAddr {
    let server = PgServer { address: "127.0.0.1:0".parse().expect("address") };
    server.start(fixture.engine.clone(), Box::pin(std::future::pending())).await.expect("started").address
}

#[tokio::test]
async fn both_protocols_answer_alike() {
    let fixture = Fixture::new().await;
    let mut client = Client::connect(serve(&fixture).await).await;
    let sql =
        "SELECT time, service, status, tls_resumed, auth_groups FROM transactions WHERE seq = 5 ORDER BY producer";
    let simple = client.simple(sql).await;
    let extended = client.extended(sql, &[], false).await;
    assert_eq!(simple.rows.len(), 2);
    assert_eq!(simple.rows, extended.rows);
    assert_eq!(simple.columns, extended.columns);
    // timestamptz, text, int4, bool, text[]
    assert_eq!(simple.columns.iter().map(|column| column.1).collect::<Vec<_>>(), [1184, 25, 23, 16, 1009]);
    assert_eq!(simple.tags, ["SELECT 2"]);
    let binary = client.extended(sql, &[], true).await;
    assert_eq!(binary.rows[0][2].as_deref(), Some(&200_i32.to_be_bytes()[..]));
    // Binary timestamps are microseconds since 2000.
    let time = i64::from_be_bytes(binary.rows[0][0].clone().expect("time").try_into().expect("8 bytes"));
    assert_eq!(time + 946_684_800_000_000, fixture.time_us(8));
}

#[tokio::test]
async fn placeholders_have_types_and_take_values() {
    let fixture = Fixture::new().await;
    let mut client = Client::connect(serve(&fixture).await).await;
    let sql = "SELECT count(*) FROM transactions WHERE service = $1 AND status = $2";
    let reply = client.extended(sql, &["members", "504"], false).await;
    assert_eq!(reply.parameters, [25, 23], "{reply:?}");
    assert_eq!(reply.text(), super::fixture::count(super::fixture::Fate::TimedOut, Some("members")).to_string());
    let by_id = "SELECT path FROM transactions WHERE request_id = $1";
    assert_eq!(client.extended(by_id, &[&fixture.id(3)], false).await.text(), "/members/3");
    let between = "SELECT count(*) FROM transactions WHERE time BETWEEN $1 AND $2";
    let all = client.extended(between, &["2020-01-01T00:00:00Z", "2120-01-01T00:00:00Z"], false).await;
    assert_eq!(all.text(), (ROWS + 3).to_string(), "{all:?}");
    let wrong = client.extended(sql, &["members", "many"], false).await;
    assert!(wrong.error.is_some());
    assert_eq!(client.simple("SELECT 1").await.text(), "1");
}

#[tokio::test]
async fn a_session_has_its_statements() {
    let fixture = Fixture::new().await;
    let mut client = Client::connect(serve(&fixture).await).await;
    for (sql, tag) in [
        ("BEGIN", "BEGIN"),
        ("SET extra_float_digits = 3", "SET"),
        ("SET application_name = 'Grafana'", "SET"),
        ("COMMIT", "COMMIT"),
        ("SET SESSION CHARACTERISTICS AS TRANSACTION READ ONLY", "SET"),
        ("DISCARD ALL", "RESET"),
        ("DEALLOCATE ALL", "DEALLOCATE"),
    ] {
        let reply = client.simple(sql).await;
        assert_eq!(reply.tags, [tag], "{sql}: {reply:?}");
    }
    assert_eq!(client.simple("SHOW transaction_read_only").await.text(), "on");
    assert_eq!(client.extended("SHOW server_version", &[], false).await.text(), "16.6");
    assert_eq!(client.simple("SELECT current_database()").await.text(), "tollgate");
    assert!(client.simple("SELECT version()").await.text().starts_with("PostgreSQL 16.6 (Tollgate"));
    assert_eq!(client.simple("SELECT current_setting('server_version_num')::int/100").await.text(), "1600");
    let zone = client.simple("SET TIME ZONE 'Europe/Berlin'").await;
    assert!(zone.notices[0].contains("UTC"), "{zone:?}");
    let many = client.simple("SELECT 1; SELECT 2").await;
    assert_eq!(many.rows.len(), 2);
}

#[tokio::test]
async fn after_an_error_a_transaction_takes_nothing_until_its_end() {
    let fixture = Fixture::new().await;
    let mut client = Client::connect(serve(&fixture).await).await;
    client.simple("BEGIN").await;
    assert_eq!(client.simple("SELECT nosuch FROM transactions").await.sqlstate(), "42703");
    assert_eq!(client.simple("SELECT 1").await.sqlstate(), "25P02");
    assert_eq!(client.simple("ROLLBACK").await.tags, ["ROLLBACK"]);
    assert_eq!(client.simple("SELECT 1").await.text(), "1");
}

#[tokio::test]
async fn an_error_marks_its_place() {
    let fixture = Fixture::new().await;
    let mut client = Client::connect(serve(&fixture).await).await;
    let (state, message, position) = client.simple("SELECT\n  statuss FROM transactions").await.error.expect("error");
    assert_eq!((state.as_str(), position.as_deref()), ("42703", Some("10")), "{message}");
}

#[tokio::test]
async fn a_cut_answer_is_told_as_a_warning() {
    let fixture = Fixture::with(Limits { rows_max: 10, ..Limits::default() }).await;
    let mut client = Client::connect(serve(&fixture).await).await;
    let reply = client.simple("SELECT seq FROM transactions").await;
    assert_eq!(reply.rows.len(), 10);
    assert!(reply.notices[0].contains("more rows"), "{reply:?}");
}

#[tokio::test]
async fn a_running_query_is_canceled_and_times_out() {
    let fixture = Fixture::new().await;
    let address = serve(&fixture).await;
    let mut client = Client::connect(address).await;
    let key = client.key.clone();
    let slow =
        "SELECT sum(a.value * b.value) FROM generate_series(1, 1000000) a CROSS JOIN generate_series(1, 1000000) b";
    let canceling = tokio::spawn(async move {
        tokio::time::sleep(Duration::from_millis(300)).await;
        Client::cancel(address, &key).await;
    });
    let reply = client.simple(slow).await;
    assert_eq!(reply.sqlstate(), "57014", "{reply:?}");
    canceling.await.expect("canceled");
    client.simple("SET statement_timeout = '200ms'").await;
    assert_eq!(client.simple(slow).await.sqlstate(), "57014");
    client.simple("SET statement_timeout = 0").await;
    assert_eq!(client.simple("SELECT 1").await.text(), "1");
}

#[tokio::test]
async fn connections_past_the_bound_are_closed() {
    let fixture = Fixture::with(Limits { connections_max: 1, ..Limits::default() }).await;
    let address = serve(&fixture).await;
    let mut first = Client::connect(address).await;
    let mut second = tokio::net::TcpStream::connect(address).await.expect("connected");
    let read = tokio::io::AsyncReadExt::read(&mut second, &mut [0; 1]).await;
    assert!(matches!(read, Ok(0) | Err(_)), "{read:?}");
    assert_eq!(first.simple("SELECT 1").await.text(), "1");
}

#[tokio::test]
async fn a_stopped_server_is_closed() {
    let fixture = Fixture::new().await;
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let shutdown = async move {
        let _ended = stopped.await;
    };
    let server = PgServer { address: "127.0.0.1:0".parse().expect("address") };
    let running = server.start(fixture.engine.clone(), Box::pin(shutdown)).await.expect("started");
    let (address, served) = (running.address, running.served);
    let mut client = Client::connect(address).await;
    assert_eq!(client.simple("SELECT 1").await.text(), "1");
    // Half of a first message holds nothing up.
    let mut half = tokio::net::TcpStream::connect(address).await.expect("connected");
    tokio::io::AsyncWriteExt::write_all(&mut half, &[0, 0, 0]).await.expect("sent");
    drop(stop);
    tokio::time::timeout(Duration::from_secs(2), served).await.expect("in time").expect("ended");
    assert!(tokio::net::TcpStream::connect(address).await.is_err());
}

/// What Grafana's PostgreSQL data source sends: the health check, and its query editor's look at the catalogs.
#[tokio::test]
async fn grafana_looks_around() {
    let fixture = Fixture::new().await;
    let mut client = Client::connect(serve(&fixture).await).await;
    let tables = include_str!("grafana_tables.sql");
    let columns = include_str!("grafana_columns.sql");
    for sql in ["SELECT 1", "SELECT current_setting('server_version_num')::int/100 as version"] {
        assert_eq!(client.simple(sql).await.rows.len(), 1, "{sql}");
    }
    let reply = client.simple(tables).await;
    let names: Vec<_> = reply.rows.iter().filter_map(|row| row[0].clone()).collect();
    assert!(names.iter().any(|name| name.ends_with(b"transactions")), "{reply:?}");
    let reply = client.simple(columns).await;
    assert!(reply.rows.len() > 60, "{reply:?}");
    let by_type =
        "SELECT table_name FROM information_schema.tables WHERE table_schema = 'public' AND table_type = 'BASE TABLE'";
    assert_eq!(client.simple(by_type).await.text(), "transactions");
}
