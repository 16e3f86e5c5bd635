//! What the record says of an upstream's part in a transaction, in every ending that an upstream has a hand in.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::sync::mpsc::sync_channel;
use std::time::Duration;

use serde_json::{Value, json};
use tollgate_tls::demo_ca::DemoCa;

use crate::rig::{Gate, PATIENCE, Setup, Upstream, assert_row, read_request, read_until};
use crate::upstream_rig::status_of;

const STAGES: [&str; 5] =
    ["upstream_dns_us", "upstream_connect_us", "upstream_tls_us", "upstream_ttfb_us", "upstream_receive_us"];

/// Asserts which stages were reached.
fn assert_reached(row: &Value, reached: &[&str]) {
    for stage in STAGES {
        let value = row.get(format!("tollgate.{stage}")).cloned().unwrap_or_default();
        assert_eq!(value.is_i64(), reached.contains(&stage), "{stage} of {row:#}");
    }
}

/// A gate before an upstream that accepts, and never says a word of TLS; and a message when it has accepted.
fn silent_tls(extra: &str) -> (Gate, std::sync::mpsc::Receiver<()>) {
    let (told, heard) = sync_channel(8);
    let upstream = Upstream::start(move |mut stream, _| {
        let _ = stream.read(&mut [0]);
        told.send(()).unwrap();
        let _ = stream.read_to_end(&mut Vec::new());
    });
    let dir = tempfile::tempdir().unwrap();
    let ca = DemoCa::open(&dir.path().join("tls")).unwrap();
    let collector = crate::collector::Collector::start(&ca);
    let targets = [format!("https://localhost:{}", upstream.addr.port())];
    let setup = Setup { targets: &targets, service: "    tls: {ca: tls/ca.pem}", extra, ..Setup::default() };
    (Gate::around(dir, ca, collector, &setup), heard)
}

#[test]
fn a_client_that_leaves_during_the_handshake_with_the_upstream() {
    let (gate, heard) = silent_tls("");
    let mut stream = gate.connect();
    stream.write_all(b"GET /api HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
    heard.recv_timeout(PATIENCE).unwrap();
    std::thread::sleep(Duration::from_millis(30));
    drop(stream);
    gate.rows(1);
    let row = gate.one_record();
    assert_row(
        &row,
        json!({
            "http.response.status_code": 499, "error.type": "client_abort", "tollgate.termination": "client",
            "tollgate.upstream_attempts": 1, "tollgate.upstream_status": null, "http.response.body.size": 0,
        }),
    );
    assert_reached(&row, &["upstream_dns_us", "upstream_connect_us", "upstream_tls_us"]);
    assert!(row["tollgate.upstream_tls_us"].as_i64().unwrap() >= 20_000, "{row:#}");
}

#[test]
fn a_handshake_with_the_upstream_that_takes_too_long() {
    let (gate, _heard) = silent_tls("timeouts: {connect: 200ms}");
    assert_eq!(status_of(&gate.get("/api")), "504");
    let row = gate.one_record();
    assert_row(
        &row,
        json!({
            "http.response.status_code": 504, "error.type": "upstream_tls", "tollgate.termination": "gateway",
            "tollgate.upstream_attempts": 1,
        }),
    );
    assert_reached(&row, &["upstream_dns_us", "upstream_connect_us", "upstream_tls_us"]);
}

#[test]
fn an_upstream_that_does_not_accept() {
    // A backlog that is full: the kernel answers no more.
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    socket.bind(&"127.0.0.1:0".parse::<std::net::SocketAddr>().unwrap().into()).unwrap();
    socket.listen(0).unwrap();
    let listener: TcpListener = socket.into();
    let addr = listener.local_addr().unwrap();
    let mut filling = Vec::new();
    while let Ok(stream) = std::net::TcpStream::connect_timeout(&addr, Duration::from_millis(300)) {
        filling.push(stream);
        assert!(filling.len() < 64, "the backlog does not fill");
    }
    let targets = [format!("http://{addr}")];
    let extra = "timeouts: {connect: 200ms}";
    let gate = Gate::with(&Setup { targets: &targets, extra, ..Setup::default() });
    assert_eq!(status_of(&gate.get("/api")), "504");
    let row = gate.one_record();
    assert_row(
        &row,
        json!({
            "error.type": "connect_timeout", "tollgate.termination": "gateway",
            "tollgate.upstream_addr": addr.to_string(), "tollgate.upstream_attempts": 1,
        }),
    );
    assert_reached(&row, &["upstream_connect_us"]);
}

#[test]
fn an_upstream_that_does_not_answer_in_time() {
    let upstream = Upstream::start(|mut stream, _| {
        read_request(&mut stream);
        let _ = stream.read(&mut [0]);
    });
    let gate = Gate::before(&upstream, "timeouts: {first_byte: 100ms}");
    assert_eq!(status_of(&gate.get("/api")), "504");
    let row = gate.one_record();
    assert_row(
        &row,
        json!({
            "error.type": "upstream_timeout", "tollgate.termination": "gateway", "tollgate.upstream_status": null,
            "tollgate.upstream_attempts": 1, "tollgate.upstream_reused": false,
        }),
    );
    assert_reached(&row, &["upstream_connect_us", "upstream_ttfb_us"]);
    assert!(row["tollgate.upstream_ttfb_us"].as_i64().unwrap() >= 90_000, "{row:#}");
}

#[test]
fn a_response_that_stalls() {
    let upstream = Upstream::start(|mut stream, _| {
        read_request(&mut stream);
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhalf");
        let _ = stream.read(&mut [0]);
    });
    let gate = Gate::before(&upstream, "timeouts: {body_idle: 100ms}");
    assert!(gate.get("/api").ends_with("half"));
    let row = gate.one_record();
    assert_row(
        &row,
        json!({
            "error.type": "upstream_timeout", "tollgate.termination": "gateway", "tollgate.upstream_status": 200,
            "http.response.status_code": 200, "http.response.body.size": 4,
        }),
    );
    assert_reached(&row, &["upstream_connect_us", "upstream_ttfb_us", "upstream_receive_us"]);
    assert!(row["tollgate.upstream_receive_us"].as_i64().unwrap() >= 90_000, "{row:#}");
}

#[test]
fn a_name_is_looked_up_and_the_time_is_kept() {
    let upstream = Upstream::answering(b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello");
    let targets = [format!("http://localhost:{}", upstream.addr.port())];
    let gate = Gate::with(&Setup { targets: &targets, ..Setup::default() });
    (0..2).for_each(|_| assert!(gate.get("/api").ends_with("hello")));
    let rows = gate.finish();
    let fresh = ["upstream_dns_us", "upstream_connect_us", "upstream_ttfb_us", "upstream_receive_us"];
    assert_reached(&rows[0], &fresh);
    assert_reached(&rows[1], &fresh[2..]);
}

#[test]
fn answers_that_come_in_older_or_longer_ways() {
    let table: [(&str, &'static [u8], &str, i64); 5] = [
        ("HTTP/1.0, to the end of the connection", b"HTTP/1.0 200 OK\r\n\r\nhello", "200", 5),
        ("HTTP/1.0 with a length", b"HTTP/1.0 200 OK\r\ncontent-length: 5\r\n\r\nhello", "200", 5),
        ("to the end of the connection", b"HTTP/1.1 200 OK\r\nconnection: close\r\n\r\nhello", "200", 5),
        ("after 100", b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello", "200", 5),
        (
            "after 103",
            b"HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\nHTTP/1.1 404 No\r\ncontent-length: 5\r\n\r\nhello",
            "404",
            5,
        ),
    ];
    for (way, bytes, status, size) in table {
        let upstream = Upstream::start(move |mut stream, _| {
            read_request(&mut stream);
            let _ = stream.write_all(bytes);
        });
        let gate = Gate::before(&upstream, "");
        for _ in 0..2 {
            let answer = gate.get("/api");
            assert_eq!(status_of(&answer), status, "{way}: {answer}");
            assert!(answer.contains("hello"), "{way}: {answer}");
        }
        let rows = gate.finish();
        for row in rows {
            assert_row(
                &row,
                json!({"tollgate.termination": "complete", "http.response.body.size": size, "error.type": null}),
            );
        }
    }
}

#[test]
fn an_answer_that_comes_before_the_body_ends_the_upload() {
    let upstream = Upstream::start(|mut stream, _| {
        read_until(&mut stream, "\r\n\r\n");
        let _ = stream.write_all(b"HTTP/1.1 413 Too Large\r\ncontent-length: 2\r\n\r\nno");
        let _ = stream.read_to_end(&mut Vec::new());
    });
    let gate = Gate::before(&upstream, "");
    let mut stream = gate.connect();
    stream.write_all(b"POST /api HTTP/1.1\r\nHost: a\r\nContent-Length: 100000000\r\n\r\nbegun").unwrap();
    let head = read_until(&mut stream, "no").unwrap();
    assert_eq!(status_of(&head), "413");
    drop(stream);
    gate.rows(1);
    let row = gate.one_record();
    assert_row(
        &row,
        json!({
            "http.response.status_code": 413, "tollgate.response_source": "upstream", "tollgate.upstream_status": 413,
            "tollgate.termination": "complete", "http.response.body.size": 2,
        }),
    );
}
