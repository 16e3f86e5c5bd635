//! Every wait has a bound: each test lowers one and hits it.

use std::io::{Read, Write};
use std::time::Duration;

use serde_json::json;

use crate::rig::{Gate, Upstream, assert_row, read_request, read_until};

const OK: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello";

fn read_to_close(stream: &mut std::net::TcpStream) -> String {
    let mut text = Vec::new();
    let _reset_counts_as_end = stream.read_to_end(&mut text);
    String::from_utf8_lossy(&text).into_owned()
}

#[test]
fn slow_heads_are_closed_and_only_begun_ones_are_recorded() {
    let gate = Gate::before(&Upstream::answering(OK), "timeouts: {header_read: 200ms}");
    for begun in ["", "G", "GET /api HTTP/1.1\r\nHost: a\r\n"] {
        let mut stream = gate.connect();
        stream.write_all(begun.as_bytes()).unwrap();
        assert_eq!(read_to_close(&mut stream), "", "{begun:?}");
    }
    let mut kept = gate.connect();
    kept.write_all(b"GET /api HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
    assert!(read_to_close(&mut kept).ends_with("hello"), "an idle connection is closed too");
    let rows = gate.finish();
    assert_eq!(rows.len(), 3, "{rows:#?}");
    for row in &rows[..2] {
        assert_row(
            row,
            json!({"http.response.status_code": null, "error.type": "bad_request", "tollgate.termination": "gateway"}),
        );
    }
}

#[test]
fn a_slow_upload_is_no_slow_upstream() {
    let upstream = Upstream::start(|mut stream, _| {
        read_request(&mut stream);
        let _ = stream.write_all(OK);
    });
    let gate = Gate::before(&upstream, "timeouts: {first_byte: 300ms}");
    let mut stream = gate.connect();
    stream.write_all(b"POST /api HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nConnection: close\r\n\r\n").unwrap();
    for byte in b"01234" {
        std::thread::sleep(Duration::from_millis(120));
        stream.write_all(&[*byte]).unwrap();
    }
    assert!(read_to_close(&mut stream).starts_with("HTTP/1.1 200"));
    let row = gate.one_record();
    assert_row(&row, json!({"http.response.status_code": 200, "http.request.body.size": 5, "error.type": null}));
    assert!(row["tollgate.gateway_us"].as_i64().unwrap() < 300_000, "the wait for the client is not ours: {row:#}");
}

#[test]
fn client_connections_and_their_requests_are_bounded() {
    let gate = Gate::before(&Upstream::answering(OK), "limits: {connections_max: 1, requests_per_connection_max: 2}");
    let mut first = gate.connect();
    first.write_all(b"GET /api HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
    read_until(&mut first, "hello").unwrap();
    assert_eq!(read_to_close(&mut gate.connect()), "", "the second connection is closed at once");
    first.write_all(b"GET /api HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
    let last = read_to_close(&mut first);
    assert!(last.contains("connection: close") && last.ends_with("hello"), "{last}");
    assert_eq!(gate.finish().len(), 2);
}

#[test]
fn the_drain_lets_requests_end_and_cuts_the_rest() {
    let upstream = Upstream::start(|mut stream, _| {
        let request = read_request(&mut stream).unwrap();
        std::thread::sleep(Duration::from_millis(300));
        if request.contains("/api/ends") {
            let _ = stream.write_all(OK);
        } else {
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nhalf");
            let _ = stream.read(&mut [0]);
        }
    });
    let mut gate = Gate::before(&upstream, "");
    let mut ends = gate.connect();
    ends.write_all(b"GET /api/ends HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
    let mut hangs = gate.connect();
    hangs.write_all(b"GET /api/hangs HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
    let idle = gate.connect();
    std::thread::sleep(Duration::from_millis(100));
    gate.stop(Duration::from_millis(800));
    assert!(read_to_close(&mut ends).ends_with("hello"));
    drop((hangs, idle));
    let rows = gate.finish();
    assert_eq!(rows.len(), 2, "{rows:#?}");
    assert_row(&rows[0], json!({"url.path": "/api/ends", "tollgate.termination": "complete"}));
    assert_row(
        &rows[1],
        json!({"url.path": "/api/hangs", "tollgate.termination": "gateway", "error.type": "internal", "http.response.body.size": 4}),
    );
}

#[test]
fn a_pause_of_the_client_is_not_the_upstreams() {
    let upstream = Upstream::start(|mut stream, _| {
        read_request(&mut stream);
        let _ = stream.write_all(OK);
    });
    let gate = Gate::before(&upstream, "timeouts: {first_byte: 100ms}");
    let mut stream = gate.connect();
    stream.write_all(b"POST /api HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\nConnection: close\r\n\r\n0").unwrap();
    std::thread::sleep(Duration::from_millis(400));
    stream.write_all(b"1").unwrap();
    assert!(read_to_close(&mut stream).starts_with("HTTP/1.1 200"));
    assert_row(&gate.one_record(), json!({"http.response.status_code": 200, "error.type": null}));
}
