//! Portals that give their rows bit by bit, as JDBC's fetch size asks for it.

use std::time::Duration;

use tollgate_queries::Limits;

use super::fixture::Fixture;
use super::postgres::serve;
use super::streaming::{limits, until};
use super::wire::Client;

/// More rows than a test reads.
const MANY: &str = "SELECT value FROM generate_series(1, 3000000)";

#[tokio::test]
async fn an_execute_with_a_number_of_rows_suspends_its_portal_and_the_next_goes_on() {
    let fixture = Fixture::new().await;
    let mut client = Client::connect(serve(&fixture).await).await;
    client.simple("BEGIN").await;
    client.parse("s", "SELECT value FROM generate_series(1, 5000)").await;
    client.bind("c", "s").await;
    client.execute("c", 2000).await;
    let first = client.sync().await;
    assert_eq!((first.rows.len(), first.suspended, first.tags.len()), (2000, 1, 0), "{:?}", first.error);
    // Other statements run meanwhile, and the portal outlives them.
    assert_eq!(client.simple("SELECT 1").await.text(), "1");
    client.execute("c", 1).await;
    client.execute("c", 1999).await;
    let second = client.sync().await;
    assert_eq!((second.rows.len(), second.suspended), (2000, 2));
    assert_eq!(second.text(), "2001");
    client.execute("c", 2000).await;
    let last = client.sync().await;
    assert_eq!((last.rows.len(), last.suspended, last.tags.as_slice()), (1000, 0, &["SELECT 1000".to_owned()][..]));
    client.execute("c", 10).await;
    assert_eq!(client.sync().await.tags, ["SELECT 0"]);
    assert_eq!(client.simple("COMMIT").await.tags, ["COMMIT"]);
}

#[tokio::test]
async fn no_number_and_a_negative_one_are_all_rows() {
    let fixture = Fixture::new().await;
    let mut client = Client::connect(serve(&fixture).await).await;
    client.parse("s", "SELECT value FROM generate_series(1, 3000)").await;
    for rows in [0, -1, i32::MIN, i32::MAX] {
        client.bind("", "s").await;
        client.execute("", rows).await;
        let reply = client.sync().await;
        assert_eq!((reply.rows.len(), reply.suspended), (3000, 0), "{rows}: {:?}", reply.error);
    }
}

#[tokio::test]
async fn a_portal_ends_with_its_transaction_and_so_does_its_query() {
    let fixture = Fixture::with(limits()).await;
    let mut client = Client::connect(serve(&fixture).await).await;
    client.parse("s", MANY).await;
    // Outside a transaction block it ends at the Sync.
    client.bind("c", "s").await;
    client.execute("c", 5).await;
    assert_eq!(client.sync().await.suspended, 1);
    until("free", || fixture.engine.load().running == 0).await;
    client.execute("c", 5).await;
    assert!(client.sync().await.error.is_some());
    for end in ["COMMIT", "ROLLBACK"] {
        client.simple("BEGIN").await;
        client.bind("c", "s").await;
        client.execute("c", 5).await;
        assert_eq!(client.sync().await.suspended, 1);
        assert_eq!(fixture.engine.load().running, 1);
        client.simple(end).await;
        until("free", || fixture.engine.load().running == 0).await;
    }
}

#[tokio::test]
async fn a_closed_portal_and_a_closed_connection_end_their_queries() {
    let fixture = Fixture::with(limits()).await;
    let address = serve(&fixture).await;
    let mut client = Client::connect(address).await;
    client.simple("BEGIN").await;
    client.parse("s", MANY).await;
    client.bind("c", "s").await;
    client.execute("c", 5).await;
    client.sync().await;
    assert_eq!(fixture.engine.load().running, 1);
    client.close_portal("c").await;
    client.sync().await;
    until("closed", || fixture.engine.load().running == 0).await;
    client.bind("c", "s").await;
    client.execute("c", 5).await;
    client.sync().await;
    assert_eq!(fixture.engine.load().running, 1);
    drop(client);
    until("gone", || fixture.engine.load().running == 0 && fixture.engine.load().memory_bytes == 0).await;
}

#[tokio::test]
async fn portals_and_their_running_queries_are_bounded() {
    let fixture = Fixture::with(limits()).await;
    let mut client = Client::connect(serve(&fixture).await).await;
    client.simple("BEGIN").await;
    client.parse("s", MANY).await;
    for portal in 0..64 {
        client.bind(&format!("c{portal}"), "s").await;
    }
    assert!(client.sync().await.error.is_none());
    for portal in 0..4 {
        client.execute(&format!("c{portal}"), 5).await;
    }
    assert_eq!(client.sync().await.suspended, 4);
    client.execute("c5", 5).await;
    let fifth = client.sync().await;
    assert_eq!(fifth.sqlstate(), "53300", "{fifth:?}");
    client.simple("ROLLBACK").await;
    client.simple("BEGIN").await;
    for portal in 0..65 {
        client.bind(&format!("c{portal}"), "s").await;
    }
    assert_eq!(client.sync().await.sqlstate(), "53300");
    until("free", || fixture.engine.load().running == 0).await;
}

#[tokio::test]
async fn a_portal_that_is_not_fetched_in_time_gives_up_what_it_holds() {
    let fixture = Fixture::with(Limits { time_max: Duration::from_millis(500), ..limits() }).await;
    let mut client = Client::connect(serve(&fixture).await).await;
    client.simple("BEGIN").await;
    client.parse("s", MANY).await;
    client.bind("c", "s").await;
    client.execute("c", 5).await;
    assert_eq!(client.sync().await.suspended, 1);
    until("free", || fixture.engine.load().running == 0 && fixture.engine.load().memory_bytes == 0).await;
    client.execute("c", 5).await;
    assert_eq!(client.sync().await.sqlstate(), "57014");
    client.simple("ROLLBACK").await;
    assert_eq!(client.simple("SELECT 1").await.text(), "1");
}

#[tokio::test]
async fn an_error_in_the_middle_comes_after_the_rows_before_it() {
    // One thread: of two, the one with the error may be faster than the one with the rows before it.
    let fixture = Fixture::with(Limits { threads: 1, ..Limits::default() }).await;
    let mut client = Client::connect(serve(&fixture).await).await;
    let sql = "SELECT 100 / (20000 - value) FROM generate_series(1, 40000)";
    let simple = client.simple(sql).await;
    assert!(simple.rows.len() > 1000 && simple.rows.len() < 20_000, "{}", simple.rows.len());
    assert!(simple.error.is_some() && simple.tags.is_empty());
    let extended = client.extended(sql, &[], false).await;
    assert!(extended.error.is_some() && extended.tags.is_empty());
    assert_eq!(client.simple("SELECT 1").await.text(), "1");
}

/// Rows pass through: neither protocol holds more of them than a few portions.
#[tokio::test]
async fn many_rows_pass_at_constant_memory() {
    let fixture = Fixture::with(limits()).await;
    let mut client = Client::connect(serve(&fixture).await).await;
    let sql = "SELECT value, repeat_of FROM (SELECT value, 'some text that makes a row longer ' || value AS repeat_of \
               FROM generate_series(1, 400000))";
    client.ask(sql).await;
    let (mut rows, mut most) = (0, 0);
    while let Some(message) = client.message().await {
        rows += usize::from(message.tag == b'D');
        if rows % 1000 == 0 {
            most = fixture.engine.load().memory_bytes.max(most);
        }
        if message.tag == b'Z' {
            break;
        }
    }
    assert_eq!(rows, 400_000);
    assert!(most < 4 << 20, "{most}");
}

#[tokio::test]
async fn an_answer_that_is_sent_is_canceled_and_one_whose_client_went_ends() {
    let fixture = Fixture::with(limits()).await;
    let address = serve(&fixture).await;
    let mut client = Client::connect(address).await;
    client.ask(MANY).await;
    while client.message().await.is_some_and(|message| message.tag != b'D') {}
    let key = client.key.clone();
    Client::cancel(address, &key).await;
    let mut codes = Vec::new();
    while let Some(message) = client.message().await {
        if message.tag == b'E' {
            codes.push(String::from_utf8_lossy(&message.body).into_owned());
        }
        if message.tag == b'Z' {
            break;
        }
    }
    assert!(codes.iter().any(|code| code.contains("57014")), "{codes:?}");
    let endless =
        "SELECT sum(a.value * b.value) FROM generate_series(1, 1000000) a CROSS JOIN generate_series(1, 1000000) b";
    client.ask(endless).await;
    until("running", || fixture.engine.load().running == 1).await;
    drop(client);
    until("gone", || fixture.engine.load().running == 0).await;
}
