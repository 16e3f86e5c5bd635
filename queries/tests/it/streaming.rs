//! Answers over HTTP that are sent as their rows come.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tollgate_queries::Limits;

use super::fixture::Fixture;
use super::http::serve;

/// Longer than any of these tests takes.
pub fn limits() -> Limits {
    Limits { threads: 2, time_max: Duration::from_secs(120), rows_max: 10_000_000, ..Limits::default() }
}

/// Waits for a condition.
pub async fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let started = Instant::now();
    while !is_so() {
        assert!(started.elapsed() < Duration::from_secs(60), "never: {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

async fn ask(address: SocketAddr, sql: &str, format: &str) -> TcpStream {
    let body = serde_json::json!({ "sql": sql, "format": format }).to_string();
    let head = "POST /v1/sql HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n";
    let request = format!("{head}Connection: close\r\nContent-Length: {}\r\n\r\n{body}", body.len());
    let mut stream = TcpStream::connect(address).await.expect("connected");
    stream.write_all(request.as_bytes()).await.expect("sent");
    stream
}

/// Head, body, and whether the body was ended as HTTP asks.
async fn read(mut stream: TcpStream) -> (String, String, bool) {
    let mut bytes = Vec::new();
    let _cut = stream.read_to_end(&mut bytes).await;
    let end = bytes.windows(4).position(|window| window == b"\r\n\r\n").expect("head");
    let head = String::from_utf8_lossy(&bytes[..end]).to_lowercase();
    if !head.contains("transfer-encoding: chunked") {
        return (head, String::from_utf8_lossy(&bytes[end + 4..]).into_owned(), true);
    }
    let (mut rest, mut body) = (&bytes[end + 4..], Vec::new());
    while let Some(line) = rest.windows(2).position(|window| window == b"\r\n") {
        let size = usize::from_str_radix(std::str::from_utf8(&rest[..line]).expect("size"), 16).expect("size");
        if size == 0 {
            return (head, String::from_utf8(body).expect("text"), true);
        }
        let chunk = &rest[line + 2..];
        body.extend_from_slice(&chunk[..size.min(chunk.len())]);
        rest = chunk.get(size + 2..).unwrap_or_default();
    }
    (head, String::from_utf8(body).expect("text"), false)
}

#[tokio::test]
async fn a_large_answer_is_sent_in_chunks_and_is_whole() {
    let fixture = Fixture::with(limits()).await;
    let address = serve(&fixture).await;
    let sql = "SELECT value AS n, 'x' AS x FROM generate_series(1, 200000)";
    let (head, body, ended) = read(ask(address, sql, "json").await).await;
    assert!(ended && head.contains("transfer-encoding: chunked") && !head.contains("x-tollgate-truncated"), "{head}");
    let answer: serde_json::Value = serde_json::from_str(&body).expect("JSON");
    assert_eq!((answer["rows"].as_array().map(Vec::len), &answer["row_count"]), (Some(200_000), &200_000.into()));
    assert_eq!(answer["rows"][199_999]["n"], 200_000);
    assert_eq!(answer["truncated"], false);
    let (_, body, ended) = read(ask(address, sql, "csv").await).await;
    assert!(ended && body.starts_with("n,x\n1,x\n") && body.ends_with("\n200000,x\n"));
    assert_eq!(body.lines().count(), 200_001);
    until("free", || fixture.engine.load().memory_bytes == 0).await;
}

#[tokio::test]
async fn an_answer_that_breaks_off_says_why_in_its_last_line_and_is_not_ended() {
    let fixture = Fixture::with(limits()).await;
    let address = serve(&fixture).await;
    let sql =
        "SELECT 100 / (150000 - value) AS n, 'some text to make the row longer' AS x FROM generate_series(1, 200000)";
    let (head, body, ended) = read(ask(address, sql, "csv").await).await;
    assert!(head.starts_with("http/1.1 200") && !ended);
    let last = body.lines().last().expect("line");
    assert!(last.starts_with("# error: ") && last.to_lowercase().contains("zero"), "{last}");
    let (_, body, ended) = read(ask(address, sql, "json").await).await;
    let answer: serde_json::Value = serde_json::from_str(&body).expect("JSON");
    assert!(!ended && answer["error"]["error"] == "failed" && answer.get("row_count").is_none());
}

#[tokio::test]
async fn rows_past_the_bound_are_told_however_large_the_answer_is() {
    let fixture = Fixture::with(Limits { rows_max: 100_000, ..limits() }).await;
    let address = serve(&fixture).await;
    let sql = "SELECT value AS n, 'some text' AS x FROM generate_series(1, 200000)";
    let (_, body, ended) = read(ask(address, sql, "json").await).await;
    let answer: serde_json::Value = serde_json::from_str(&body).expect("JSON");
    assert!(ended && answer["truncated"] == true && answer["row_count"] == 100_000);
    let (_, body, ended) = read(ask(address, sql, "csv").await).await;
    assert!(!ended && body.lines().last().is_some_and(|line| line.contains("more rows than the 100000")));
    let exact = "SELECT value AS n, 'some text' AS x FROM generate_series(1, 100000)";
    assert!(read(ask(address, exact, "csv").await).await.2);
}

#[tokio::test]
async fn a_page_for_a_browser_is_whole_and_bounded() {
    let fixture = Fixture::with(limits()).await;
    let address = serve(&fixture).await;
    let (head, body, _) = read(ask(address, "SELECT value FROM generate_series(1, 200000)", "html").await).await;
    assert!(head.contains("x-tollgate-truncated: true") && head.contains("content-length"), "{head}");
    assert!(body.contains("<td>10000</td>") && !body.contains("<td>10001</td>"));
    until("free", || fixture.engine.load().running == 0).await;
}

#[tokio::test]
async fn a_slow_reader_holds_little_and_one_that_goes_ends_its_query() {
    let fixture = Fixture::with(limits()).await;
    let address = serve(&fixture).await;
    let sql = "SELECT value AS n, 'some text that makes a row longer' AS x FROM generate_series(1, 5000000)";
    let mut stream = ask(address, sql, "csv").await;
    let mut some = vec![0; 1 << 20];
    stream.read_exact(&mut some).await.expect("rows");
    // What the reader does not take waits in the sockets, and then the query does.
    tokio::time::sleep(Duration::from_millis(300)).await;
    let load = fixture.engine.load();
    assert!(load.running == 1 && load.memory_bytes < 4 << 20, "{load:?}");
    drop(stream);
    until("ended", || fixture.engine.load().running == 0 && fixture.engine.load().memory_bytes == 0).await;
}

#[tokio::test]
async fn the_time_of_a_query_ends_whether_or_not_its_rows_are_read() {
    let fixture = Fixture::with(Limits { time_max: Duration::from_secs(1), ..limits() }).await;
    let address = serve(&fixture).await;
    let sql = "SELECT value AS n, 'some text that makes a row longer' AS x FROM generate_series(1, 50000000)";
    let unread = ask(address, sql, "csv").await;
    until("running", || fixture.engine.load().running == 1).await;
    until("over", || fixture.engine.load().running == 0).await;
    // Then its reader has a grace, and the connection is cut with all that it holds.
    until("cut", || fixture.engine.load().memory_bytes == 0).await;
    let (_, body, ended) = read(unread).await;
    assert!(!ended && body.starts_with("n,x\n"));
}
