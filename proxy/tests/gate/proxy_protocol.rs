//! PROXY headers towards clients: which peers are trusted, what the record says, and which connections are closed.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Instant;

use rustls::{ClientConnection, StreamOwned};
use serde_json::{Value, json};

use crate::rig::{Gate, PATIENCE, Setup, Upstream, assert_row, get_text};

const OK: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello";
const GET: &[u8] = b"GET /api HTTP/1.1\r\nhost: api.example.com\r\nconnection: close\r\n\r\n";
const V1: &[u8] = b"PROXY TCP4 192.0.2.1 203.0.113.9 56324 443\r\n";
const SIGNATURE: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";

/// PROXY, TCP over IPv6, from [2001:db8::7]:4242 to [::1]:443, with a TLV of three bytes behind the addresses.
fn v2() -> Vec<u8> {
    let mut header = [SIGNATURE, &[0x21, 0x21, 0, 42, 0x20, 0x01, 0x0d, 0xb8], &[0; 11], &[7], &[0; 15], &[1]].concat();
    header.extend([0x10, 0x92, 1, 0xbb, 0x04, 0, 3, 1, 2, 3]);
    header
}

/// LOCAL: the connection is the front proxy's own.
fn local() -> Vec<u8> {
    [SIGNATURE, &[0x20, 0, 0, 0]].concat()
}

fn gate(upstream: &Upstream, accept: &str, service: &str, extra: &str) -> Gate {
    let listener = format!(", proxy_protocol: {accept}");
    let tls_listener = format!("    proxy_protocol: {accept}");
    let targets = [format!("http://{}", upstream.addr)];
    let (listener, tls_listener) = (listener.as_str(), tls_listener.as_str());
    Gate::with(&Setup { targets: &targets, listener, tls_listener, service, extra, ..Setup::default() })
}

const FROM_HERE: &str = "{from: [127.0.0.0/8]}";

/// Sends `bytes` in one piece, and reads to the end.
fn send(gate: &Gate, bytes: &[u8]) -> String {
    let mut stream = gate.connect();
    stream.write_all(bytes).unwrap();
    rest(&mut stream)
}

fn rest(stream: &mut impl Read) -> String {
    let mut answer = Vec::new();
    let _reset_counts_as_end = stream.read_to_end(&mut answer);
    String::from_utf8_lossy(&answer).into_owned()
}

fn is_from(row: &Value, client: &str, port: Option<u16>, source: &str) {
    assert_row(
        row,
        json!({
            "client.address": client, "client.port": port, "tollgate.client_ip_source": source,
            "network.peer.address": "127.0.0.1", "http.response.status_code": 200,
        }),
    );
}

fn refused(gate: &Gate, reason: &str) {
    let line = format!(r#"tollgate_proxy_headers_refused_total{{listener="plain",reason="{reason}"}} 1"#);
    let until = Instant::now() + PATIENCE;
    while !get_text(gate.admin, "/metrics").contains(&line) {
        assert!(Instant::now() < until, "{line}");
        std::thread::yield_now();
    }
}

#[test]
fn the_record_has_the_client_and_the_peer() {
    let gate = gate(&Upstream::answering(OK), FROM_HERE, "", "");
    for header in [V1.to_vec(), v2(), local(), b"PROXY UNKNOWN\r\n".to_vec()] {
        assert!(send(&gate, &[header.as_slice(), GET].concat()).ends_with("hello"));
    }
    let rows = gate.finish();
    assert_eq!(rows.len(), 4);
    is_from(&rows[0], "192.0.2.1", Some(56324), "proxy_protocol");
    is_from(&rows[1], "2001:db8::7", Some(4242), "proxy_protocol");
    for row in &rows[2..] {
        is_from(row, "127.0.0.1", row["client.port"].as_u64().map(|port| port as u16), "peer");
    }
}

#[test]
fn a_header_in_pieces() {
    let gate = gate(&Upstream::answering(OK), FROM_HERE, "", "");
    for header in [V1.to_vec(), v2()] {
        let mut stream = gate.connect();
        stream.set_nodelay(true).unwrap();
        for byte in [header.as_slice(), &GET[..10]].concat() {
            stream.write_all(&[byte]).unwrap();
            std::thread::yield_now();
        }
        stream.write_all(&GET[10..]).unwrap();
        assert!(rest(&mut stream).ends_with("hello"));
    }
    let rows = gate.finish();
    assert_eq!(rows.len(), 2);
    is_from(&rows[0], "192.0.2.1", Some(56324), "proxy_protocol");
    is_from(&rows[1], "2001:db8::7", Some(4242), "proxy_protocol");
}

#[test]
fn before_tls_too_and_in_the_record_of_a_failed_handshake() {
    let gate = gate(&Upstream::answering(OK), FROM_HERE, "", "");
    tollgate_tls::install_provider();
    let config = tollgate_tls::client(Some(gate.ca.roots()), None, &["http/1.1"]).unwrap();
    let connect = || {
        let mut stream = TcpStream::connect(gate.tls).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.write_all(&v2()).unwrap();
        stream
    };
    let connection = ClientConnection::new(config, "localhost".try_into().unwrap()).unwrap();
    let mut stream = StreamOwned::new(connection, connect());
    stream.write_all(&String::from_utf8_lossy(GET).replace("api.example.com", "localhost").into_bytes()).unwrap();
    assert!(rest(&mut stream).ends_with("hello"));
    let mut plain = connect();
    plain.write_all(GET).unwrap();
    rest(&mut plain);
    let rows = gate.finish();
    assert_eq!(rows.len(), 2);
    is_from(&rows[0], "2001:db8::7", Some(4242), "proxy_protocol");
    let client = json!({"client.address": "2001:db8::7", "client.port": 4242, "network.peer.address": "127.0.0.1"});
    assert_row(&rows[1], client);
    assert_eq!(rows[1]["tollgate.kind"], "handshake_failed", "{:#}", rows[1]);
}

#[test]
fn whoever_is_not_named_is_closed() {
    let gate = gate(&Upstream::answering(OK), "{from: [192.0.2.0/24]}", "", "");
    assert_eq!(send(&gate, &[V1, GET].concat()), "");
    refused(&gate, "untrusted");
    assert!(gate.finish().is_empty());
}

#[test]
fn what_is_no_header_is_closed() {
    let gate = gate(&Upstream::answering(OK), "{accept: v1, from: [127.0.0.0/8]}", "", "timeouts: {handshake: 10m}");
    // The connection closes at the first wrong byte, without a wait for more.
    assert_eq!(send(&gate, &SIGNATURE[..1]), "");
    refused(&gate, "malformed");
    // A client that connects and leaves only probes the port. One that has sent a byte is counted.
    drop(gate.connect());
    gate.connect().write_all(&V1[..8]).unwrap();
    refused(&gate, "closed");
    assert!(gate.finish().is_empty());
}

#[test]
fn a_header_has_a_deadline() {
    let gate = gate(&Upstream::answering(OK), FROM_HERE, "", "timeouts: {handshake: 50ms}");
    let mut stream = gate.connect();
    stream.write_all(&V1[..8]).unwrap();
    assert_eq!(rest(&mut stream), "");
    refused(&gate, "timeout");
    assert!(gate.finish().is_empty());
}

#[test]
fn upstreams_are_told_of_the_client() {
    let upstream = Upstream::echo();
    let gate = gate(&upstream, FROM_HERE, "    proxy_protocol: v1", "");
    let answer = send(&gate, &[V1, GET].concat());
    let heard = answer.split("\r\n\r\n").nth(1).unwrap();
    // The header as it came.
    assert!(heard.as_bytes().starts_with(V1), "{answer}");
    assert!(answer.contains("x-forwarded-for: 192.0.2.1\r\n"), "{answer}");
    gate.finish();
}

#[test]
fn trusted_hops_are_those_of_the_header() {
    let hops = "forwarding: {trusted_hops: [192.0.2.0/24]}";
    let gate = gate(&Upstream::answering(OK), FROM_HERE, "", hops);
    let request = "GET /api HTTP/1.1\r\nhost: a\r\nx-forwarded-for: 198.51.100.4\r\nconnection: close\r\n\r\n";
    for header in [V1.to_vec(), v2()] {
        assert!(send(&gate, &[&header, request.as_bytes()].concat()).ends_with("hello"));
    }
    let rows = gate.finish();
    is_from(&rows[0], "198.51.100.4", None, "xff");
    is_from(&rows[1], "2001:db8::7", Some(4242), "proxy_protocol");
}

#[test]
fn connections_are_capped_by_the_client_of_the_header() {
    let accept = "{from: [127.0.0.0/8]}, caps: {client_connections_max: 1}";
    let targets = [format!("http://{}", Upstream::answering(OK).addr)];
    let listener = format!(", proxy_protocol: {accept}");
    let gate = Gate::with(&Setup { targets: &targets, listener: &listener, ..Setup::default() });
    let keepalive = b"GET /api HTTP/1.1\r\nhost: a\r\n\r\n";
    let mut first = gate.connect();
    first.write_all(&[V1, keepalive].concat()).unwrap();
    crate::rig::read_until(&mut first, "hello").unwrap();
    assert_eq!(send(&gate, &[V1, GET].concat()), "", "the second of the same client");
    assert!(send(&gate, &[v2().as_slice(), GET].concat()).ends_with("hello"), "another client's");
    assert_eq!(gate.metric("tollgate_proxy_connections_refused_total"), 1.0);
    drop(first);
    assert_eq!(gate.finish().len(), 2);
}

#[test]
fn nobody_is_an_error_of_the_configuration() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("gate.yaml");
    let text = |accept: &str| {
        format!(
            "node_id: a\nlisteners: [{{name: a, address: \"127.0.0.1:0\", proxy_protocol: {accept}}}]\n\
             services: [{{name: a, targets: [\"http://127.0.0.1:1\"]}}]\nroutes: [{{name: a, service: a}}]\n\
             records: {{enabled: false}}\n"
        )
    };
    let load = |accept: &str| {
        std::fs::write(&file, text(accept)).unwrap();
        tollgate_proxy::plan::RuntimeConfig::load(&file).map(|_| ()).map_err(|error| error.to_string())
    };
    load("{accept: v2, from: [10.0.0.0/8, \"::1\"]}").unwrap();
    for (accept, expected) in [
        ("{from: []}", "nobody may connect"),
        ("{from: [ten]}", "is not a network"),
        ("{}", "from"),
        ("{accept: v3, from: [::/0]}", "v3"),
    ] {
        let error = load(accept).unwrap_err();
        assert!(error.contains(expected), "{error}");
    }
}
