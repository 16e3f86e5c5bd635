//! Addresses, TLS alone, CORS, the caller's own id, and answers in the upstream's place.

use serde_json::json;

use crate::rig::{Gate, Setup, Upstream, assert_row};
use crate::upstream_rig::status_of;

const CORS: &str = "    cors: {origins: [\"https://app.example.com\", \"https://*.example.org\"], credentials: true, \
                    exposed_headers: [x-up], max_age: 10m, methods: [GET, PUT]}";
const APP: &str = "Origin: https://app.example.com\r\n";

fn gate(service: &str, route: &str, extra: &str) -> (Gate, Upstream) {
    let upstream = Upstream::answering(
        b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\nx-up: 1\r\naccess-control-allow-origin: https://from.upstream\r\nvary: accept\r\n\r\nok",
    );
    let targets = [format!("http://{}", upstream.addr)];
    (Gate::with(&Setup { targets: &targets, service, route, extra, ..Setup::default() }), upstream)
}

fn ask(gate: &Gate, method: &str, path: &str, fields: &str) -> String {
    gate.exchange(&format!("{method} {path} HTTP/1.1\r\nhost: a:8080\r\nconnection: close\r\n{fields}\r\n"))
        .to_ascii_lowercase()
}

fn preflight(origin: &str) -> String {
    format!("Origin: {origin}\r\nAccess-Control-Request-Method: PUT\r\nAccess-Control-Request-Headers: x-a, x-b\r\n")
}

#[test]
fn a_preflight_is_answered_before_any_credential_is_asked_for() {
    let route = format!("    require_client_cert: true\n    methods: [GET, PUT]\n{CORS}");
    let (gate, upstream) = gate("", &route, "");
    let answer = ask(&gate, "OPTIONS", "/api/x", &preflight("https://app.example.com"));
    assert_eq!(status_of(&answer), "200", "{answer}");
    for field in [
        "access-control-allow-origin: https://app.example.com\r\n",
        "access-control-allow-methods: get, put\r\n",
        "access-control-allow-headers: x-a, x-b\r\n",
        "access-control-allow-credentials: true\r\n",
        "access-control-max-age: 600\r\n",
        "vary: origin\r\n",
        "content-length: 0\r\n",
    ] {
        assert_eq!(answer.matches(field).count(), 1, "{field} of {answer}");
    }
    let answer = ask(&gate, "OPTIONS", "/api/x", &preflight("https://evil.example.com"));
    assert_eq!(status_of(&answer), "403", "{answer}");
    assert!(!answer.contains("access-control-allow"), "{answer}");
    // Without a method asked for it is an ordinary OPTIONS, which this route does not serve.
    assert_eq!(status_of(&ask(&gate, "OPTIONS", "/api/x", APP)), "405");
    // What is refused for its credential can be read by the page all the same.
    let answer = ask(&gate, "GET", "/api/x", APP);
    assert_eq!(status_of(&answer), "401");
    assert!(answer.contains("access-control-allow-origin: https://app.example.com\r\n"), "{answer}");
    assert_eq!(upstream.connections.load(std::sync::atomic::Ordering::SeqCst), 0);
    let rows = gate.finish();
    let fine = json!({
        "http.response.status_code": 200, "error.type": null, "tollgate.termination": "complete",
        "tollgate.response_source": "gateway", "tollgate.upstream_attempts": 0, "tollgate.route": "api",
        "tollgate.auth_result": "not_required",
    });
    assert_row(&rows[0], fine);
    let refused = json!({"http.response.status_code": 403, "error.type": "acl", "tollgate.termination": "gateway"});
    assert_row(&rows[1], refused);
}

#[test]
fn answers_name_the_pages_origin_in_the_place_of_the_upstreams_own() {
    let (gate, _upstream) = gate(CORS, "", "");
    let table = [
        ("https://app.example.com", true),
        ("https://a.b.example.org", true),
        ("https://example.org", false),
        ("https://app.example.com.evil", false),
        ("null", false),
    ];
    for (origin, allowed) in table {
        let answer = ask(&gate, "GET", "/api", &format!("Origin: {origin}\r\n"));
        assert_eq!(status_of(&answer), "200", "who reads an answer is the browser's to decide");
        let field = format!("access-control-allow-origin: {origin}\r\n");
        assert_eq!(answer.contains(&field), allowed, "{answer}");
        assert_eq!(answer.contains("access-control-expose-headers: x-up\r\n"), allowed, "{answer}");
        assert!(!answer.contains("from.upstream"), "{answer}");
        assert!(answer.contains("vary: accept\r\n") && answer.contains("vary: origin\r\n"), "{answer}");
    }
    let answer = ask(&gate, "GET", "/api", "");
    assert!(!answer.contains("access-control") && answer.contains("vary: origin\r\n"), "{answer}");
}

#[test]
fn any_origin_gets_a_star_and_never_credentials() {
    let (gate, _upstream) = gate("", "    cors: {origins: [\"*\"]}", "");
    let answer = ask(&gate, "GET", "/api", "Origin: https://whoever\r\n");
    assert!(answer.contains("access-control-allow-origin: *\r\n"), "{answer}");
    assert!(!answer.contains("credentials") && !answer.contains("vary: origin"), "{answer}");
}

#[test]
fn addresses_are_those_that_trusted_hops_name_and_deny_wins() {
    let service = "    addresses: {allow: [10.1.0.0/16, \"2001:db8::/32\"], deny: [10.1.2.3]}";
    let other = "  - {name: open, service: api, paths: [\"/open\"], addresses: {allow: [127.0.0.0/8]}}";
    let (gate, _upstream) = gate(service, other, "forwarding: {trusted_hops: [127.0.0.1]}");
    let table = [
        ("/api", "X-Forwarded-For: 10.1.9.9\r\n", "200"),
        ("/api", "X-Forwarded-For: 2001:db8::7\r\n", "200"),
        ("/api", "X-Forwarded-For: ::ffff:10.1.9.9\r\n", "200"),
        ("/api", "X-Forwarded-For: 10.1.2.3\r\n", "403"),
        ("/api", "X-Forwarded-For: 10.2.0.1\r\n", "403"),
        // The client adds a hop of its own to the left of what the trusted hop saw.
        ("/api", "X-Forwarded-For: 10.1.9.9, 10.2.0.1\r\n", "403"),
        ("/api", "", "403"),
        ("/open", "", "200"),
    ];
    for (path, fields, status) in table {
        assert_eq!(status_of(&ask(&gate, "GET", path, fields)), status, "{path} {fields}");
    }
    for (row, (_, _, status)) in gate.finish().iter().zip(table) {
        let class = if status == "403" { json!("acl") } else { json!(null) };
        assert_row(row, json!({"error.type": class}));
    }
}

#[test]
fn a_client_cannot_name_its_own_address() {
    let (gate, _upstream) = gate("", "    addresses: {allow: [10.0.0.0/8]}", "");
    assert_eq!(
        status_of(&ask(&gate, "GET", "/api", "X-Forwarded-For: 10.0.0.1\r\nForwarded: for=10.0.0.1\r\n")),
        "403"
    );
}

#[test]
fn without_tls_a_request_is_sent_to_https_or_refused() {
    let other = "    https_only: 426\n  - {name: moved, service: api, paths: [\"/moved\"], https_only: 308}";
    let (gate, _upstream) = gate("", other, "forwarding: {trusted_hops: [127.0.0.1]}");
    let answer = ask(&gate, "GET", "/api", "");
    assert_eq!(status_of(&answer), "426");
    assert!(answer.contains("upgrade: tls/1.2, http/1.1\r\n"), "{answer}");
    let answer = ask(&gate, "POST", "/moved/a?b=//evil", "content-length: 0\r\n");
    assert_eq!(status_of(&answer), "308");
    assert!(answer.contains("location: https://a/moved/a?b=//evil\r\n"), "{answer}");
    assert_eq!(status_of(&ask(&gate, "GET", "/api", "X-Forwarded-Proto: https\r\n")), "200");
    assert_eq!(status_of(&ask(&gate, "GET", "/api", "X-Forwarded-Proto: http, https\r\n")), "426");
    let rows = gate.finish();
    assert_row(&rows[0], json!({"error.type": "bad_request", "http.response.status_code": 426}));
    assert_row(&rows[1], json!({"error.type": null, "tollgate.response_source": "gateway"}));
}

#[test]
fn a_peer_that_is_not_trusted_cannot_claim_tls() {
    let (gate, _upstream) = gate("", "    https_only: 426", "");
    assert_eq!(status_of(&ask(&gate, "GET", "/api", "X-Forwarded-Proto: https\r\n")), "426");
}

#[test]
fn the_callers_id_stands_in_the_field_that_the_route_names() {
    let upstream = Upstream::echo();
    let targets = [format!("http://{}", upstream.addr)];
    let service = "    correlation: {header: Kong-Request-ID, echo: true}";
    let gate = Gate::with(&Setup { targets: &targets, service, ..Setup::default() });
    let answer = ask(&gate, "GET", "/api", "Kong-Request-Id: mine\r\nX-Correlation-Id: other\r\n");
    let (head, request) = answer.split_once("\r\n\r\n").unwrap();
    assert!(head.contains("kong-request-id: mine") && request.contains("kong-request-id: mine"), "{answer}");
    let answer = ask(&gate, "GET", "/api", "");
    let (head, request) = answer.split_once("\r\n\r\n").unwrap();
    let id = head.split("kong-request-id: ").nth(1).unwrap().split("\r\n").next().unwrap().to_owned();
    assert!(request.contains(&format!("kong-request-id: {id}")), "{answer}");
    let rows = gate.finish();
    assert_row(&rows[0], json!({"tollgate.correlation_id": "mine"}));
    assert_row(&rows[1], json!({"tollgate.correlation_id": null, "http.request.id": id}));
}

#[test]
fn routes_answer_in_the_upstreams_place() {
    let routes = r#"    respond: {status: 503, body: "closed for today"}
  - {name: json, service: fixed, paths: ["/json"], respond: {status: 200, content_type: application/json, body: "{}"}}
  - {name: moved, service: fixed, paths: ["/moved"], respond: {status: 301, location: "https://new.example.com/"}}
  - {name: gone, service: fixed, paths: ["/gone"], respond: {status: 410}}
  - {name: no, service: fixed, paths: ["/no"]}
  - {name: kept, service: fixed, paths: ["/kept"], require_client_cert: true}
  - {name: slow, service: fixed, paths: ["/slow"], caps: {requests_per_second_max: 0.001, request_burst_max: 1}}"#;
    let service = "  - {name: fixed, respond: {status: 403}}";
    let (gate, _upstream) = gate(service, routes, "");
    let table = [
        ("/api", "503", "closed for today", json!("no_healthy_upstream")),
        ("/json", "200", "{}", json!(null)),
        ("/moved", "301", "", json!(null)),
        ("/gone", "410", "\"error\":\"no_route\"", json!("no_route")),
        ("/no", "403", "\"error\":\"acl\"", json!("acl")),
        ("/kept", "401", "\"error\":\"auth\"", json!("auth")),
        ("/slow", "403", "", json!("acl")),
        ("/slow", "429", "", json!("rate_limited")),
    ];
    for (path, status, body, _) in &table {
        let answer = ask(&gate, "GET", path, "");
        assert_eq!(status_of(&answer), *status, "{answer}");
        assert!(answer.split_once("\r\n\r\n").unwrap().1.contains(body), "{answer}");
    }
    let answer = ask(&gate, "HEAD", "/json", "");
    assert!(answer.ends_with("\r\n\r\n") && answer.contains("content-length: 2\r\n"), "{answer}");
    for (row, (_, _, _, class)) in gate.finish().iter().zip(&table) {
        assert_row(
            row,
            json!({"error.type": class, "tollgate.response_source": "gateway", "tollgate.upstream_attempts": 0}),
        );
    }
}

#[test]
fn a_routes_own_rule_replaces_its_services() {
    let upstream = Upstream::echo();
    let targets = [format!("http://{}", upstream.addr)];
    let route = "    upstream_host: client\n    addresses: {allow: [127.0.0.0/8]}";
    let service = "    addresses: {deny: [127.0.0.0/8]}";
    let gate = Gate::with(&Setup { targets: &targets, service, route, ..Setup::default() });
    assert!(ask(&gate, "GET", "/api", "").contains("host: a:8080\r\n"));
    assert_eq!(status_of(&ask(&gate, "GET", "/secure", "")), "403");
}
