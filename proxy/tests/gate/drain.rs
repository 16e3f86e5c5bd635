//! Connections that have begun no request when the drain begins.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use crate::floods::Client;
use crate::rig::{Gate, PATIENCE, Upstream, assert_row};

const OK: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello";

/// Waits until the listeners are closed.
async fn draining(gate: std::net::SocketAddr) {
    let closed = async {
        while TcpStream::connect(gate).is_ok() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(PATIENCE, closed).await.unwrap();
}

fn read_to_close(stream: &mut TcpStream) -> String {
    let mut text = Vec::new();
    let _reset_counts_as_end = stream.read_to_end(&mut text);
    String::from_utf8_lossy(&text).into_owned()
}

#[tokio::test]
async fn a_request_on_its_way_is_served() {
    let gate = Gate::before(&Upstream::answering(OK), "timeouts: {drain_first_request: 20s}");
    let (mut plain, mut http2) = (gate.connect(), Client::silent(&gate).await);
    // A connection that is served after it on the same thread proves that it is accepted.
    assert!(gate.get("/nowhere").starts_with("HTTP/1.1 404"));
    let addr = gate.plain;
    let stopping = std::thread::spawn(move || {
        let mut gate = gate;
        gate.stop(Duration::from_secs(60));
        gate.collector.rows()
    });
    draining(addr).await;
    assert!(http2.get_first().await, "HTTP/2");
    plain.write_all(b"GET /api HTTP/1.1\r\nhost: a\r\n\r\n").unwrap();
    assert!(read_to_close(&mut plain).ends_with("hello"), "HTTP/1.1");
    let rows = tokio::task::spawn_blocking(move || stopping.join().unwrap()).await.unwrap();
    assert_eq!(rows.len(), 3, "{rows:#?}");
    for row in &rows[1..] {
        assert_row(row, serde_json::json!({"http.response.status_code": 200, "tollgate.termination": "complete"}));
    }
}

#[tokio::test]
async fn who_says_nothing_is_closed() {
    let gate = Gate::before(&Upstream::answering(OK), "timeouts: {drain_first_request: 100ms}");
    let (mut plain, mut http2) = (gate.connect(), Client::silent(&gate).await);
    let stopping = std::thread::spawn(move || {
        let mut gate = gate;
        // Far longer than any wait in this test.
        gate.stop(Duration::from_secs(600));
        gate.collector.rows()
    });
    assert!(!http2.read_to_end().await);
    assert_eq!(read_to_close(&mut plain), "");
    let rows = tokio::task::spawn_blocking(move || stopping.join().unwrap()).await.unwrap();
    assert!(rows.is_empty(), "{rows:#?}");
}
