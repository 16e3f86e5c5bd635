//! The HTTP server.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tollgate_queries::{HttpServer, Limits, QueryService as _};

use super::fixture::{Fate, Fixture, ROWS, count};

#[derive(Debug)]
pub struct Response {
    pub status: u16,
    pub head: String,
    pub body: Vec<u8>,
}

impl Response {
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {}", self.text()))
    }

    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

pub async fn serve(fixture: &Fixture) -> SocketAddr {
    let server = HttpServer { address: "127.0.0.1:0".parse().expect("address") };
    server.start(fixture.engine.clone(), Box::pin(std::future::pending())).await.expect("started").address
}

async fn send(address: SocketAddr, request: String) -> Response {
    let mut stream = TcpStream::connect(address).await.expect("connected");
    stream.write_all(request.as_bytes()).await.expect("sent");
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).await.expect("read");
    let end = bytes.windows(4).position(|window| window == b"\r\n\r\n").expect("head");
    let head = String::from_utf8_lossy(&bytes[..end]).into_owned();
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).expect("status");
    Response { status, head: head.to_lowercase(), body: bytes[end + 4..].to_vec() }
}

pub async fn get(address: SocketAddr, path: &str) -> Response {
    get_with(address, path, "Host: 127.0.0.1\r\n").await
}

async fn get_with(address: SocketAddr, path: &str, headers: &str) -> Response {
    send(address, format!("GET {path} HTTP/1.1\r\n{headers}Connection: close\r\n\r\n")).await
}

pub async fn post(address: SocketAddr, path: &str, body: &str) -> Response {
    post_with(address, path, "Content-Type: application/json\r\n", body).await
}

async fn post_with(address: SocketAddr, path: &str, headers: &str, body: &str) -> Response {
    let length = body.len();
    let head = format!("POST {path} HTTP/1.1\r\nHost: localhost:1\r\n{headers}");
    send(address, format!("{head}Content-Length: {length}\r\nConnection: close\r\n\r\n{body}")).await
}

#[tokio::test]
async fn sql_is_answered_as_json_csv_and_arrow() {
    let fixture = Fixture::new().await;
    let address = serve(&fixture).await;
    let ask = |format: &str| {
        let sql =
            "SELECT service, count(*) AS n FROM transactions WHERE service IS NOT NULL GROUP BY service ORDER BY 1";
        serde_json::json!({ "sql": sql, "format": format }).to_string()
    };
    let json = post(address, "/v1/sql", &ask("json")).await;
    assert_eq!(json.status, 200, "{}", json.text());
    let answer = json.json();
    assert_eq!(answer["columns"][0], serde_json::json!({ "name": "service", "type": "text" }));
    assert_eq!(answer["rows"][0]["service"], "billing");
    assert_eq!(answer["row_count"], 3);
    assert_eq!((answer["truncated"].as_bool(), answer["warnings"].as_array().map(Vec::len)), (Some(false), Some(0)));
    assert!(answer["elapsed_ms"].is_u64());
    let csv = post(address, "/v1/sql", &ask("csv")).await;
    assert!(csv.head.contains("content-type: text/csv"), "{}", csv.head);
    assert!(csv.text().starts_with("service,n\nbilling,"), "{}", csv.text());
    let arrow = post(address, "/v1/sql", &ask("arrow")).await;
    assert!(arrow.head.contains("content-type: application/vnd.apache.arrow.stream"), "{}", arrow.head);
    let reader = arrow::ipc::reader::StreamReader::try_new(std::io::Cursor::new(arrow.body), None).expect("stream");
    assert_eq!(reader.map(|batch| batch.expect("batch").num_rows()).sum::<usize>(), 3);
}

#[tokio::test]
async fn errors_are_json_with_position_and_hint() {
    let fixture = Fixture::new().await;
    let address = serve(&fixture).await;
    let response = post(address, "/v1/sql", r#"{"sql": "SELECT statuss FROM transactions"}"#).await;
    assert_eq!(response.status, 400);
    let error = response.json();
    assert_eq!(error["error"], "unknown_name");
    assert_eq!((error["line"].as_u64(), error["column"].as_u64()), (Some(1), Some(8)));
    assert_eq!(error["hint"], "did you mean status?");
    for (path, body, status) in [
        ("/v1/sql", "SELECT 1", 400),
        ("/v1/sql", r#"{"sql": "SELECT 1", "fromat": "csv"}"#, 400),
        ("/v1/sql", r#"{"sql": "SELECT 1", "format": "xml"}"#, 400),
        ("/v1/questions/why-faild", "{}", 404),
        ("/v1/nosuch", "{}", 404),
    ] {
        let response = post(address, path, body).await;
        assert_eq!(response.status, status, "{path} {body}: {}", response.text());
        assert!(response.json()["message"].is_string());
    }
    let long = format!(r#"{{"sql": "SELECT '{}'"}}"#, "x".repeat(300_000));
    assert_eq!(post(address, "/v1/sql", &long).await.status, 413);
}

#[tokio::test]
async fn questions_are_listed_and_asked() {
    let fixture = Fixture::new().await;
    let address = serve(&fixture).await;
    let list = get(address, "/v1/questions").await.json();
    let questions = list["questions"].as_array().expect("questions").clone();
    assert!(questions.len() >= 16);
    let place = |name: &str| questions.iter().position(|question| question["name"] == name).expect("listed");
    assert!(place("why-failed") < place("errors-by-class") && place("errors-by-class") < place("auth-failures"));
    assert!(questions.iter().all(|question| question.get("order").is_none()), "{questions:?}");
    assert!(
        questions.iter().any(|question| question["name"] == "why-failed" && question["params"][0]["required"] == true)
    );
    let asked =
        post(address, "/v1/questions/why-failed", r#"{"params": {"service": "members", "since": "15m"}}"#).await;
    assert_eq!(asked.status, 200, "{}", asked.text());
    assert!(asked.json()["row_count"].as_u64().is_some_and(|rows| rows > 2));
    let integer = post(address, "/v1/questions/expiring-certificates", r#"{"params": {"days": 30}}"#).await;
    assert_eq!(integer.json()["row_count"], 2, "{}", integer.text());
    let missing = post(address, "/v1/questions/why-failed", "{}").await;
    assert_eq!(missing.status, 400);
    assert!(missing.json()["hint"].as_str().is_some_and(|hint| hint.contains("service (text, required)")));
}

#[tokio::test]
async fn an_alerts_link_answers_in_a_browser() {
    let fixture = Fixture::new().await;
    let address = serve(&fixture).await;
    let link = "/v1/questions/errors-by-class/run?service=members&since=15m";
    let browser =
        get_with(address, link, "Host: localhost\r\nAccept: text/html,application/xhtml+xml,*/*;q=0.8\r\n").await;
    assert_eq!(browser.status, 200);
    assert!(browser.head.contains("content-type: text/html") && browser.text().contains("<td>upstream_timeout</td>"));
    let json = get(address, link).await.json();
    let timeouts = count(Fate::TimedOut, Some("members"));
    assert!(json["rows"].as_array().expect("rows").iter().any(|row| row["failed"] == timeouts), "{json}");
    let csv = get(address, &format!("{link}&format=csv")).await;
    assert!(csv.text().starts_with("error_class,service,failed"), "{}", csv.text());
    assert_eq!(get(address, "/v1/questions/errors-by-class/run?sinc=15m").await.status, 400);
    assert_eq!(get(address, "/v1/questions/errors-by-class/run?since=soon").await.status, 400);
    assert_eq!(get(address, &format!("{link}&since=1h")).await.status, 400);
    assert_eq!(get(address, &format!("{link}&format=pdf")).await.status, 400);
}

#[tokio::test]
async fn an_id_is_found() {
    let fixture = Fixture::new().await;
    let address = serve(&fixture).await;
    let json = get(address, &format!("/v1/find/{}", fixture.id(3))).await;
    assert_eq!(json.status, 200);
    assert_eq!(json.json()["matches"][0]["record"]["error_class"], "upstream_timeout");
    let text = get(address, &format!("/v1/find/{}?format=text", fixture.id(3))).await;
    assert!(text.text().contains("upstream_timeout: no response within 30 s"), "{}", text.text());
    assert_eq!(get(address, "/v1/find/order-nosuch").await.status, 404);
}

#[tokio::test]
async fn a_foreign_host_name_is_refused_on_loopback() {
    let fixture = Fixture::new().await;
    let address = serve(&fixture).await;
    for (host, status) in [
        ("evil.example", 403),
        ("evil.example:8088", 403),
        ("localhost:8088", 200),
        ("127.0.0.1", 200),
        ("[::1]:8088", 200),
    ] {
        assert_eq!(get_with(address, "/healthz", &format!("Host: {host}\r\n")).await.status, status, "{host}");
    }
}

#[tokio::test]
async fn a_cut_answer_says_so() {
    let fixture = Fixture::with(Limits { rows_max: 10, ..Limits::default() }).await;
    let address = serve(&fixture).await;
    let response = post(address, "/v1/sql", r#"{"sql": "SELECT seq FROM transactions"}"#).await;
    assert_eq!(response.json()["truncated"], true);
    assert!(response.head.contains("x-tollgate-truncated: true"));
    assert!(response.json()["warnings"][0].as_str().is_some_and(|warning| warning.contains("more rows")));
    const { assert!(ROWS > 10) };
}

const ASKED: &str = r#"{"sql": "SELECT 1"}"#;

#[tokio::test]
async fn a_body_must_be_called_json() {
    let fixture = Fixture::new().await;
    let address = serve(&fixture).await;
    for path in ["/v1/sql", "/v1/questions/errors-by-class"] {
        for named in ["", "Content-Type: text/plain\r\n", "Content-Type: application/x-www-form-urlencoded\r\n"] {
            let response = post_with(address, path, named, ASKED).await;
            assert_eq!(response.status, 415, "{named}: {}", response.text());
            let hint = response.json()["hint"].as_str().expect("hint").to_owned();
            assert!(hint.contains("content-type: application/json"), "{hint}");
        }
    }
    let response = post_with(address, "/v1/sql", "Content-Type: Application/JSON; charset=utf-8\r\n", ASKED).await;
    assert_eq!(response.status, 200, "{}", response.text());
}

#[tokio::test]
async fn a_page_of_another_origin_cannot_ask() {
    let fixture = Fixture::new().await;
    let address = serve(&fixture).await;
    for (headers, status) in [
        ("", 200),
        ("Origin: http://localhost:1\r\nSec-Fetch-Site: same-origin\r\n", 200),
        ("Origin: http://LOCALHOST:1\r\n", 200),
        ("Sec-Fetch-Site: none\r\n", 200),
        ("Origin: http://evil.example\r\n", 403),
        ("Origin: http://localhost:3000\r\n", 403),
        ("Origin: http://localhost:1.evil.example\r\n", 403),
        ("Origin: null\r\n", 403),
        ("Sec-Fetch-Site: cross-site\r\n", 403),
        ("Sec-Fetch-Site: same-site\r\n", 403),
        ("Origin: http://evil.example\r\nSec-Fetch-Site: cross-site\r\nSec-Fetch-Mode: navigate\r\n", 403),
    ] {
        let headers = format!("{headers}Content-Type: application/json\r\n");
        let response = post_with(address, "/v1/sql", &headers, ASKED).await;
        assert_eq!(response.status, status, "{headers}{}", response.text());
    }
}

#[tokio::test]
async fn a_link_on_another_page_can_be_followed_but_not_fetched() {
    let fixture = Fixture::new().await;
    let address = serve(&fixture).await;
    let link = "/v1/questions/errors-by-class/run?service=members&since=15m";
    for (headers, status) in [
        ("Sec-Fetch-Site: cross-site\r\nSec-Fetch-Mode: navigate\r\nSec-Fetch-Dest: document\r\n", 200),
        ("Sec-Fetch-Site: same-site\r\nSec-Fetch-Mode: navigate\r\n", 200),
        ("Sec-Fetch-Site: cross-site\r\nSec-Fetch-Mode: navigate\r\nSec-Fetch-Dest: iframe\r\n", 403),
        ("Sec-Fetch-Site: cross-site\r\nSec-Fetch-Mode: no-cors\r\nSec-Fetch-Dest: image\r\n", 403),
        ("Origin: http://evil.example\r\nSec-Fetch-Site: cross-site\r\nSec-Fetch-Mode: cors\r\n", 403),
    ] {
        let response = get_with(address, link, &format!("Host: 127.0.0.1\r\n{headers}")).await;
        assert_eq!(response.status, status, "{headers}{}", response.text());
    }
}

/// Sent without an end: the head, or the body.
const HALVES: [&str; 2] = [
    "GET /healthz HTTP/1.1\r\nHost: local",
    "POST /v1/sql HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 20\r\n\r\n{",
];

#[tokio::test]
async fn a_server_is_stopped_in_spite_of_half_a_request() {
    let fixture = Fixture::new().await;
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let shutdown = async move {
        let _ended = stopped.await;
    };
    let server = HttpServer { address: "127.0.0.1:0".parse().expect("address") };
    let running = server.start(fixture.engine.clone(), Box::pin(shutdown)).await.expect("started");
    let (address, served) = (running.address, running.served);
    let mut halves = Vec::new();
    for half in HALVES {
        let mut stream = TcpStream::connect(address).await.expect("connected");
        stream.write_all(half.as_bytes()).await.expect("sent");
        halves.push(stream);
    }
    assert_eq!(get(address, "/healthz").await.status, 200);
    drop(stop);
    tokio::time::timeout(Duration::from_secs(5), served).await.expect("in time").expect("ended");
    assert!(TcpStream::connect(address).await.is_err());
}

#[tokio::test]
async fn half_a_request_is_given_up() {
    let fixture = Fixture::new().await;
    let address = serve(&fixture).await;
    let started = Instant::now();
    let mut streams = Vec::new();
    for half in HALVES {
        let mut stream = TcpStream::connect(address).await.expect("connected");
        stream.write_all(half.as_bytes()).await.expect("sent");
        streams.push(stream);
    }
    let mut answers = Vec::new();
    for mut stream in streams {
        let mut answer = String::new();
        let read = tokio::time::timeout(Duration::from_secs(20), stream.read_to_string(&mut answer)).await;
        read.expect("closed in time").expect("read");
        answers.push(answer);
    }
    assert!(started.elapsed() > Duration::from_secs(9), "{answers:?}");
    assert!(answers[1].starts_with("HTTP/1.1 408") && answers[1].contains("slow_request"), "{answers:?}");
}

#[tokio::test]
async fn connections_past_the_bound_are_closed() {
    let fixture = Fixture::with(Limits { connections_max: 1, ..Limits::default() }).await;
    let address = serve(&fixture).await;
    let mut first = TcpStream::connect(address).await.expect("connected");
    first.write_all(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n").await.expect("sent");
    assert!(first.read(&mut [0; 512]).await.expect("answer") > 0);
    let mut second = TcpStream::connect(address).await.expect("connected");
    let read = second.read(&mut [0; 1]).await;
    assert!(matches!(read, Ok(0) | Err(_)), "{read:?}");
    drop(first);
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert_eq!(get(address, "/healthz").await.status, 200);
}
