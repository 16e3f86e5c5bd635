//! Upstream connections: who shares them, for how long, and how many there may be.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

use proptest::prelude::*;
use serde_json::json;
use tollgate_demo_ca::{DemoCa, Lifetime};
use tollgate_proxy::plan::RuntimeConfig;
use tollgate_tls::{ClientAuth, TlsVersions};

use crate::rig::{Gate, PATIENCE, Setup, Upstream, assert_row, get_text, read_request};
use crate::upstream_rig::{eventually, post, status_of};

const OK: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello";

fn opened(upstream: &Upstream) -> usize {
    upstream.connections.load(Ordering::SeqCst)
}

/// An upstream that reports when a request has arrived, and answers when the test says so.
pub fn held() -> (Upstream, Receiver<()>, SyncSender<()>) {
    let (came, heard) = sync_channel(64);
    let (go, told) = sync_channel::<()>(64);
    let told = std::sync::Mutex::new(told);
    let upstream = Upstream::start(move |mut stream, _| {
        while read_request(&mut stream).is_some() {
            came.send(()).unwrap();
            if told.lock().unwrap().recv_timeout(PATIENCE).is_err() || stream.write_all(OK).is_err() {
                return;
            }
        }
    });
    (upstream, heard, go)
}

#[test]
fn who_finds_all_connections_in_use_waits_for_one() {
    let (upstream, came, go) = held();
    let gate = Gate::before(&upstream, "limits: {upstream_connections_max: 1}\ntimeouts: {upstream_pending: 10s}");
    std::thread::scope(|scope| {
        let clients: Vec<_> = (0..3).map(|_| scope.spawn(|| gate.get("/api"))).collect();
        for _ in 0..3 {
            came.recv_timeout(PATIENCE).unwrap();
            go.send(()).unwrap();
        }
        clients.into_iter().for_each(|client| assert!(client.join().unwrap().ends_with("hello")));
    });
    assert_eq!(opened(&upstream), 1);
    assert_eq!(gate.finish().len(), 3);
}

#[test]
fn who_waits_too_long_or_is_one_too_many_is_refused() {
    for (limits, detail) in [
        ("limits: {upstream_connections_max: 1}\ntimeouts: {upstream_pending: 50ms}", "none became free in time"),
        ("limits: {upstream_connections_max: 1, upstream_pending_max: 0}", "0 requests wait"),
    ] {
        let (upstream, came, go) = held();
        let gate = Gate::before(&upstream, limits);
        std::thread::scope(|scope| {
            let first = scope.spawn(|| gate.get("/api"));
            came.recv_timeout(PATIENCE).unwrap();
            assert_eq!(status_of(&gate.get("/api")), "503");
            go.send(()).unwrap();
            assert!(first.join().unwrap().ends_with("hello"));
        });
        let rows = gate.finish();
        let refused = rows.iter().find(|row| row["http.response.status_code"] == 503).unwrap();
        assert_row(refused, json!({"error.type": "no_healthy_upstream", "tollgate.termination": "gateway"}));
        assert!(refused["error.message"].as_str().unwrap().contains(detail), "{refused:#}");
    }
}

#[test]
fn a_connection_serves_as_many_requests_as_it_may_and_lives_as_long() {
    for (setting, expected) in [
        ("limits: {upstream_requests_per_connection_max: 2}", 3),
        ("timeouts: {upstream_age: 0s}", 5),
        ("limits: {upstream_idle_max: 0}", 5),
        ("limits: {}", 1),
    ] {
        let upstream = Upstream::answering(OK);
        let gate = Gate::before(&upstream, setting);
        (0..5).for_each(|_| assert!(gate.get("/api").ends_with("hello")));
        assert_eq!(opened(&upstream), expected, "{setting}");
        assert_eq!(gate.finish().len(), 5);
    }
}

#[test]
fn idle_connections_are_closed_in_time() {
    let upstream = Upstream::answering(OK);
    let gate = Gate::before(&upstream, "timeouts: {upstream_idle: 50ms}");
    assert!(gate.get("/api").ends_with("hello"));
    eventually("it is closed", || get_text(gate.admin, "/upstreams").contains("\"connections\":0"));
}

#[test]
fn connections_are_made_ready_ahead() {
    let upstream = Upstream::answering(OK);
    let targets = [format!("http://{}", upstream.addr)];
    let gate = Gate::with(&Setup { targets: &targets, service: "    warm_connections: 2", ..Setup::default() });
    eventually("two are ready", || get_text(gate.admin, "/upstreams").contains("\"connections\":2"));
    assert!(gate.get("/api").ends_with("hello"));
    assert_eq!(opened(&upstream), 2);
    assert_row(&gate.one_record(), json!({"tollgate.upstream_reused": true, "tollgate.upstream_connect_us": null}));
}

#[test]
fn upstreams_behind_unix_sockets_and_ipv6() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("up.sock");
    let listener = std::os::unix::net::UnixListener::bind(&path).unwrap();
    std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut bytes = Vec::new();
        for _ in 0..2 {
            bytes.clear();
            let mut byte = [0];
            while !bytes.ends_with(b"\r\n\r\n") {
                stream.read_exact(&mut byte).unwrap();
                bytes.push(byte[0]);
            }
            assert!(String::from_utf8_lossy(&bytes).contains("\r\nhost: localhost\r\n"));
            stream.write_all(OK).unwrap();
        }
    });
    let target = format!("unix:{}", path.display());
    let gate = Gate::with(&Setup { targets: std::slice::from_ref(&target), ..Setup::default() });
    (0..2).for_each(|_| assert!(gate.get("/api").ends_with("hello")));
    let rows = gate.finish();
    assert_row(
        &rows[1],
        json!({
            "tollgate.upstream_addr": target, "tollgate.upstream_reused": true, "tollgate.upstream_dns_us": null,
            "tollgate.termination": "complete",
        }),
    );
    let gone = Gate::with(&Setup { targets: &[format!("unix:{}/gone", dir.path().display())], ..Setup::default() });
    assert_eq!(status_of(&gone.get("/api")), "502");
    assert_row(&gone.one_record(), json!({"error.type": "connect_refused", "tollgate.upstream_attempts": 1}));

    let Ok(listener) = TcpListener::bind("[::1]:0") else {
        assert!(std::env::var_os("CI").is_none(), "this machine has no IPv6");
        eprintln!("SKIPPED the part over IPv6: this machine has none");
        return;
    };
    let addr = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        read_request(&mut stream);
        stream.write_all(OK).unwrap();
    });
    let gate = Gate::with(&Setup { targets: &[format!("http://{addr}")], ..Setup::default() });
    assert!(gate.get("/api").ends_with("hello"));
    assert_row(&gate.one_record(), json!({"tollgate.upstream_addr": addr.to_string()}));
}

#[test]
fn upstreams_are_told_of_the_client_and_each_client_has_connections_of_its_own() {
    let upstream = Upstream::start(|mut stream, _| {
        let line = crate::rig::read_until(&mut stream, "\r\n").unwrap();
        while read_request(&mut stream).is_some() {
            let answer = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{line}", line.len());
            if stream.write_all(answer.as_bytes()).is_err() {
                return;
            }
        }
    });
    let targets = [format!("http://{}", upstream.addr)];
    let gate = Gate::with(&Setup { targets: &targets, service: "    proxy_protocol: v1", ..Setup::default() });
    let mut clients = [gate.connect(), gate.connect()];
    for _ in 0..2 {
        for client in &mut clients {
            let (from, to) = (client.local_addr().unwrap().port(), gate.plain.port());
            client.write_all(b"GET /api HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
            crate::rig::read_until(client, "\r\n\r\n").unwrap();
            let line = crate::rig::read_until(client, "\r\n").unwrap();
            assert_eq!(line, format!("PROXY TCP4 127.0.0.1 127.0.0.1 {from} {to}\r\n"));
        }
    }
    assert_eq!(opened(&upstream), 2, "one for each client, used twice");
    drop(clients);
    assert_eq!(gate.finish().len(), 4);
}

#[test]
fn version_2_goes_before_tls_does() {
    let dir = tempfile::tempdir().unwrap();
    let ca = DemoCa::open(&dir.path().join("tls")).unwrap();
    let identity = ca.server("up", &["localhost"], Lifetime::days(1)).unwrap().identity().unwrap();
    let config = tollgate_tls::server(vec![identity], ClientAuth::None, &[], TlsVersions::Tls12And13).unwrap();
    let upstream = Upstream::start(move |mut stream, _| {
        let mut header = [0; 28];
        stream.read_exact(&mut header).unwrap();
        assert_eq!(&header[..16], b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c");
        let connection = rustls::ServerConnection::new(config.clone()).unwrap();
        let mut stream = rustls::StreamOwned::new(connection, stream);
        let mut head = Vec::new();
        let mut byte = [0];
        while !head.ends_with(b"\r\n\r\n") {
            stream.read_exact(&mut byte).unwrap();
            head.push(byte[0]);
        }
        stream.write_all(OK).unwrap();
    });
    let targets = [format!("https://localhost:{}", upstream.addr.port())];
    let collector = crate::collector::Collector::start(&ca);
    let service = "    proxy_protocol: v2\n    tls: {ca: tls/ca.pem}";
    let gate = Gate::around(dir, ca, collector, &Setup { targets: &targets, service, ..Setup::default() });
    assert!(gate.get("/api").ends_with("hello"));
    assert_eq!(gate.finish().len(), 1);
}

/// A TLS upstream that answers with the server name of the handshake.
fn named_upstream(ca: &DemoCa) -> Upstream {
    let names = ["localhost", "one.example.com", "two.example.com"];
    let identity = ca.server("up", &names, Lifetime::days(1)).unwrap().identity().unwrap();
    let config = tollgate_tls::server(vec![identity], ClientAuth::None, &[], TlsVersions::Tls12And13).unwrap();
    Upstream::start(move |mut stream, _| {
        let mut connection = rustls::ServerConnection::new(config.clone()).unwrap();
        while connection.is_handshaking() {
            if connection.complete_io(&mut stream).is_err() {
                return;
            }
        }
        let name = connection.server_name().unwrap_or("none").to_owned();
        let mut stream = rustls::StreamOwned::new(connection, stream);
        let mut head = Vec::new();
        let mut byte = [0];
        while let Ok(1) = stream.read(&mut byte) {
            head.push(byte[0]);
            if head.ends_with(b"\r\n\r\n") {
                head.clear();
                let _ = write!(stream, "HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{name}", name.len());
            }
        }
    })
}

/// A gate whose services `api` and `second` reach the same upstream under different TLS keys.
fn two_ways(first: &str, second: &str) -> (Gate, Upstream) {
    let dir = tempfile::tempdir().unwrap();
    let ca = DemoCa::open(&dir.path().join("tls")).unwrap();
    let stranger = DemoCa::open(&dir.path().join("stranger")).unwrap();
    let upstream = named_upstream(&ca);
    drop(stranger);
    let target = format!("https://localhost:{}", upstream.addr.port());
    let service = format!("    tls: {first}\n  - name: second\n    targets: [\"{target}\"]\n    tls: {second}");
    let route = "  - {name: second, service: second, paths: [/second]}";
    let collector = crate::collector::Collector::start(&ca);
    let setup = Setup { targets: &[target], service: &service, route, ..Setup::default() };
    (Gate::around(dir, ca, collector, &setup), upstream)
}

#[test]
fn two_server_names_never_share_a_connection() {
    let (gate, upstream) =
        two_ways("{ca: tls/ca.pem, server_name: one.example.com}", "{ca: tls/ca.pem, server_name: two.example.com}");
    for _ in 0..3 {
        assert!(gate.get("/api").ends_with("one.example.com"));
        assert!(gate.get("/second").ends_with("two.example.com"));
    }
    assert_eq!(opened(&upstream), 2);
}

#[test]
fn who_verifies_never_uses_the_connection_of_who_does_not() {
    // The second service trusts another authority: only a connection of the first could serve it.
    let (gate, upstream) = two_ways("{ca: stranger/ca.pem, verify: none}", "{ca: stranger/ca.pem}");
    for _ in 0..3 {
        assert!(gate.get("/api").ends_with("localhost"));
        assert_eq!(status_of(&gate.get("/second")), "502");
    }
    assert!(opened(&upstream) >= 4);
    let rows = gate.finish();
    assert_row(&rows[1], json!({"error.type": "upstream_tls", "tollgate.upstream_reused": false}));
    let detail = rows[1]["error.message"].as_str().unwrap();
    assert!(detail.contains("as localhost failed (unknown_ca") || detail.contains("as localhost failed"), "{detail}");
}

#[test]
fn an_answer_is_never_somebody_elses() {
    // The first connection goes on with the answer to a client that has left. The second client must not see it.
    let (told, heard) = sync_channel(1);
    let (left, go_on) = sync_channel(1);
    let go_on = std::sync::Mutex::new(go_on);
    let upstream = Upstream::start(move |mut stream, nth| {
        while let Some(request) = read_request(&mut stream) {
            let path = request.split(' ').nth(1).unwrap().to_owned();
            if nth == 0 {
                let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nbegun");
                let _ = told.try_send(());
                let _ = go_on.lock().unwrap().recv_timeout(PATIENCE);
                let _ = stream.write_all(&[b'x'; 95]);
            } else {
                let _ = write!(stream, "HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{path}", path.len());
            }
        }
    });
    let gate = Gate::before(&upstream, "");
    let mut leaving = gate.connect();
    leaving.write_all(b"GET /api/first HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
    heard.recv_timeout(PATIENCE).unwrap();
    crate::rig::read_until(&mut leaving, "begun").unwrap();
    drop(leaving);
    gate.rows(1);
    left.send(()).unwrap();
    for path in ["/api/second", "/api/third"] {
        let answer = gate.get(path);
        assert!(answer.ends_with(path), "{answer}");
    }
    assert_eq!(opened(&upstream), 2, "what was broken off is not used again");
}

#[test]
fn an_upload_that_the_answer_overtook_leaves_no_connection_behind() {
    let upstream = Upstream::start(|mut stream, _| {
        crate::rig::read_until(&mut stream, "\r\n\r\n");
        let _ = stream.write_all(OK);
        let _ = stream.read_to_end(&mut Vec::new());
    });
    let gate = Gate::before(&upstream, "");
    for _ in 0..2 {
        let mut stream = gate.connect();
        stream.write_all(b"POST /api HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\n01").unwrap();
        crate::rig::read_until(&mut stream, "hello").unwrap();
        let _the_gate_may_have_closed = stream.write_all(b"23456789");
    }
    assert_eq!(opened(&upstream), 2);
    assert_eq!(post(&gate, "").split(' ').nth(1), Some("200"));
}

/// A service's ways to reach an upstream, each part from a small set.
#[derive(Debug, Clone, PartialEq)]
struct Way {
    host: usize,
    port: u16,
    https: bool,
    ca: usize,
    client: usize,
    server_name: usize,
    verify: bool,
    protocol: usize,
    proxy_protocol: usize,
}

impl Way {
    fn yaml(&self, name: &str) -> String {
        let host = ["a.example.com", "b.example.com"][self.host];
        let (scheme, tls) = match self.https {
            true => ("https", format!("\n    tls: {{{}}}", self.tls())),
            false => ("http", String::new()),
        };
        format!(
            "  - name: {name}\n    targets: [\"{scheme}://{host}:{}\"]\n    protocol: {}\n    proxy_protocol: {}{tls}\n",
            self.port,
            ["http1", "http2", "auto"][self.protocol],
            ["none", "v1", "v2"][self.proxy_protocol],
        )
    }

    fn tls(&self) -> String {
        let mut keys = vec![format!("ca: {}/ca.pem", ["tls", "stranger"][self.ca])];
        if self.client > 0 {
            keys.push(format!("client: {{certificate: tls/c{0}.pem, key: tls/c{0}.key}}", self.client));
        }
        if self.server_name > 0 {
            keys.push(format!("server_name: s{}.example.com", self.server_name));
        }
        if !self.verify {
            keys.push("verify: none".into());
        }
        keys.join(", ")
    }

    /// The parts that have an effect, the others made equal.
    fn canonical(&self) -> Self {
        match self.https {
            true => self.clone(),
            // Nothing of TLS matters, and in plaintext nothing is negotiated.
            false => {
                Self { ca: 0, client: 0, server_name: 0, verify: true, protocol: self.protocol % 2, ..self.clone() }
            }
        }
    }
}

fn ways() -> impl Strategy<Value = Way> {
    let names = (0..2usize, 0..2usize, 0..3usize, 0..3usize);
    (names, 1u16..3, any::<bool>(), any::<bool>(), 0..3usize, 0..3usize).prop_map(
        |((host, ca, client, server_name), port, https, verify, protocol, proxy_protocol)| Way {
            host,
            port,
            https,
            ca,
            client,
            server_name,
            verify,
            protocol,
            proxy_protocol,
        },
    )
}

/// The second differs from the first in a few parts at most, so that equal pairs are not rare.
fn pairs() -> impl Strategy<Value = (Way, Way)> {
    (ways(), ways(), any::<[bool; 9]>(), any::<[bool; 9]>()).prop_map(|(first, other, a, b)| {
        let take: Vec<bool> = a.iter().zip(b).map(|(a, b)| *a && b).collect();
        let second = Way {
            host: if take[0] { other.host } else { first.host },
            port: if take[1] { other.port } else { first.port },
            https: if take[2] { other.https } else { first.https },
            ca: if take[3] { other.ca } else { first.ca },
            client: if take[4] { other.client } else { first.client },
            server_name: if take[5] { other.server_name } else { first.server_name },
            verify: if take[6] { other.verify } else { first.verify },
            protocol: if take[7] { other.protocol } else { first.protocol },
            proxy_protocol: if take[8] { other.proxy_protocol } else { first.proxy_protocol },
        };
        (first, second)
    })
}

#[test]
fn two_services_share_connections_exactly_when_all_parts_of_their_way_are_equal() {
    let dir = tempfile::tempdir().unwrap();
    let ca = DemoCa::open(&dir.path().join("tls")).unwrap();
    DemoCa::open(&dir.path().join("stranger")).unwrap();
    for name in ["c1", "c2"] {
        ca.client(name, name, &[], Lifetime::days(1)).unwrap();
    }
    proptest!(ProptestConfig::with_cases(300), |((first, second) in pairs())| {
        let text = format!(
            "node_id: a\nlisteners: [{{name: plain, address: \"127.0.0.1:0\"}}]\nservices:\n{}{}routes: [{{name: r, service: first}}]\nrecords: {{spool: {{dir: spool}}}}\n",
            first.yaml("first"), second.yaml("second"),
        );
        let plan = RuntimeConfig::parse(&dir.path().join("gate.yaml"), text.clone());
        let plan = plan.map_err(|error| TestCaseError::fail(format!("{error}\n{text}")))?;
        let shared = plan.services[0].targets[0].upstream == plan.services[1].targets[0].upstream;
        prop_assert_eq!(shared, first.canonical() == second.canonical());
        prop_assert_eq!(plan.upstreams.len(), if shared { 1 } else { 2 });
        prop_assert_eq!(plan.upstreams[0].key == plan.upstreams[plan.upstreams.len() - 1].key, shared);
    });
}
