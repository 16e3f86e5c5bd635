//! What a client, or a page in an operator's browser, tries in order to get what it must not, or to take it from others.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::Mutex;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{SyncSender, sync_channel};

use serde_json::json;
use tollgate_proxy::config::Plan;
use tollgate_tls::demo_ca::{DemoCa, Lifetime};
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
                            // Not before the body is there.
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

#[test]
fn connections_that_upstreams_authenticate_serve_one_request() {
    let upstream = Upstream::start(|mut stream, _| {
        // Whoever was authenticated on a connection is who asks on it from then on, as NTLM has it.
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
