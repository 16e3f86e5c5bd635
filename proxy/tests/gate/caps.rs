//! Caps on connections and requests: each test lowers one and hits it.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use serde_json::json;

use crate::reload::{admin, keepalive_get};
use crate::rig::{Gate, PATIENCE, Setup, Upstream, assert_row, get_text, read_request, read_until};

const OK: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello";
const LIMITED: &str = r#""error":"rate_limited""#;

/// A gate with more keys of the plaintext listener, of the service, and of the whole.
fn gate(upstream: &Upstream, listener: &str, service: &str, extra: &str) -> Gate {
    let targets = [format!("http://{}", upstream.addr)];
    Gate::with(&Setup { targets: &targets, listener, service, extra, ..Setup::default() })
}

/// One GET that a trusted hop forwards for a client.
fn get_for(gate: &Gate, client: &str) -> String {
    let close = "connection: close";
    gate.exchange(&format!(
        "GET /api HTTP/1.1\r\nhost: api.example.com\r\nx-forwarded-for: {client}\r\n{close}\r\n\r\n"
    ))
}

/// One request in 1,000 s, the slowest rate: no test is slow enough to get another.
fn assert_limited(answer: &str) {
    assert!(answer.starts_with("HTTP/1.1 429 ") && answer.contains(LIMITED), "{answer}");
    let after = answer.split("\r\nretry-after: ").nth(1).unwrap().split("\r\n").next().unwrap();
    assert!((500..=1_000).contains(&after.parse::<u32>().unwrap()), "{after}");
}

/// Asserts that the proxy closed the connection without an answer.
fn is_closed(stream: &mut TcpStream) -> bool {
    matches!(stream.read(&mut [0]), Ok(0) | Err(_))
}

fn refused(gate: &Gate, cap: &str) -> bool {
    let line = format!(r#"tollgate_proxy_connections_refused_total{{cap="{cap}",listener="plain"}} 1"#);
    get_text(gate.admin, "/metrics").contains(&line)
}

/// Connects until the cap has room again.
fn served_again(gate: &Gate) {
    let until = Instant::now() + PATIENCE;
    while !gate.get("/api").ends_with("hello") {
        assert!(Instant::now() < until, "the place of a closed connection is not given back");
    }
}

#[test]
fn connections_of_a_listener() {
    let gate = gate(&Upstream::answering(OK), ", caps: {connections_max: 1}", "", "");
    let mut first = gate.connect();
    assert!(keepalive_get(&mut first, "/api").ends_with("hello"));
    assert!(is_closed(&mut gate.connect()));
    assert!(refused(&gate, "listener"));
    assert!(keepalive_get(&mut first, "/api").ends_with("hello"), "the first is served on");
    drop(first);
    served_again(&gate);
    assert_eq!(gate.finish().len(), 3, "a connection that is closed at once has no record");
}

#[test]
fn connections_of_a_client_but_not_of_a_trusted_hop() {
    let caps = ", caps: {client_connections_max: 1}";
    let gate = gate(&Upstream::answering(OK), caps, "", "forwarding: {trusted_hops: []}");
    let mut first = gate.connect();
    assert!(keepalive_get(&mut first, "/api").ends_with("hello"));
    assert!(is_closed(&mut gate.connect()));
    assert!(refused(&gate, "client"));
    gate.edit("trusted_hops: []", "trusted_hops: [127.0.0.1]");
    assert!(admin(gate.admin, "POST", "/reload").starts_with("HTTP/1.1 200"));
    assert!(gate.get("/api").ends_with("hello"), "many clients come from there");
    gate.edit("trusted_hops: [127.0.0.1]", "trusted_hops: []");
    assert!(admin(gate.admin, "POST", "/reload").starts_with("HTTP/1.1 200"));
    assert!(is_closed(&mut gate.connect()), "the count outlives reloads");
    drop(first);
    served_again(&gate);
    assert_eq!(gate.finish().len(), 3);
}

#[test]
fn requests_of_a_listener() {
    let caps = ", caps: {requests_per_second_max: 0.001, request_burst_max: 2}";
    let gate = gate(&Upstream::answering(OK), caps, "", "");
    let mut client = gate.connect();
    // Requests without a route count too.
    let answers: Vec<String> = ["/api", "/none", "/api"].map(|path| keepalive_get(&mut client, path)).into();
    assert!(answers[0].starts_with("HTTP/1.1 200") && answers[1].starts_with("HTTP/1.1 404"), "{answers:?}");
    assert_limited(&answers[2]);
    drop(client);
    let rows = gate.finish();
    assert_eq!(rows.len(), 3, "{rows:#?}");
    assert_row(
        &rows[2],
        json!({
            "http.response.status_code": 429, "error.type": "rate_limited", "tollgate.termination": "gateway",
            "tollgate.response_source": "gateway", "error.message": "listener plain is at its request rate",
            "tollgate.upstream_attempts": 0,
        }),
    );
}

#[test]
fn requests_of_a_service() {
    let upstream = Upstream::answering(OK);
    let gate = gate(&upstream, "", "    caps: {requests_per_second_max: 0.001, request_burst_max: 1}", "");
    assert!(gate.get("/api").ends_with("hello"));
    assert_limited(&gate.get("/api"));
    assert!(gate.get("/none").starts_with("HTTP/1.1 404"), "only the service is capped");
    let rows = gate.finish();
    assert_eq!(rows.len(), 3);
    let message = "service api is at its request rate";
    assert_row(&rows[1], json!({"error.type": "rate_limited", "error.message": message, "url.path": "/api"}));
}

#[test]
fn requests_of_a_client_by_the_address_that_a_trusted_hop_names() {
    let caps = "    caps: {client_requests_per_second_max: 0.001}";
    let gate = gate(&Upstream::answering(OK), "", caps, "forwarding: {trusted_hops: [127.0.0.1]}");
    for client in ["192.0.2.1", "192.0.2.2", "2001:db8::1"] {
        assert!(get_for(&gate, client).ends_with("hello"), "{client}");
    }
    for client in ["192.0.2.1", "2001:db8::2"] {
        assert_limited(&get_for(&gate, client));
    }
    let rows = gate.finish();
    assert_eq!(rows.len(), 5);
    let message = "the client is over its request rate for service api";
    for (row, client) in rows[3..].iter().zip(["192.0.2.1", "2001:db8::2"]) {
        let expected = json!({"error.type": "rate_limited", "error.message": message, "client.address": client});
        assert_row(row, expected);
    }
}

#[test]
fn a_table_of_clients_that_is_full_still_caps_those_who_owe_most() {
    let listener = ", caps: {client_requests_per_second_max: 0.001, client_request_burst_max: 2}";
    let extra = "forwarding: {trusted_hops: [127.0.0.1]}\nlimits: {clients_max: 8}";
    let gate = gate(&Upstream::answering(OK), listener, "", extra);
    let mut hop = gate.connect();
    let mut get = |client: String| {
        let request = format!("GET /api HTTP/1.1\r\nhost: a\r\nx-forwarded-for: {client}\r\n\r\n");
        hop.write_all(request.as_bytes()).unwrap();
        let head = read_until(&mut hop, "\r\n\r\n").unwrap();
        let length: usize =
            head.split("content-length: ").nth(1).unwrap().split("\r\n").next().unwrap().parse().unwrap();
        hop.read_exact(&mut vec![0; length]).unwrap();
        head.split(' ').nth(1).unwrap().to_owned()
    };
    let owing: Vec<String> = (0..2).map(|_| get("192.0.2.1".into())).collect();
    assert_eq!(owing, ["200", "200"]);
    let others: Vec<String> = (1..20).map(|nth| get(format!("198.51.100.{nth}"))).collect();
    assert!(others.iter().all(|status| status == "200"), "{others:?}");
    assert_eq!(get("192.0.2.1".into()), "429");
    drop(hop);
    assert_eq!(gate.finish().len(), 22);
}

#[test]
fn transactions_of_a_service_at_one_time() {
    let upstream = Upstream::start(|mut stream, nth| {
        while read_request(&mut stream).is_some() {
            // The first request is answered once its client has left.
            if nth == 0 {
                let _ = stream.read(&mut [0]);
                return;
            }
            let _ = stream.write_all(OK);
        }
    });
    let gate = gate(&upstream, "", "    caps: {concurrent_max: 1}", "");
    let mut first = gate.connect();
    first.write_all(b"GET /api/first HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
    let until = Instant::now() + PATIENCE;
    while upstream.connections.load(std::sync::atomic::Ordering::SeqCst) == 0 {
        assert!(Instant::now() < until);
        std::thread::sleep(Duration::from_millis(1));
    }
    let busy = gate.get("/api");
    assert!(
        busy.starts_with("HTTP/1.1 503") && busy.contains("\r\nretry-after: 1\r\n") && busy.contains(LIMITED),
        "{busy}"
    );
    drop(first);
    gate.rows(2);
    assert!(gate.get("/api").ends_with("hello"), "the place is given back with the record");
    let rows = gate.finish();
    assert_eq!(rows.len(), 3, "{rows:#?}");
    assert_row(
        &rows[0],
        json!({
            "http.response.status_code": 503, "error.type": "rate_limited", "tollgate.termination": "gateway",
            "error.message": "service api is at its concurrent_max of 1", "tollgate.upstream_attempts": 0,
        }),
    );
    assert_row(&rows[1], json!({"url.path": "/api/first", "tollgate.termination": "client"}));
}

#[test]
fn fields_of_a_head() {
    for (max, fields, status) in [(5, 5, 200), (5, 6, 431), (100, 101, 431), (150, 150, 200), (150, 151, 431)] {
        let gate = gate(&Upstream::answering(OK), "", "", &format!("limits: {{headers_max: {max}}}"));
        // Host and Connection count among them.
        let more: String = (2..fields).map(|nth| format!("x-{nth}: 1\r\n")).collect();
        let answer = gate.exchange(&format!("GET /api HTTP/1.1\r\nhost: a\r\nconnection: close\r\n{more}\r\n"));
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{fields} of {max}: {answer}");
        let class = (status == 431).then_some("too_large");
        assert_row(&gate.one_record(), json!({"http.response.status_code": status, "error.type": class}));
    }
}
