//! The choice of a target, the targets that are passed over, and retries.

use std::collections::HashMap;
use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use serde_json::{Value, json};

use crate::rig::{Gate, PATIENCE, Setup, Upstream, assert_row, get_text, read_request};
use crate::upstream_rig::{Nobody, eventually, post, status_of};

/// An upstream that answers with its name, or with 503 while it is ill. Counts its requests.
fn named(name: &'static str) -> (Upstream, Arc<AtomicBool>, Arc<AtomicUsize>) {
    let (ill, requests) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    let (is_ill, counted) = (ill.clone(), requests.clone());
    let upstream = Upstream::start(move |mut stream, _| {
        while let Some(request) = read_request(&mut stream) {
            if !request.starts_with("GET /health") {
                counted.fetch_add(1, Ordering::SeqCst);
            }
            let status = if is_ill.load(Ordering::SeqCst) { "503 Ill" } else { "200 OK" };
            let answer = format!("HTTP/1.1 {status}\r\ncontent-length: {}\r\n\r\n{name}", name.len());
            if stream.write_all(answer.as_bytes()).is_err() {
                return;
            }
        }
    });
    (upstream, ill, requests)
}

fn url(upstream: &Upstream) -> String {
    format!("http://{}", upstream.addr)
}

/// Answers by their body.
fn tally(gate: &Gate, requests: usize) -> HashMap<String, usize> {
    let mut tally = HashMap::new();
    for _ in 0..requests {
        *tally.entry(gate.get("/api").rsplit("\r\n").next().unwrap().to_owned()).or_default() += 1;
    }
    tally
}

fn state_of(gate: &Gate, target: usize) -> Value {
    let text = get_text(gate.admin, "/upstreams");
    let services: Value = serde_json::from_str(text.split("\r\n\r\n").nth(1).unwrap()).unwrap();
    services[0]["targets"][target].clone()
}

#[test]
fn turns_go_by_weight() {
    let (a, b) = (named("a").0, named("b").0);
    let targets = [format!("{{url: \"{}\", weight: 3}}", url(&a)), format!("{{url: \"{}\"}}", url(&b))];
    let gate = Gate::with(&Setup { targets: &targets, ..Setup::default() });
    assert_eq!(tally(&gate, 40), HashMap::from([("a".into(), 30), ("b".into(), 10)]));
    assert_row(&state_of(&gate, 0), json!({"weight": 3, "state": "ok", "target": a.addr.to_string()}));
}

#[test]
fn the_target_with_the_fewest_requests_in_flight_is_chosen() {
    let (came, heard) = std::sync::mpsc::sync_channel(4);
    let (go, told) = std::sync::mpsc::sync_channel::<()>(4);
    let told = std::sync::Mutex::new(told);
    let slow = Upstream::start(move |mut stream, _| {
        while read_request(&mut stream).is_some() {
            came.send(()).unwrap();
            let _ = told.lock().unwrap().recv_timeout(PATIENCE);
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nslow");
        }
    });
    let (fast, _, _) = named("fast");
    let targets = [url(&slow), url(&fast)];
    let gate = Gate::with(&Setup { targets: &targets, service: "    balance: least_requests", ..Setup::default() });
    std::thread::scope(|scope| {
        // One of the first two goes to the slow one, and stays there.
        let waiting = scope.spawn(|| tally(&gate, 2));
        heard.recv_timeout(PATIENCE).unwrap();
        assert_eq!(tally(&gate, 20), HashMap::from([("fast".into(), 20)]));
        (0..2).for_each(|_| go.send(()).unwrap());
        waiting.join().unwrap();
    });
    eventually("nothing is in flight", || state_of(&gate, 0)["requests_in_flight"] == 0);
}

#[test]
fn a_target_that_fails_is_passed_over_and_comes_back() {
    let ((a, ill, asked), (b, _, _)) = (named("a"), named("b"));
    let service = "    health: {passive: {failures: 3, ejection: 300ms}}";
    let gate = Gate::with(&Setup { targets: &[url(&a), url(&b)], service, ..Setup::default() });
    ill.store(true, Ordering::SeqCst);
    tally(&gate, 6);
    assert_eq!(asked.load(Ordering::SeqCst), 3);
    assert_row(&state_of(&gate, 0), json!({"state": "ejected", "failures": 3, "ejections": 1}));
    ill.store(false, Ordering::SeqCst);
    eventually("it is asked again", || tally(&gate, 2).contains_key("a"));
    assert_row(&state_of(&gate, 0), json!({"state": "ok", "failures": 0}));
    assert_eq!(gate.metric("tollgate_proxy_upstream_ejections_total"), 1.0);
}

#[test]
fn no_more_than_the_share_is_put_out_and_a_single_target_never_is() {
    let ((a, ill_a, _), (b, ill_b, _)) = (named("a"), named("b"));
    let service = "    health: {passive: {failures: 1}}";
    for (targets, out) in [(vec![url(&a), url(&b)], 1), (vec![url(&a)], 0)] {
        let gate = Gate::with(&Setup { targets: &targets, service, ..Setup::default() });
        [&ill_a, &ill_b].iter().for_each(|ill| ill.store(true, Ordering::SeqCst));
        assert_eq!(tally(&gate, 8).values().sum::<usize>(), 8);
        let states = (0..targets.len()).filter(|target| state_of(&gate, *target)["state"] == "ejected");
        assert_eq!(states.count(), out);
    }
}

#[test]
fn checks_put_a_target_out_and_bring_it_back() {
    let ((a, ill, _), (b, _, _)) = (named("a"), named("b"));
    let service =
        "    health: {passive: {failures: 0}, active: {path: /health, interval: 20ms, unhealthy: 2, healthy: 2}}";
    let gate = Gate::with(&Setup { targets: &[url(&a), url(&b)], service, ..Setup::default() });
    ill.store(true, Ordering::SeqCst);
    eventually("it is out", || state_of(&gate, 0)["state"] == "check_failed");
    assert_eq!(tally(&gate, 10), HashMap::from([("b".into(), 10)]));
    assert_row(&state_of(&gate, 0)["check"], json!({"out": true, "last_failure": "status 503"}));
    eventually("it is counted", || gate.metric("tollgate_proxy_upstream_targets_out") == 1.0);
    ill.store(false, Ordering::SeqCst);
    eventually("it is back", || state_of(&gate, 0)["state"] == "ok");
    assert_eq!(tally(&gate, 10).len(), 2);
}

#[test]
fn when_all_are_out_they_serve_or_refuse_as_configured() {
    let gone = Nobody::there();
    for (all_out, status, class, attempts) in
        [("serve", "502", "connect_refused", 1), ("refuse", "503", "no_healthy_upstream", 0)]
    {
        let service =
            format!("    health: {{all_out: {all_out}, active: {{interval: 20ms, unhealthy: 1, timeout: 1s}}}}");
        let targets = [gone.url()];
        let gate = Gate::with(&Setup { targets: &targets, service: &service, ..Setup::default() });
        eventually("it is out", || state_of(&gate, 0)["state"] == "check_failed");
        assert_eq!(status_of(&gate.get("/api")), status, "{all_out}");
        assert_row(&gate.one_record(), json!({"error.type": class, "tollgate.upstream_attempts": attempts}));
    }
}

#[test]
fn attempts_are_bounded_for_a_request_and_by_the_budget() {
    let gone: [_; 4] = std::array::from_fn(|_| Nobody::there());
    let targets = gone.each_ref().map(Nobody::url);
    for (retries, expected) in [
        ("retries: {attempts_max: 2}", vec![2, 2]),
        ("retries: {attempts_max: 1}", vec![1, 1]),
        ("retries: {}", vec![3, 3]),
        ("retries: {budget_percent: 0, budget_per_second_min: 0}", vec![1, 1]),
    ] {
        let service = "    health: {passive: {failures: 0}}";
        let gate = Gate::with(&Setup { targets: &targets, service, extra: retries, ..Setup::default() });
        (0..2).for_each(|_| assert_eq!(status_of(&gate.get("/api")), "502"));
        let rows = gate.finish();
        let attempts: Vec<_> = rows.iter().map(|row| row["tollgate.upstream_attempts"].as_i64().unwrap()).collect();
        assert_eq!(attempts, expected, "{retries}");
    }
}

#[test]
fn a_connection_that_fails_takes_another_target_whatever_the_method() {
    let gone = Nobody::there();
    let upstream = Upstream::echo();
    let targets = [gone.url(), url(&upstream)];
    let gate = Gate::with(&Setup { targets: &targets, ..Setup::default() });
    for _ in 0..2 {
        assert!(post(&gate, "hello").ends_with("hello"));
    }
    let rows = gate.finish();
    assert!(rows.iter().any(|row| row["tollgate.upstream_attempts"] == 2), "{rows:#?}");
}

#[test]
fn what_a_service_says_of_its_upstreams_is_checked() {
    for (service, problem) in [
        ("    protocol: http3", "http3"),
        ("    health: {passive: {ejected_percent_max: 101}}", "a percentage is 0 to 100"),
        ("    health: {active: {path: health}}", "is not a path"),
        ("    health: {active: {interval: 0s}}", "must be more than 0"),
        ("    helth: {}", "helth"),
    ] {
        let text = format!(
            "node_id: a\nlisteners: [{{name: plain, address: \"127.0.0.1:0\"}}]\nservices:\n  - name: api\n    targets: [\"http://a\"]\n{service}\nroutes: [{{name: r, service: api}}]\nrecords: {{spool: {{dir: spool}}}}\n"
        );
        let error = tollgate_proxy::plan::RuntimeConfig::parse(std::path::Path::new("gate.yaml"), text)
            .unwrap_err()
            .to_string();
        assert!(error.contains(problem) && error.contains("gate.yaml:"), "{service}: {error}");
    }
    for (target, problem) in [
        ("{url: \"http://a\", weight: 0}", "a weight is 1 to 100"),
        ("{url: \"http://a\", wieght: 2}", "wieght"),
        ("unix:relative", "is not an absolute path"),
        ("ftp://a", "has no scheme"),
    ] {
        let text = format!(
            "node_id: a\nlisteners: [{{name: plain, address: \"127.0.0.1:0\"}}]\nservices:\n  - name: api\n    targets: [{target}]\nroutes: [{{name: r, service: api}}]\nrecords: {{spool: {{dir: spool}}}}\n"
        );
        let error = tollgate_proxy::plan::RuntimeConfig::parse(std::path::Path::new("gate.yaml"), text)
            .unwrap_err()
            .to_string();
        assert!(error.contains(problem) && error.contains("gate.yaml:"), "{target}: {error}");
    }
}

#[test]
fn what_is_known_of_targets_and_their_connections_outlive_a_reload() {
    let ((a, ill, asked), (b, _, _)) = (named("a"), named("b"));
    let service = "    health: {passive: {failures: 1, ejection: 1h, ejection_max: 1h}}";
    let gate = Gate::with(&Setup { targets: &[url(&a), url(&b)], service, ..Setup::default() });
    ill.store(true, Ordering::SeqCst);
    tally(&gate, 2);
    assert_eq!(state_of(&gate, 0)["state"], "ejected");
    gate.edit("http_route: /api/{rest}", "http_route: /api/{all}");
    let reloaded = gate.running().reload().unwrap();
    assert_ne!(reloaded.old, reloaded.new);
    assert_eq!(state_of(&gate, 0)["state"], "ejected");
    assert_eq!(tally(&gate, 10), HashMap::from([("b".into(), 10)]));
    assert_eq!(asked.load(Ordering::SeqCst), 1);
    assert_eq!(b.connections.load(Ordering::SeqCst), 1, "the connection is used on");
}
