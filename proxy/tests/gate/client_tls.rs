//! Client certificates by server name, with openssl and curl as clients.

use serde_json::{Value, json};
use tollgate_demo_ca::{DemoCa, Issued, Lifetime};

use crate::collector::Collector;
use crate::programs::{curl, s_client};
use crate::rig::{Gate, Setup, Upstream, assert_row};

const OK: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello";

/// What the names of these gates ask for.
const NAMES: &str = r#"
      names:
        - {names: [mtls.example.com, "*.mtls.example.com"], client_auth: required, client_ca: tls/ca.pem}
        - {names: [maybe.example.com], client_auth: optional, client_ca: tls/ca.pem}
        - {names: [partner.example.com], client_auth: required, client_ca: partner/ca.pem}
"#;

struct World {
    gate: Gate,
    alice: Issued,
    bob: Issued,
}

/// Clients of two authorities, and a gate that asks by name.
fn world(upstream: &Upstream, extra: &str) -> World {
    let dir = tempfile::tempdir().unwrap();
    let ca = DemoCa::open(&dir.path().join("tls")).unwrap();
    let partner = DemoCa::open(&dir.path().join("partner")).unwrap();
    let alice = ca.client("alice", "alice", &[], Lifetime::days(1)).unwrap();
    let bob = partner.client("bob", "bob", &[], Lifetime::days(1)).unwrap();
    let collector = Collector::start(&ca);
    let targets = [format!("http://{}", upstream.addr)];
    let setup = Setup { targets: &targets, client_auth: "none", tls: NAMES, extra, ..Setup::default() };
    World { gate: Gate::around(dir, ca, collector, &setup), alice, bob }
}

/// The arguments that present a certificate.
fn showing(issued: &Issued) -> [&str; 4] {
    ["-cert", issued.cert.to_str().unwrap(), "-key", issued.key.to_str().unwrap()]
}

fn with<'a>(name: &'a str, more: &[&'a str]) -> Vec<&'a str> {
    ["-servername", name].into_iter().chain(more.iter().copied()).collect()
}

#[test]
fn each_name_asks_for_what_it_says() {
    let World { gate, alice, bob } = world(&Upstream::answering(OK), "");
    let (with_alice, with_bob) = (showing(&alice), showing(&bob));
    let none: &[&str] = &[];
    let table: [(&str, &[&str], bool, bool); 11] = [
        // Server name, certificate, whether one is asked for, whether the request is served.
        ("open.example.com", none, false, true),
        ("open.example.com", &with_alice, false, true),
        ("mtls.example.com", none, true, false),
        ("MTLS.example.com", none, true, false),
        ("mtls.example.com", &with_alice, true, true),
        ("mtls.example.com", &with_bob, true, false),
        ("deep.mtls.example.com", none, true, false),
        ("deep.mtls.example.com", &with_alice, true, true),
        ("maybe.example.com", none, true, true),
        ("partner.example.com", &with_bob, true, true),
        ("partner.example.com", &with_alice, true, false),
    ];
    for (name, certificate, asked, served) in table {
        let Some(said) = s_client(gate.tls, name, &with(name, certificate)) else { return };
        assert_eq!(said.contains("Acceptable client certificate CA names"), asked, "{name} {certificate:?}: {said}");
        assert_eq!(said.contains("HTTP/1.1 200"), served, "{name} {certificate:?}: {said}");
    }
    let rows = gate.finish();
    let kinds: Vec<bool> = rows.iter().map(|row| row["tollgate.kind"] == "transaction").collect();
    assert_eq!(kinds, table.map(|(.., served)| served));
    let consumers: Vec<&Value> = rows.iter().map(|row| row.get("user.name").unwrap_or(&Value::Null)).collect();
    assert_eq!(consumers[1], &Value::Null, "nobody asked for it, so nobody has verified it");
    assert_eq!((consumers[4], consumers[9]), (&json!("alice"), &json!("bob")));
}

#[test]
fn a_session_never_resumes_under_another_policy_and_keeps_its_columns_under_its_own() {
    for version in ["-tls1_2", "-tls1_3"] {
        let World { gate, alice, .. } = world(&Upstream::answering(OK), "");
        let session = |name: &str| gate.dir.path().join(name).to_str().unwrap().to_owned();
        let (anonymous, known) = (session("anonymous"), session("known"));
        let shown = showing(&alice);
        let ask = |name: &str, more: &[&str]| {
            let all: Vec<&str> = with(name, &[version]).into_iter().chain(more.iter().copied()).collect();
            s_client(gate.tls, name, &all)
        };
        let Some(said) = ask("open.example.com", &["-sess_out", &anonymous]) else { return };
        assert!(said.contains("HTTP/1.1 200"), "{said}");
        // A session of the open name resumes under that name, and under no other.
        assert!(ask("open.example.com", &["-sess_in", &anonymous]).unwrap().contains("Reused, "));
        for name in ["mtls.example.com", "maybe.example.com"] {
            let said = ask(name, &["-sess_in", &anonymous]).unwrap();
            assert!(!said.contains("Reused, "), "{name}: {said}");
            assert_eq!(said.contains("HTTP/1.1 200"), name.starts_with("maybe"), "{said}");
        }
        // A session with a certificate resumes with it under its own name, and without it under another.
        let login = [&["-sess_out", &known][..], &shown].concat();
        assert!(ask("mtls.example.com", &login).unwrap().contains("HTTP/1.1 200"));
        assert!(ask("mtls.example.com", &["-sess_in", &known]).unwrap().contains("Reused, "));
        assert!(!ask("partner.example.com", &["-sess_in", &known]).unwrap().contains("HTTP/1.1 200"));
        let rows = gate.finish();
        let resumed: Vec<&Value> = rows.iter().map(|row| row.get("tls.resumed").unwrap_or(&Value::Null)).collect();
        let (yes, no, failed) = (&json!(true), &json!(false), &Value::Null);
        assert_eq!(resumed, [no, yes, failed, no, no, yes, failed], "{version}");
        let columns = [
            "tls.protocol.version",
            "tls.cipher",
            "tollgate.tls_sni",
            "tollgate.mtls_verify",
            "tls.client.hash.sha256",
            "tls.client.subject",
            "tls.client.issuer",
            "tollgate.client_cert_serial",
            "tls.client.not_after",
            "user.name",
            "tollgate.auth_pattern",
            "tollgate.auth_result",
        ];
        for column in columns {
            assert!(rows[5].get(column).is_some_and(|value| !value.is_null()), "{column} in {:#}", rows[5]);
            assert_eq!(rows[4].get(column), rows[5].get(column), "{column}");
        }
    }
}

#[test]
fn a_request_for_another_name_than_the_handshakes_is_421() {
    let World { gate, alice, .. } = world(&Upstream::answering(OK), "");
    let shown = showing(&alice);
    let none: &[&str] = &[];
    let table: [(&str, &[&str], &str, &str); 9] = [
        ("open.example.com", none, "also-open.example.com", "200"),
        ("open.example.com", none, "mtls.example.com", "421"),
        ("open.example.com", none, "MTLS.example.com.:8443", "421"),
        ("open.example.com", none, "maybe.example.com", "421"),
        ("maybe.example.com", none, "mtls.example.com", "421"),
        ("mtls.example.com", &shown, "mtls.example.com:8443", "200"),
        ("mtls.example.com", &shown, "deep.mtls.example.com", "421"),
        ("mtls.example.com", &shown, "open.example.com", "421"),
        ("mtls.example.com", &shown, "partner.example.com", "421"),
    ];
    for (sni, certificate, host, status) in table {
        let Some(said) = s_client(gate.tls, host, &with(sni, certificate)) else { return };
        assert!(said.contains(&format!("HTTP/1.1 {status}")), "{sni} {host}: {said}");
    }
    let expected = table.map(|(.., status)| status.parse::<u64>().unwrap());
    let rows = gate.finish();
    assert_eq!(rows.iter().map(|row| row["http.response.status_code"].as_u64().unwrap()).collect::<Vec<_>>(), expected);
    assert_row(
        &rows[1],
        json!({
            "error.type": "bad_request", "tollgate.termination": "gateway", "tollgate.upstream_attempts": 0,
            "tollgate.tls_sni": "open.example.com", "server.address": "mtls.example.com",
        }),
    );
}

#[test]
fn curl_over_http2_is_served_by_name() {
    let World { gate, alice, .. } = world(&Upstream::answering(OK), "");
    let (cert, key) = (alice.cert.to_str().unwrap(), alice.key.to_str().unwrap());
    let url = "https://mtls.example.com/api";
    let Some(said) = curl(gate.tls, url, &["-k", "--http2", "--cert", cert, "--key", key]) else { return };
    assert!(said.contains("hello\nstatus=200"), "{said}");
    let said = curl(gate.tls, url, &["-k", "--http2", "--cert", cert, "--key", key, "-H", "Host: partner.example.com"]);
    assert!(said.unwrap().contains("status=421"));
    assert!(curl(gate.tls, url, &["-k", "--http2"]).unwrap().contains("status=000"));
    let rows = gate.finish();
    assert_row(&rows[0], json!({"tls.next_protocol": "h2", "user.name": "alice", "network.protocol.version": "2"}));
    assert_row(&rows[2], json!({"tollgate.kind": "handshake_failed", "tollgate.auth_fail_reason": "missing"}));
}

#[test]
fn upstreams_are_told_of_the_certificate_by_us_alone() {
    for (kind, told) in [
        ("none", &[][..]),
        ("x-client-cert", &["x-client-cert-subject: O=Tollgate demo,CN=alice\r\n", "x-client-cert-sha256: "][..]),
        ("client-cert", &["client-cert: :MII"][..]),
    ] {
        let World { gate, alice, .. } = world(&Upstream::echo(), &format!("forwarding: {{client_cert: {kind}}}"));
        let (cert, key) = (alice.cert.to_str().unwrap(), alice.key.to_str().unwrap());
        let forged = [
            "-k",
            "-H",
            "X-Client-Cert-Subject: CN=root",
            "-H",
            "X-Client-Cert: forged",
            "-H",
            "Client-Cert: :forged:",
            "-H",
            "Client-Cert-Chain: :forged:",
            "-H",
            "x_client_cert_subject: CN=root",
        ];
        let shown: Vec<&str> = forged.into_iter().chain(["--cert", cert, "--key", key]).collect();
        let Some(said) = curl(gate.tls, "https://mtls.example.com/api", &shown) else { return };
        for field in told {
            assert!(said.contains(field), "{field}: {said}");
        }
        assert_eq!(
            said.to_ascii_lowercase().matches("client-cert").count(),
            if kind == "x-client-cert" { 5 } else { told.len() }
        );
        let anonymous = curl(gate.tls, "https://open.example.com/api", &forged).unwrap();
        for said in [&said, &anonymous] {
            assert!(!said.contains("forged") && !said.contains("root"), "{said}");
        }
        assert!(!anonymous.contains("client-cert"), "{anonymous}");
        assert_eq!(gate.finish().len(), 2);
    }
}

#[test]
fn what_is_wrong_with_names_is_said_with_its_cure() {
    let dir = tempfile::tempdir().unwrap();
    let ca = DemoCa::open(&dir.path().join("tls")).unwrap();
    ca.server("gate", &["localhost"], Lifetime::days(1)).unwrap();
    let check = |names: &str| {
        let text = format!(
            "node_id: n\nlisteners:\n  - name: tls\n    address: \"127.0.0.1:0\"\n    tls:\n      certificates: [{{certificate: tls/gate.pem, key: tls/gate.key}}]\n      names:\n{names}\nservices: [{{name: a, targets: [\"http://127.0.0.1:1\"]}}]\nroutes: [{{name: a, service: a}}]\nrecords: {{enabled: false}}\n"
        );
        let plan = tollgate_proxy::plan::RuntimeConfig::parse(&dir.path().join("gate.yaml"), text);
        plan.expect_err(names).to_string()
    };
    let table = [
        ("        - {names: [a], client_auth: required}", "client_auth needs client_ca"),
        ("        - {names: [a], client_auth: none, client_ca: tls/ca.pem}", "has no effect without client_auth"),
        ("        - {names: [], client_auth: none}", "lists no name"),
        ("        - {names: [\"a:443\"], client_auth: none}", "`a:443` is not a server name"),
        (
            "        - {names: [a], client_auth: none}\n        - {names: [A], client_auth: none}",
            "stands under two policies",
        ),
        (
            "        - {names: [a], client_auth: required, client_ca: tls/ca.pem, client_crl: {files: [tls/ca.pem]}}",
            "cannot be used as a revocation list",
        ),
        (
            "        - {names: [a], client_auth: required, client_ca: tls/ca.pem, client_crl: {files: []}}",
            "there is no revocation list; name at least one file",
        ),
    ];
    for (names, cure) in table {
        let said = check(names);
        assert!(said.contains(cure) && said.contains("gate.yaml:"), "{said}");
    }
}
