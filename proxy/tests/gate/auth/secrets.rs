//! Secrets are found nowhere, credentials end at the gateway, and nobody can claim to be a verified caller.

use serde_json::json;

use super::{KEY, OLD_KEY, OTHER_KEY, PASSWORD, ask, basic, gate};
use crate::rig::{Upstream, get_text};

/// The request as the upstream got it, in lower case.
fn upstream_got(answer: &str) -> String {
    answer.split_once("\r\n\r\n").map_or_else(String::new, |(_, body)| body.to_ascii_lowercase())
}

#[test]
fn a_verified_caller_is_told_upstream_and_nobody_can_forge_it() {
    let auth = "auth: {any_of: [{api_key: {header: X-Api-Key, query: key}}, basic], optional: true}";
    let gate = gate(&Upstream::echo(), auth, "");
    let forged = "X-Consumer-Username: root\r\nx-consumer-groups: admins\r\nX_Consumer_Username: root\r\n\
                  X-Consumer_Groups: admins\r\nX-Credential-Identifier: k9\r\nX-Anonymous-Consumer: false\r\n\
                  X-Authenticated-Groups: admins\r\nX-Authenticated-Userid: root\r\nX-Consumer-Anything: 1\r\n";
    let got = upstream_got(&ask(&gate, None, "/api", &format!("{forged}X-Api-Key: {KEY}\r\n")));
    for line in [
        "x-consumer-username: acme\r\n",
        "x-consumer-groups: partners,testers\r\n",
        "x-credential-identifier: k1\r\n",
        "x-consumer-auth: api_key\r\n",
    ] {
        assert_eq!(got.matches(line).count(), 1, "{line} in {got}");
    }
    for claimed in ["root", "admins", "k9", "anything", "x-anonymous", "x-authenticated", "x_consumer", KEY] {
        assert!(!got.contains(claimed), "{claimed} in {got}");
    }
    let got = upstream_got(&ask(&gate, None, "/api", forged));
    assert!(got.contains("x-anonymous-consumer: true\r\n"), "{got}");
    for claimed in ["root", "admins", "k9", "x-consumer"] {
        assert!(!got.contains(claimed), "{claimed} in {got}");
    }
}

#[test]
fn a_route_without_authentication_passes_no_claim_on_either() {
    let gate = gate(&Upstream::echo(), "auth: none", "");
    let got = upstream_got(&ask(&gate, None, "/api", "X-Consumer-Username: root\r\nX_Consumer_Groups: admins\r\n"));
    assert!(got.starts_with("get /api") && !got.contains("root") && !got.contains("admins"), "{got}");
}

#[test]
fn credentials_end_at_the_gateway_and_the_order_of_the_query_stays() {
    let auth = "auth: {any_of: [{api_key: {header: X-Api-Key, query: key}}, basic]}";
    let gate = gate(&Upstream::echo(), auth, "");
    for (path, fields, line) in [
        (format!("/api?b=2&key={KEY}&a=1"), String::new(), "get /api?b=2&a=1 http/1.1\r\n"),
        (format!("/api?k%65y={KEY}"), String::new(), "get /api http/1.1\r\n"),
        (format!("/api?key={OTHER_KEY}&c"), format!("x-api-key: {KEY}\r\n"), "get /api?c http/1.1\r\n"),
        ("/api?b&a".to_owned(), basic("acme", PASSWORD), "get /api?b&a http/1.1\r\n"),
    ] {
        let got = upstream_got(&ask(&gate, None, &path, &fields));
        assert!(got.starts_with(line), "{path}: {got}");
        for secret in [KEY, OTHER_KEY, "authorization"] {
            assert!(!got.contains(secret), "{path}: {got}");
        }
    }
}

#[test]
fn credentials_go_upstream_where_the_route_says_so() {
    let auth = "auth: {any_of: [{api_key: {query: key, forward: true}}, {basic: {forward: true}}]}";
    let gate = gate(&Upstream::echo(), auth, "");
    let got = upstream_got(&ask(&gate, None, &format!("/api?key={KEY}"), ""));
    assert!(got.starts_with(&format!("get /api?key={KEY} ")), "{got}");
    let got = upstream_got(&ask(&gate, None, "/api", &basic("acme", PASSWORD)));
    assert!(got.contains("authorization: basic "), "{got}");
}

#[test]
fn planted_secrets_are_found_nowhere() {
    let auth = "auth: {any_of: [{api_key: {header: X-Api-Key, query: key}}, basic]}";
    let gate = gate(&Upstream::echo(), auth, "");
    let wrong = "planted-wrong-password-5d";
    let unknown = "planted-unknown-key-b7";
    let odd = "planted-odd-credential-e2";
    let requests = [
        ("/api".to_owned(), format!("X-Api-Key: {KEY}\r\n")),
        ("/api".to_owned(), format!("X-Api-Key: {OLD_KEY}\r\n")),
        ("/api".to_owned(), format!("X-Api-Key: {unknown}\r\n")),
        ("/api".to_owned(), format!("X-Api-Key: {odd}\r\nX-Api-Key: {odd}\r\n")),
        (format!("/api?key={OTHER_KEY}&page=1"), String::new()),
        (format!("/api?key={unknown}&key={odd}"), String::new()),
        (format!("/api?k%65y={unknown}"), String::new()),
        ("/api".to_owned(), basic("acme", PASSWORD)),
        ("/api".to_owned(), basic("acme", wrong)),
        ("/api".to_owned(), basic("nobody", wrong)),
        ("/api".to_owned(), format!("Authorization: Basic {odd}\r\n")),
        ("/api".to_owned(), format!("Authorization: Bearer {odd}\r\n")),
    ];
    let mut refusals = String::new();
    for (path, fields) in &requests {
        let answer = ask(&gate, None, path, fields);
        if !answer.starts_with("HTTP/1.1 200") {
            refusals.push_str(&answer);
        }
    }
    let pages: String =
        ["/config", "/metrics", "/inflight", "/upstreams", "/readyz"].map(|page| get_text(gate.admin, page)).concat();
    gate.rows(requests.len());
    let rows = gate.finish();
    assert_eq!(rows.len(), requests.len());
    let records = json!(rows).to_string();
    let encoded = [basic("acme", PASSWORD), basic("acme", wrong), basic("nobody", wrong)];
    let encoded = encoded.iter().filter_map(|field| field.trim().rsplit(' ').next());
    for secret in [KEY, OLD_KEY, OTHER_KEY, PASSWORD, wrong, unknown, odd].into_iter().chain(encoded) {
        for (place, text) in [("records", &records), ("admin", &pages), ("answers", &refusals)] {
            assert!(!text.contains(secret), "{secret} in {place}");
        }
    }
}
