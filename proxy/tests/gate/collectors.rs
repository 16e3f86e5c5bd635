//! Several collectors, and certificates that change while the proxy runs.

use std::time::{Duration, Instant};

use tollgate_demo_ca::{DemoCa, Lifetime};

use crate::collector::Collector;
use crate::rig::{Gate, PATIENCE, Setup, Upstream, get_text};

const OK: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello";

/// Sends requests until the condition holds.
fn send_until(gate: &Gate, what: &str, until: impl Fn() -> bool) -> usize {
    let (deadline, mut sent) = (Instant::now() + PATIENCE, 0);
    while !until() {
        assert!(Instant::now() < deadline, "{what}");
        assert!(gate.get("/api").starts_with("HTTP/1.1 200"));
        sent += 1;
        std::thread::sleep(Duration::from_millis(20));
    }
    sent
}

#[test]
fn the_first_collector_is_used_again_once_it_is_back() {
    let targets = [format!("http://{}", Upstream::answering(OK).addr)];
    let dir = tempfile::tempdir().unwrap();
    let ca = DemoCa::open(&dir.path().join("tls")).unwrap();
    let (first, second) = (Collector::start(&ca), Collector::start(&ca));
    let setup = Setup {
        targets: &targets,
        first_collector: Some(first.addr),
        records: "  failback_after: 100ms",
        ..Setup::default()
    };
    let gate = Gate::around(dir, ca, second.clone(), &setup);
    let mut sent = send_until(&gate, "the first is used", || !first.rows().is_empty());
    assert!(second.rows().is_empty(), "the first is used while it works");
    first.state.lock().unwrap().always = Some(503);
    sent += send_until(&gate, "the second takes over", || !second.rows().is_empty());
    // Closes each connection without an answer.
    first.state.lock().unwrap().always = Some(0);
    let before = second.rows().len();
    sent += send_until(&gate, "the second is used still", || second.rows().len() > before + 10);
    first.state.lock().unwrap().always = None;
    let before = first.rows().len();
    sent += send_until(&gate, "the first is used again", || first.rows().len() > before);
    let at_second = gate.finish().len();
    assert_eq!(first.rows().len() + at_second, sent, "each record arrived once");
}

#[test]
fn a_connection_to_a_collector_has_an_age() {
    let targets = [format!("http://{}", Upstream::answering(OK).addr)];
    let gate = Gate::with(&Setup { targets: &targets, records: "  connection_age_max: 50ms", ..Setup::default() });
    let connections = || gate.collector.state.lock().unwrap().peers.len();
    let sent = send_until(&gate, "there are new connections", || connections() >= 4);
    assert_eq!(gate.metric("tollgate_proxy_ship_errors_total"), 0.0);
    assert_eq!(gate.finish().len(), sent);
}

#[test]
fn certificates_towards_the_collector_change_without_a_restart() {
    let targets = [format!("http://{}", Upstream::answering(OK).addr)];
    let gate = Gate::with(&Setup { targets: &targets, records: "  connection_age_max: 50ms", ..Setup::default() });
    let peers = || gate.collector.state.lock().unwrap().peers.clone();
    let mut sent = send_until(&gate, "there is a connection", || !peers().is_empty());
    let old = peers()[0].clone();
    let tls = gate.dir.path().join("tls");
    let others = tempfile::tempdir().unwrap();
    let other = DemoCa::open(others.path()).unwrap();
    let serial = other.client("gate-client", "gate-1", &["gate-1"], Lifetime::days(1)).unwrap();
    let serial = serial.identity().unwrap().certificate().serial_hex.clone();
    let install = |file: &str| {
        std::fs::copy(others.path().join(file), tls.join(file)).unwrap();
    };
    // Half of a pair: the old pair serves on.
    install("gate-client.pem");
    let until = Instant::now() + Duration::from_millis(1_500);
    sent += send_until(&gate, "it serves on", || Instant::now() > until);
    assert!(peers().iter().all(|peer| *peer == old));
    assert_eq!(gate.metric("tollgate_proxy_ship_errors_total"), 0.0);
    // The collector changes to another authority, then the proxy does.
    gate.collector.rotate(&other);
    sent += send_until(&gate, "they do not trust each other", || gate.metric("tollgate_proxy_ship_errors_total") > 0.0);
    install("gate-client.key");
    install("ca.pem");
    sent += send_until(&gate, "they trust each other", || peers().contains(&serial));
    assert!(get_text(gate.admin, "/readyz").contains("ready"));
    assert_eq!(gate.finish().len(), sent);
}
