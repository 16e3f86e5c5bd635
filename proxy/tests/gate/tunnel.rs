//! Protocol switches: only after a 101, and recorded at the end.

use std::io::{Read, Write};

use serde_json::json;

use crate::rig::{Gate, Upstream, assert_row, read_request, read_until};

pub const ASK: &str = "GET /api/ws HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n";

#[test]
fn bytes_pass_both_ways_and_the_record_comes_at_the_end() {
    let upstream = Upstream::start(|mut stream, _| {
        let request = read_request(&mut stream).unwrap().to_ascii_lowercase();
        assert!(request.contains("connection: upgrade\r\n") && request.contains("upgrade: websocket\r\n"), "{request}");
        let _ =
            stream.write_all(b"HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n");
        let mut five = [0; 5];
        stream.read_exact(&mut five).unwrap();
        let _ = stream.write_all(b"received ");
        let _ = stream.write_all(&five);
    });
    let gate = Gate::before(&upstream, "");
    let mut stream = gate.connect();
    stream.write_all(ASK.as_bytes()).unwrap();
    let head = read_until(&mut stream, "\r\n\r\n").unwrap();
    assert!(head.starts_with("HTTP/1.1 101") && head.contains("upgrade: websocket"), "{head}");
    assert!(gate.collector.rows().is_empty());
    stream.write_all(b"hello").unwrap();
    read_until(&mut stream, "received hello").unwrap();
    stream.shutdown(std::net::Shutdown::Write).unwrap();
    assert_eq!(stream.read(&mut [0]).unwrap(), 0);
    gate.rows(1);
    assert_row(
        &gate.one_record(),
        json!({
            "http.response.status_code": 101, "tollgate.termination": "complete", "http.request.body.size": 5,
            "http.response.body.size": 14,
        }),
    );
}

#[test]
fn no_tunnel_without_a_101() {
    let upstream = Upstream::answering(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nno");
    let gate = Gate::before(&upstream, "");
    let mut stream = gate.connect();
    // A request behind the upgrade must be served as a request (CVE-2026-2833).
    let pipelined = format!("{ASK}GET /nowhere HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    stream.write_all(pipelined.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.contains("HTTP/1.1 200") && answer.contains("HTTP/1.1 404"), "{answer}");
    assert_eq!(gate.finish().len(), 2);
}

#[test]
fn early_answers_do_not_turn_bodies_into_requests() {
    // CVE-2025-4366: what is left of a refused request's body is not the next request.
    let gate = Gate::before(&Upstream::answering(b""), "");
    let smuggled = "GET /api/smuggled HTTP/1.1\r\nHost: a\r\n\r\n";
    let request = format!("POST /nowhere HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\n{smuggled}", smuggled.len());
    let mut stream = gate.connect();
    stream.write_all(request.as_bytes()).unwrap();
    read_until(&mut stream, "\r\n\r\n").unwrap();
    stream.shutdown(std::net::Shutdown::Write).unwrap();
    let mut rest = Vec::new();
    let _reset_counts_as_end = stream.read_to_end(&mut rest);
    assert!(!String::from_utf8_lossy(&rest).contains("HTTP/1.1"), "one request, one answer");
    let rows = gate.finish();
    assert_eq!(rows.len(), 1);
    assert_row(&rows[0], json!({"url.path": "/nowhere", "error.type": "no_route"}));
}

#[test]
fn a_client_that_resets_its_tunnel() {
    let upstream = Upstream::start(|mut stream, _| {
        read_request(&mut stream);
        let _ =
            stream.write_all(b"HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n");
        while stream.write_all(&[0; 1024]).is_ok() {
            std::thread::sleep(std::time::Duration::from_millis(1));
        }
    });
    let gate = Gate::before(&upstream, "limits: {connections_max: 1, upstream_connections_max: 1}");
    let mut stream = gate.connect();
    stream.write_all(ASK.as_bytes()).unwrap();
    read_until(&mut stream, "\r\n\r\n").unwrap();
    // A tunnel counts as a connection for as long as it lasts.
    assert_eq!(gate.connect().read(&mut [0]).unwrap_or(0), 0);
    std::thread::sleep(std::time::Duration::from_millis(50));
    // With bytes left unread, closing is a reset.
    drop(stream);
    gate.rows(1);
    assert_row(
        &gate.one_record(),
        json!({"error.type": "client_abort", "tollgate.termination": "client", "tollgate.upstream_status": 101}),
    );
}

#[test]
fn a_101_to_something_else() {
    let upstream =
        Upstream::answering(b"HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: other\r\n\r\n");
    let gate = Gate::before(&upstream, "");
    let mut stream = gate.connect();
    stream.write_all(ASK.as_bytes()).unwrap();
    let head = read_until(&mut stream, "\r\n\r\n").unwrap();
    assert!(head.starts_with("HTTP/1.1 502"), "{head}");
    drop(stream);
    assert_row(&gate.one_record(), json!({"error.type": "upstream_protocol"}));
}
