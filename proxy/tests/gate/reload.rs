//! Changes of the configuration while the proxy runs.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use serde_json::Value;
use tollgate_proxy::ReloadError;

use crate::rig::{Gate, PATIENCE, Setup, Upstream, read_until};

/// Sends one GET on a kept connection, and returns the head and the body of the answer.
pub fn keepalive_get(stream: &mut TcpStream, path: &str) -> String {
    write!(stream, "GET {path} HTTP/1.1\r\nhost: api.example.com\r\n\r\n").unwrap();
    let head = read_until(stream, "\r\n\r\n").expect("the connection is kept");
    let length = head.to_ascii_lowercase();
    let length = length.split("content-length: ").nth(1).and_then(|rest| rest.split("\r\n").next()?.parse().ok());
    let mut body = vec![0; length.unwrap_or(0)];
    stream.read_exact(&mut body).unwrap();
    head + &String::from_utf8_lossy(&body)
}

/// A request to the admin endpoint.
pub fn admin(addr: SocketAddr, method: &str, path: &str) -> String {
    let mut stream = TcpStream::connect(addr).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    write!(stream, "{method} {path} HTTP/1.1\r\nhost: admin\r\nconnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

fn json(answer: &str) -> Value {
    serde_json::from_str(answer.split("\r\n\r\n").nth(1).unwrap()).unwrap()
}

#[test]
fn a_reload_holds_from_the_next_request_on_and_keeps_connections() {
    let upstream = Upstream::answering(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nhi");
    let gate = Gate::before(&upstream, "");
    let mut client = gate.connect();
    assert!(keepalive_get(&mut client, "/api/1").starts_with("HTTP/1.1 200"));
    assert!(keepalive_get(&mut client, "/new/1").starts_with("HTTP/1.1 404"));
    gate.edit("paths: [\"/api\"]", "paths: [\"/api\", \"/new\"]");
    assert!(keepalive_get(&mut client, "/new/1").starts_with("HTTP/1.1 404"), "nothing changes by itself");
    let answer = admin(gate.admin, "POST", "/reload");
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    let revisions = json(&answer);
    assert_ne!(revisions["old"], revisions["new"]);
    assert!(keepalive_get(&mut client, "/new/1").starts_with("HTTP/1.1 200"), "the same connection, the new route");
    assert_eq!(upstream.connections.load(Ordering::SeqCst), 1, "the upstream connection outlived the reload");
    let info = format!("tollgate_proxy_config_info{{revision={}}} 1", revisions["new"]);
    let metrics = admin(gate.admin, "GET", "/metrics");
    assert!(metrics.contains(&info) && !metrics.contains(revisions["old"].as_str().unwrap()), "{metrics}");
    assert!(metrics.contains("tollgate_proxy_reloads_total{outcome=\"ok\"} 1"), "{metrics}");
    assert!(admin(gate.admin, "GET", "/config").contains("/new"));
    assert!(admin(gate.admin, "GET", "/reload").starts_with("HTTP/1.1 405"));
    drop(client);
    let rows = gate.finish();
    let under: Vec<&Value> = rows.iter().map(|row| &row["tollgate.config_revision"]).collect();
    let (old, new) = (&revisions["old"], &revisions["new"]);
    assert_eq!(under, [old, old, old, new]);
}

#[test]
fn a_reload_that_fails_changes_nothing_and_says_why() {
    let upstream = Upstream::answering(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nhi");
    let gate = Gate::before(&upstream, "");
    gate.edit("service: api\n", "service: apj\n");
    let answer = admin(gate.admin, "POST", "/reload");
    assert!(answer.starts_with("HTTP/1.1 422"), "{answer}");
    let text = json(&answer)["errors"].to_string();
    assert!(text.contains("gate.yaml:") && text.contains("did you mean `api`?"), "{text}");
    assert!(gate.get("/api/1").starts_with("HTTP/1.1 200"));
    gate.edit("service: apj\n", "service: api\n");
    for (from, to, key) in [
        ("node_id: gate-1", "node_id: gate-2", "node_id"),
        ("workers: 1", "workers: 2", "workers"),
        ("name: plain, address: \"127.0.0.1:0\"", "name: plain, address: \"127.0.0.1:1\"", "listeners[0].address"),
        ("name: plain", "name: other", "listeners[0]"),
        ("admin: {address: \"127.0.0.1:0\"}", "admin: {address: \"127.0.0.1:1\"}", "admin.address"),
        ("batch_age_max: 20ms", "batch_age_max: 30ms", "records"),
        ("key_id: k1", "key_id: k2", "hmac"),
    ] {
        gate.edit(from, to);
        let Err(ReloadError::Config(error)) = gate.running().reload() else { panic!("{key} was reloaded") };
        let found = error.diagnostics().iter().find(|problem| problem.key == key);
        let problem = found.unwrap_or_else(|| panic!("{key} in {error}"));
        assert!(problem.line > 0 && problem.problem.contains("start the proxy again"), "{problem}");
        gate.edit(to, from);
    }
    gate.running().reload().unwrap();
    assert_eq!(gate.metric("tollgate_proxy_reloads_total"), 9.0);
    assert!(gate.get("/api/1").starts_with("HTTP/1.1 200"));
    let rows = gate.finish();
    assert_eq!(rows[0]["tollgate.config_revision"], rows[1]["tollgate.config_revision"]);
}

#[test]
fn an_upstream_that_is_gone_is_drained_and_its_plan_freed() {
    let old = Upstream::answering(b"HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\nold");
    let slow = Upstream::start(|mut stream, _| {
        crate::rig::read_request(&mut stream);
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\nold");
        // The rest would come after one more byte from the client. None comes, so the client's end ends the
        // transaction.
        let _ = stream.read(&mut [0]);
    });
    let new = Upstream::answering(b"HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\nnew");
    let targets = [format!("http://{}", old.addr)];
    let service = format!("  - {{name: slow, targets: [\"http://{}\"]}}", slow.addr);
    let extra = "";
    let route = "  - {name: slow, service: slow, paths: [\"/slow\"]}";
    let gate = Gate::with(&Setup { targets: &targets, service: &service, route, extra, ..Setup::default() });
    assert!(gate.get("/api/1").ends_with("old"));
    let mut held = gate.connect();
    held.write_all(b"GET /slow HTTP/1.1\r\nhost: a\r\n\r\n").unwrap();
    read_until(&mut held, "old").unwrap();
    gate.edit(&old.addr.to_string(), &new.addr.to_string());
    gate.running().reload().unwrap();
    assert!(gate.get("/api/1").ends_with("new"));
    assert_eq!(gate.metric("tollgate_proxy_plans_in_use"), 2.0, "a transaction goes on under the old one");
    drop(held);
    let until = Instant::now() + PATIENCE;
    while gate.metric("tollgate_proxy_plans_in_use") > 1.0 {
        assert!(Instant::now() < until, "the old plan is never freed");
        std::thread::sleep(Duration::from_millis(20));
    }
    let rows = gate.finish();
    let revision = |path: &str| &rows.iter().find(|row| row["url.path"] == path).unwrap()["tollgate.config_revision"];
    assert_eq!(revision("/slow"), &rows[0]["tollgate.config_revision"]);
    assert_ne!(
        revision("/slow"),
        &rows.iter().rev().find(|row| row["url.path"] == "/api/1").unwrap()["tollgate.config_revision"]
    );
}
