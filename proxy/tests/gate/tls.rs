//! TLS towards clients and upstreams: certificates by name, client certificates, resumption, failed handshakes.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::sync::Arc;

use rustls::{ClientConfig, ClientConnection, StreamOwned};
use serde_json::json;
use tollgate_demo_ca::{DemoCa, Lifetime};
use tollgate_tls::{ClientAuth, Identity, Roots, TlsVersions};

use crate::rig::{Gate, PATIENCE, Setup, Upstream, assert_row, read_request};

const OK: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello";

fn client(roots: &Path, identity: Option<Identity>, alpn: &[&str]) -> Arc<ClientConfig> {
    tollgate_tls::install_provider();
    tollgate_tls::client(Some(roots), identity, alpn).unwrap()
}

/// Sends one request over TLS, and returns the answer or the error.
fn get(gate: &Gate, config: &Arc<ClientConfig>, name: &'static str, path: &str) -> std::io::Result<String> {
    let stream = TcpStream::connect(gate.tls)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    let connection = ClientConnection::new(config.clone(), name.try_into().unwrap()).unwrap();
    let mut stream = StreamOwned::new(connection, stream);
    write!(stream, "GET {path} HTTP/1.1\r\nhost: {name}\r\nconnection: close\r\n\r\n")?;
    let mut answer = Vec::new();
    let ended = stream.read_to_end(&mut answer);
    match answer.is_empty() {
        true => Err(ended.err().unwrap_or_else(|| std::io::ErrorKind::UnexpectedEof.into())),
        false => Ok(String::from_utf8_lossy(&answer).into_owned()),
    }
}

#[test]
fn a_client_certificate_is_in_the_record_also_when_the_session_is_resumed() {
    let gate = Gate::before(&Upstream::answering(OK), "");
    let issued = gate.ca.client("alice", "alice", &["alice.example.com"], Lifetime::days(3)).unwrap();
    let identity = issued.identity().unwrap();
    let expected = identity.certificate().clone();
    let config = client(gate.ca.roots(), Some(identity), &["http/1.1"]);
    assert!(get(&gate, &config, "localhost", "/secure").unwrap().starts_with("HTTP/1.1 200"));
    assert!(get(&gate, &config, "localhost", "/secure").unwrap().starts_with("HTTP/1.1 200"));
    let rows = gate.finish();
    assert_eq!(rows.len(), 2);
    let hex: String = expected.sha256.iter().map(|b| format!("{b:02x}")).collect();
    for (row, resumed) in rows.iter().zip([false, true]) {
        assert_row(
            row,
            json!({
                "tls.protocol.version": "1.3", "tls.resumed": resumed, "tls.client.server_name": null,
                "tollgate.tls_sni": "localhost", "tls.next_protocol": "http/1.1", "tollgate.mtls_verify": "success",
                "tls.client.hash.sha256": hex, "tls.client.subject": expected.subject,
                "tls.client.issuer": expected.issuer, "tollgate.client_cert_serial": expected.serial_hex,
                "tollgate.auth_pattern": "mtls", "tollgate.auth_result": "success", "user.name": "alice",
            }),
        );
        assert!(row["tls.cipher"].as_str().unwrap().starts_with("TLS_"));
        assert!(row["tls.client.not_after"].is_string());
    }
}

#[test]
fn without_a_certificate_a_route_that_needs_one_is_401() {
    let gate = Gate::before(&Upstream::answering(OK), "");
    let config = client(gate.ca.roots(), None, &[]);
    assert!(get(&gate, &config, "localhost", "/api").unwrap().starts_with("HTTP/1.1 200"));
    assert!(get(&gate, &config, "localhost", "/secure").unwrap().starts_with("HTTP/1.1 401"));
    let rows = gate.finish();
    assert_row(
        &rows[1],
        json!({
            "http.response.status_code": 401, "error.type": "auth", "tollgate.auth_pattern": "mtls",
            "tollgate.auth_result": "failed", "tollgate.auth_fail_reason": "missing", "tollgate.mtls_verify": "none",
            "tollgate.upstream_attempts": 0,
        }),
    );
}

#[test]
fn certificates_are_chosen_by_name() {
    let gate = Gate::before(&Upstream::answering(OK), "");
    let config = client(gate.ca.roots(), None, &[]);
    assert!(get(&gate, &config, "other.example.com", "/api").unwrap().starts_with("HTTP/1.1 200"));
    assert!(get(&gate, &config, "api.example.com", "/api").unwrap().starts_with("HTTP/1.1 200"));
    assert_eq!(gate.finish().len(), 2);
}

#[test]
fn failed_handshakes_leave_a_record_each() {
    let gate = Gate::with(&Setup {
        targets: &[format!("http://{}", Upstream::answering(OK).addr)],
        client_auth: "required",
        extra: "timeouts: {handshake: 300ms}",
        ..Setup::default()
    });
    let stranger = DemoCa::open(&gate.dir.path().join("stranger")).unwrap();
    let wrong = stranger.client("mallory", "mallory", &[], Lifetime::days(1)).unwrap().identity().unwrap();
    let old = gate.ca.client("old", "old", &[], Lifetime::expired()).unwrap().identity().unwrap();
    for identity in [None, Some(wrong), Some(old)] {
        assert!(get(&gate, &client(gate.ca.roots(), identity, &[]), "localhost", "/api").is_err());
    }
    let mut plain = TcpStream::connect(gate.tls).unwrap();
    plain.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
    let _answered_with_an_alert = plain.read_to_end(&mut Vec::new());
    let mut slow = TcpStream::connect(gate.tls).unwrap();
    slow.write_all(&[0x16]).unwrap();
    let _closed = slow.read_to_end(&mut Vec::new());
    // Without a byte there is no transaction, but the connection is closed all the same.
    let mut silent = TcpStream::connect(gate.tls).unwrap();
    assert_eq!(silent.read(&mut [0]).unwrap_or(0), 0);
    gate.rows(5);
    let reasons = gate.metric("tollgate_proxy_handshake_failures_total");
    assert_eq!(reasons, 5.0);
    let rows = gate.finish();
    assert_eq!(rows.len(), 5, "{rows:#?}");
    let reasons = ["missing", "cert_unknown_ca", "cert_expired"].map(|reason| json!(reason));
    for (row, reason) in rows.iter().zip(reasons.into_iter().chain([json!(null), json!(null)])) {
        assert_row(
            row,
            json!({
                "tollgate.kind": "handshake_failed", "error.type": "tls_handshake",
                "http.response.status_code": null, "tollgate.auth_fail_reason": reason,
            }),
        );
        assert!(row["error.message"].is_string());
    }
    assert_eq!(rows[0]["tollgate.tls_sni"], "localhost");
}

/// A TLS upstream that requires a client certificate of `ca`, and answers with the client's name.
fn tls_upstream(ca: &DemoCa, host: &'static str) -> Upstream {
    let identity = ca.server(&format!("up-{host}"), &[host], Lifetime::days(1)).unwrap().identity().unwrap();
    let clients = ClientAuth::Required(Roots::load(ca.roots()).unwrap());
    let config = tollgate_tls::server(vec![identity], clients, &["http/1.1"], TlsVersions::Tls12And13).unwrap();
    Upstream::start(move |mut stream, _| {
        let mut connection = rustls::ServerConnection::new(config.clone()).unwrap();
        while connection.is_handshaking() {
            if connection.complete_io(&mut stream).is_err() {
                return;
            }
        }
        let der = connection.peer_certificates().unwrap()[0].clone();
        let name = tollgate_tls::PeerCertificate::parse(&der).unwrap().common_name.unwrap();
        let mut stream = rustls::StreamOwned::new(connection, stream);
        let mut byte = [0];
        let mut head = Vec::new();
        loop {
            match stream.read(&mut byte) {
                Ok(1) => head.push(byte[0]),
                _ => return,
            }
            if head.ends_with(b"\r\n\r\n") {
                head.clear();
                let answer = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{name}", name.len());
                if stream.write_all(answer.as_bytes()).is_err() {
                    return;
                }
            }
        }
    })
}

#[test]
fn two_client_identities_never_share_an_upstream_connection() {
    let dir = tempfile::tempdir().unwrap();
    let ca = DemoCa::open(&dir.path().join("tls")).unwrap();
    ca.client("one", "one", &[], Lifetime::days(1)).unwrap();
    ca.client("two", "two", &[], Lifetime::days(1)).unwrap();
    let upstream = tls_upstream(&ca, "localhost");
    let target = format!("https://localhost:{}", upstream.addr.port());
    let tls = |name: &str| {
        format!("    tls: {{ca: tls/ca.pem, client: {{certificate: tls/{name}.pem, key: tls/{name}.key}}}}")
    };
    let service = format!("{}\n  - name: second\n    targets: [\"{target}\"]\n{}", tls("one"), tls("two"));
    let route = "  - {name: second, service: second, paths: [/second]}";
    let collector = crate::collector::Collector::start(&ca);
    let setup = Setup { targets: &[target], service: &service, route, ..Setup::default() };
    let gate = Gate::around(dir, ca, collector, &setup);
    for _ in 0..3 {
        assert!(gate.get("/api").ends_with("one"));
        assert!(gate.get("/second").ends_with("two"));
    }
    let rows = gate.finish();
    assert_eq!(upstream.connections.load(std::sync::atomic::Ordering::SeqCst), 2);
    assert!(rows[0]["tollgate.upstream_tls_us"].as_i64().is_some());
    assert_row(&rows[2], json!({"tollgate.upstream_reused": true, "tollgate.upstream_tls_us": null}));
}

#[test]
fn plain_requests_do_not_carry_forged_certificate_fields() {
    let upstream = Upstream::start(|mut stream, _| {
        let request = read_request(&mut stream).unwrap().to_ascii_lowercase();
        let verdict = if request.contains("x-client-cert") { "forged" } else { "clean!" };
        let _ = write!(stream, "HTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\n{verdict}");
    });
    let gate = Gate::before(&upstream, "");
    let answer =
        gate.exchange("GET /api HTTP/1.1\r\nHost: a\r\nX-Client-Cert-Subject: root\r\nConnection: close\r\n\r\n");
    assert!(answer.ends_with("clean!"));
    assert_eq!(gate.finish().len(), 1);
}
