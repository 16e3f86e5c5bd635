//! Attacks by a client, or by a page in an operator's browser.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::Mutex;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{SyncSender, sync_channel};

use serde_json::json;
use tollgate_demo_ca::{DemoCa, Lifetime};
use tollgate_proxy::plan::RuntimeConfig;
use tollgate_tls::{ClientAuth, TlsVersions};

use crate::reload::{admin, keepalive_get};
use crate::rig::{Gate, PATIENCE, Setup, Upstream, assert_row, get_text, read_request, read_until};
use crate::upstream_rig::{H2Upstream, body_of, eventually, ok, post, status_of};

const OK: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nhi";

#[test]
fn a_plaintext_connection_does_not_outlive_the_listeners_change_to_mutual_tls() {
    let upstream = Upstream::answering(OK);
    let gate = Gate::before(&upstream, "");
    let mut client = gate.connect();
    assert_eq!(status_of(&keepalive_get(&mut client, "/api")), "200");
    let tls = "tls: {certificates: [{certificate: tls/gate.pem, key: tls/gate.key}], client_auth: required, client_ca: tls/ca.pem}";
    gate.edit("{name: plain, address: \"127.0.0.1:0\"}", &format!("{{name: plain, address: \"127.0.0.1:0\", {tls}}}"));
    assert_eq!(status_of(&admin(gate.admin, "POST", "/reload")), "200");
    let answer = keepalive_get(&mut client, "/api");
    assert_eq!(status_of(&answer), "421", "{answer}");
    assert!(answer.to_ascii_lowercase().contains("connection: close"), "{answer}");
}

#[test]
fn check_warns_of_hosts_that_are_served_and_not_asked_for_a_certificate() {
    let tls = "      names: [{names: [\"*.example.org\"], client_auth: required, client_ca: tls/ca.pem}]";
    let route = "  - {name: wide, service: api, paths: [\"/x\"], hosts: [\"*.Example.org\"]}";
    let targets = ["http://127.0.0.1:1".to_owned()];
    let gate = Gate::with(&Setup { targets: &targets, tls, route, ..Setup::default() });
    let warnings = || RuntimeConfig::check(&gate.dir.path().join("gate.yaml")).unwrap().1;
    let about = |what: &str| warnings().iter().filter(|problem| problem.to_string().contains(what)).count();
    assert_eq!(about("require_client_cert"), 1, "{:?}", warnings());
    gate.edit("hosts: [\"*.Example.org\"]", "hosts: [\"*.Example.org\"], require_client_cert: true");
    assert_eq!(about("require_client_cert"), 0);
}

#[test]
fn a_client_that_is_slow_to_send_its_body_puts_no_target_out() {
    let upstreams = [(); 2].map(|()| Upstream::answering(OK));
    let targets: Vec<String> = upstreams.iter().map(|upstream| format!("http://{}", upstream.addr)).collect();
    let (service, route) = ("    health: {passive: {failures: 1}}", "    timeouts: {total: 300ms}");
    let gate = Gate::with(&Setup { targets: &targets, service, route, ..Setup::default() });
    let answer = gate.exchange("POST /api HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhel");
    assert_eq!(status_of(&answer), "408", "{answer}");
    let states = get_text(gate.admin, "/upstreams");
    assert!(!states.contains("\"ejected\""), "{states}");
    assert_row(&gate.one_record(), json!({"error.type": "bad_request", "tollgate.termination": "gateway"}));
}

#[test]
fn what_is_kept_to_be_sent_again_counts_what_keeping_it_takes() {
    let upstream = H2Upstream::start(
        |_| {},
        |mut connection, _, streams| async move {
            while let Some(Ok((mut request, mut respond))) = connection.accept().await {
                let first = streams.fetch_add(1, Ordering::SeqCst) == 0;
                tokio::task::spawn_local(async move {
                    match first {
                        true => {
                            // Only once the body has arrived.
                            while request.body_mut().data().await.is_some() {}
                            respond.send_reset(h2::Reason::REFUSED_STREAM);
                        }
                        false => ok(respond, body_of(request).await),
                    }
                });
            }
        },
    );
    let (service, extra) = ("    protocol: http2", "retries: {replay_bytes_max: 2 KiB}");
    let gate = Gate::with(&Setup { targets: &[upstream.url()], service, extra, ..Setup::default() });
    let crumbs = "1\r\nx\r\n".repeat(100);
    let head = "POST /api HTTP/1.1\r\nHost: a\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n";
    let answer = gate.exchange(&format!("{head}{crumbs}0\r\n\r\n"));
    assert_eq!(status_of(&answer), "502", "{answer}");
    assert!(post(&gate, &"x".repeat(100)).contains("xxx"));
}

#[test]
fn a_target_without_a_path_is_a_path_for_http2_upstreams_too() {
    let upstream = H2Upstream::answering(|request, respond| async move {
        ok(respond, format!("{} {}", request.method(), request.uri()));
    });
    let (service, route) = ("    protocol: http2", "  - {name: all, service: api, paths: [\"/\"]}");
    let gate = Gate::with(&Setup { targets: &[upstream.url()], service, route, ..Setup::default() });
    let answer = gate.exchange("GET http://a?x=1 HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    assert!(answer.contains("/?x=1"), "{answer}");
}

/// The status of a request to the admin endpoint with these fields.
fn asked(gate: &Gate, request: &str, fields: &str) -> String {
    let mut stream = TcpStream::connect(gate.admin).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    write!(stream, "{request} HTTP/1.1\r\nhost: admin\r\n{fields}connection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    status_of(&answer).to_owned()
}

#[test]
fn a_page_in_a_browser_cannot_have_the_proxy_do_anything() {
    let gate = Gate::before(&Upstream::answering(OK), "");
    for field in ["Origin: http://evil.example\r\n", "Origin: null\r\n", "Sec-Fetch-Site: cross-site\r\n"] {
        assert_eq!(asked(&gate, "POST /reload", field), "403", "{field}");
        assert_eq!(asked(&gate, "PUT /log-level", field), "403", "{field}");
    }
    assert_eq!(gate.metric("tollgate_proxy_reloads_total"), 0.0);
    assert_eq!(asked(&gate, "POST /reload", ""), "200");
}

#[test]
fn connections_that_upstreams_authenticate_serve_one_request() {
    let upstream = Upstream::start(|mut stream, _| {
        // NTLM authenticates the connection: every later request on it counts as the first client's.
        let mut user = "nobody";
        while let Some(request) = read_request(&mut stream) {
            let status = match request.to_ascii_lowercase().contains("authorization: negotiate") {
                true => "200 OK",
                false if request.contains("/challenge") => "401 Unauthorized\r\nwww-authenticate: NTLM",
                false => "200 OK",
            };
            let answer = format!("HTTP/1.1 {status}\r\ncontent-length: {}\r\n\r\n{user}", user.len());
            if stream.write_all(answer.as_bytes()).is_err() {
                return;
            }
            user = "alice";
        }
    });
    for first in ["/api\r\nAuthorization: Negotiate YII=", "/api/challenge"] {
        let gate = Gate::before(&upstream, "");
        let (path, fields) = first.split_once("\r\n").unwrap_or((first, "X-A: b"));
        let head = format!("GET {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n{fields}\r\n\r\n");
        gate.exchange(&head);
        let answer = gate.get("/api");
        assert!(answer.ends_with("nobody"), "{first}: {answer}");
    }
}

/// An upstream that answers with the PROXY header (version 1) of its connection.
fn told() -> Upstream {
    Upstream::start(|mut stream, _| {
        let Some(line) = read_until(&mut stream, "\r\n") else { return };
        while read_request(&mut stream).is_some() {
            let answer = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{line}", line.len());
            if stream.write_all(answer.as_bytes()).is_err() {
                return;
            }
        }
    })
}

#[test]
fn a_connection_that_names_a_destination_serves_no_client_of_another() {
    let targets = [format!("http://{}", told().addr)];
    let (service, listener) = ("    proxy_protocol: v1", ", proxy_protocol: {from: [127.0.0.0/8]}");
    let gate = Gate::with(&Setup { targets: &targets, service, listener, ..Setup::default() });
    for port in [443, 8443, 443] {
        let header = format!("PROXY TCP4 192.0.2.1 203.0.113.9 56324 {port}\r\n");
        let get = "GET /api HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
        let answer = gate.exchange(&format!("{header}{get}"));
        assert!(answer.ends_with(&header), "{header} {answer}");
    }
}

/// A TLS upstream whose first handshake never ends while the last of these is held, and a gate before it, with a route
/// `/hasty`.
fn first_hangs(service: &str, alpn: &'static [&'static str], header: bool) -> (Gate, Upstream, SyncSender<()>) {
    let dir = tempfile::tempdir().unwrap();
    let ca = DemoCa::open(&dir.path().join("tls")).unwrap();
    let identity = ca.server("up", &["localhost"], Lifetime::days(1)).unwrap().identity().unwrap();
    let config = tollgate_tls::server(vec![identity], ClientAuth::None, alpn, TlsVersions::Tls12And13).unwrap();
    let (held, hold) = sync_channel::<()>(0);
    let hold = Mutex::new(hold);
    let upstream = Upstream::start(move |mut stream, nth| {
        if header && read_until(&mut stream, "\r\n").is_none() {
            return;
        }
        if nth == 0 {
            let _over = hold.lock().unwrap().recv();
            return;
        }
        let mut stream = rustls::StreamOwned::new(rustls::ServerConnection::new(config.clone()).unwrap(), stream);
        let (mut head, mut byte) = (Vec::new(), [0]);
        while !head.ends_with(b"\r\n\r\n") && stream.read_exact(&mut byte).is_ok() {
            head.push(byte[0]);
        }
        stream.write_all(OK).unwrap();
    });
    let targets = [format!("https://localhost:{}", upstream.addr.port())];
    let collector = crate::collector::Collector::start(&ca);
    let route = "  - {name: hasty, service: api, paths: [\"/hasty\"], timeouts: {connect: 500ms}}";
    let gate = Gate::around(dir, ca, collector, &Setup { targets: &targets, service, route, ..Setup::default() });
    (gate, upstream, held)
}

#[test]
fn nobody_waits_for_a_connection_that_names_another_client() {
    let service = "    protocol: auto\n    proxy_protocol: v1\n    tls: {ca: tls/ca.pem}";
    let (gate, upstream, _held) = first_hangs(service, &[], true);
    let mut first = gate.connect();
    first.write_all(b"GET /api HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
    eventually("the first is on its way", || upstream.connections.load(Ordering::SeqCst) == 1);
    assert_eq!(status_of(&gate.get("/api")), "200");
}

#[test]
fn who_waits_for_a_connection_is_as_patient_as_its_own_route() {
    let (gate, upstream, _held) = first_hangs("    protocol: auto\n    tls: {ca: tls/ca.pem}", &[], false);
    let mut hasty = gate.connect();
    hasty.write_all(b"GET /hasty HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").unwrap();
    eventually("the first is on its way", || upstream.connections.load(Ordering::SeqCst) == 1);
    assert_eq!(status_of(&gate.get("/api")), "200");
    let mut answer = String::new();
    hasty.read_to_string(&mut answer).unwrap();
    assert_eq!(status_of(&answer), "504", "{answer}");
}
