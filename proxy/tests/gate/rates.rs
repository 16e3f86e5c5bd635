//! Clients that are too slow with a body, and clients that only seem to be.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use serde_json::json;

use crate::rig::{Gate, Upstream, assert_row, read_request};

const OK: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello";
const STRICT: &str = "limits: {request_bytes_per_second_min: 1000000, response_bytes_per_second_min: 1000000000}\n\
                      timeouts: {rate_grace: 200ms}";

fn read_to_close(stream: &mut TcpStream) -> String {
    let mut text = Vec::new();
    let _reset_counts_as_end = stream.read_to_end(&mut text);
    String::from_utf8_lossy(&text).into_owned()
}

/// An endless answer.
fn endless() -> Upstream {
    Upstream::start(|mut stream, _| {
        read_request(&mut stream);
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 1000000000000\r\n\r\n");
        while stream.write_all(&[0; 65_536]).is_ok() {}
    })
}

/// Sends a body of 10 bytes, one after the other.
fn drip(gate: &Gate, kind: &str) -> String {
    let mut stream = gate.connect();
    let head = format!(
        "POST /api HTTP/1.1\r\nhost: a\r\ncontent-type: {kind}\r\ncontent-length: 10\r\nconnection: close\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).unwrap();
    for byte in b"0123456789" {
        std::thread::sleep(Duration::from_millis(50));
        if stream.write_all(&[*byte]).is_err() {
            break;
        }
    }
    read_to_close(&mut stream)
}

#[test]
fn a_body_that_drips() {
    let gate = Gate::before(&Upstream::answering(OK), STRICT);
    let answer = drip(&gate, "text/plain");
    assert!(answer.starts_with("HTTP/1.1 408"), "{answer}");
    let row = gate.one_record();
    assert_row(
        &row,
        json!({
            "http.response.status_code": 408, "error.type": "bad_request", "tollgate.termination": "gateway",
            "error.message": "the body came too slowly",
        }),
    );
    assert!(row["http.request.body.size"].as_i64().unwrap() < 10, "{row:#}");
}

#[test]
fn grpc_may_drip_and_so_may_anybody_by_default() {
    for (extra, kind) in [(STRICT, "application/grpc+proto"), ("timeouts: {rate_grace: 0s}", "text/plain")] {
        let gate = Gate::before(&Upstream::answering(OK), extra);
        assert!(drip(&gate, kind).ends_with("hello"), "{kind}");
        assert_row(&gate.one_record(), json!({"http.response.status_code": 200, "http.request.body.size": 10}));
    }
}

#[test]
fn a_reader_that_drips() {
    let gate = Gate::before(&endless(), STRICT);
    let mut stream = gate.connect();
    stream.write_all(b"GET /api HTTP/1.1\r\nhost: a\r\n\r\n").unwrap();
    let mut part = [0; 65_536];
    // A megabyte a second, of a thousand.
    while stream.read(&mut part).is_ok_and(|read| read > 0) {
        std::thread::sleep(Duration::from_millis(60));
    }
    assert_row(
        &gate.one_record(),
        json!({
            "http.response.status_code": 499, "error.type": "client_abort", "tollgate.termination": "client",
            "tollgate.upstream_status": 200,
        }),
    );
}

#[test]
fn a_reader_that_stops_is_cut_long_before_its_socket_times_out() {
    let gate = Gate::before(&endless(), STRICT);
    let mut stream = gate.connect();
    stream.write_all(b"GET /api HTTP/1.1\r\nhost: a\r\n\r\n").unwrap();
    gate.rows(1);
    assert_row(
        &gate.one_record(),
        json!({
            "http.response.status_code": 499, "error.type": "client_abort", "tollgate.termination": "client",
            "error.message": "the client did not take the response in time",
        }),
    );
    drop(stream);
}

#[test]
fn a_slow_upstream_makes_no_client_slow() {
    let upstream = Upstream::start(|mut stream, _| {
        std::thread::sleep(Duration::from_millis(500));
        read_request(&mut stream);
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\n");
        for byte in b"abc" {
            std::thread::sleep(Duration::from_millis(300));
            let _ = stream.write_all(&[*byte]);
        }
    });
    let gate = Gate::before(&upstream, STRICT);
    let answer = gate.exchange("POST /api HTTP/1.1\r\nhost: a\r\ncontent-length: 3\r\nconnection: close\r\n\r\nabc");
    assert!(answer.ends_with("abc"), "{answer}");
    assert_row(&gate.one_record(), json!({"http.response.status_code": 200, "tollgate.termination": "complete"}));
}
