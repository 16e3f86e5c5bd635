//! Failed handshakes of every kind, provoked by openssl and raw sockets. Each leaves a record with its reason.

use std::io::{Read, Write};
use std::net::TcpStream;

use serde_json::{Value, json};
use tollgate_demo_ca::{DemoCa, Issued, Lifetime};

use crate::collector::Collector;
use crate::programs::{run, s_client};
use crate::rig::{Gate, Setup, Upstream, assert_row, get_text};

const OK: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello";

fn gate(dir: tempfile::TempDir, ca: DemoCa, tls: &str, extra: &str) -> Gate {
    let targets = [format!("http://{}", Upstream::answering(OK).addr)];
    let collector = Collector::start(&ca);
    let setup = Setup { targets: &targets, client_auth: "required", tls, extra, ..Setup::default() };
    Gate::around(dir, ca, collector, &setup)
}

fn showing(issued: &Issued) -> Vec<String> {
    ["-cert", issued.cert.to_str().unwrap(), "-key", issued.key.to_str().unwrap()].map(str::to_owned).to_vec()
}

/// The one record that came, and the first word of its detail, which is also the metric's label.
fn failed(gate: Gate, reason: &str) -> Value {
    gate.rows(1);
    let metrics = get_text(gate.admin, "/metrics");
    let metrics: Vec<&str> = metrics.lines().filter(|line| line.contains("handshake_failures")).collect();
    let series = format!("tollgate_proxy_handshake_failures_total{{listener=\"tls\",reason=\"{reason}\"}} 1");
    let row = gate.one_record();
    assert!(metrics.contains(&series.as_str()), "{series} in {metrics:?} for {row:#}");
    assert_row(&row, json!({"tollgate.kind": "handshake_failed", "error.type": "tls_handshake"}));
    assert!(row["error.message"].as_str().unwrap().starts_with(reason), "{row:#}");
    row
}

#[test]
fn certificates_that_are_refused() {
    type Make = fn(&DemoCa, &DemoCa) -> Option<Issued>;
    let table: [(Make, &str, &str, Value, &str); 6] = [
        (|_, _| None, "", "no_certificate", json!("missing"), "none"),
        (
            |_, other| other.client("x", "x", &[], Lifetime::days(1)).ok(),
            "",
            "cert_unknown_ca",
            json!("cert_unknown_ca"),
            "failed",
        ),
        (
            |ca, _| ca.client("x", "x", &[], Lifetime::expired()).ok(),
            "",
            "cert_expired",
            json!("cert_expired"),
            "failed",
        ),
        (
            |ca, _| ca.client("x", "x", &[], Lifetime::not_yet()).ok(),
            "",
            "cert_expired",
            json!("cert_expired"),
            "failed",
        ),
        (
            |ca, _| {
                let issued = ca.client("x", "x", &[], Lifetime::days(1)).ok()?;
                ca.revoke("clients", &[&issued], Lifetime::days(1)).unwrap();
                Some(issued)
            },
            "      client_crl: {files: [tls/clients.crl]}",
            "cert_revoked",
            json!("cert_revoked"),
            "failed",
        ),
        (
            |ca, _| {
                ca.revoke("clients", &[], Lifetime::expired()).unwrap();
                ca.client("x", "x", &[], Lifetime::days(1)).ok()
            },
            "      client_crl: {files: [tls/clients.crl], expired: refuse}",
            "crl_expired",
            Value::Null,
            "failed",
        ),
    ];
    for (make, tls, reason, fail_reason, verify) in table {
        let dir = tempfile::tempdir().unwrap();
        let ca = DemoCa::open(&dir.path().join("tls")).unwrap();
        let other = DemoCa::open(&dir.path().join("other")).unwrap();
        let shown = make(&ca, &other).as_ref().map(showing).unwrap_or_default();
        let gate = gate(dir, ca, tls, "");
        let all: Vec<&str> = ["-servername", "localhost"].into_iter().chain(shown.iter().map(String::as_str)).collect();
        let Some(said) = s_client(gate.tls, "localhost", &all) else { return };
        assert!(!said.contains("HTTP/1.1 200"), "{reason}: {said}");
        let row = failed(gate, reason);
        assert_row(
            &row,
            json!({
                "tollgate.auth_fail_reason": fail_reason, "tollgate.auth_result": "failed", "tollgate.tls_sni": "localhost",
                "tollgate.mtls_verify": verify, "tollgate.termination": "gateway", "client.address": "127.0.0.1",
            }),
        );
    }
}

#[test]
fn revocation_lists_let_the_others_in_and_say_what_a_gap_means() {
    let dir = tempfile::tempdir().unwrap();
    let ca = DemoCa::open(&dir.path().join("tls")).unwrap();
    let other = DemoCa::open(&dir.path().join("other")).unwrap();
    let good = ca.client("good", "good", &[], Lifetime::days(1)).unwrap();
    let bad = ca.client("bad", "bad", &[], Lifetime::days(1)).unwrap();
    ca.revoke("clients", &[&bad], Lifetime::days(1)).unwrap();
    other.revoke("elsewhere", &[], Lifetime::days(1)).unwrap();
    ca.revoke("old", &[&bad], Lifetime::expired()).unwrap();
    let names = r#"
      names:
        - {names: [strict.example.com], client_auth: required, client_ca: tls/ca.pem, client_crl: {files: [tls/clients.crl]}}
        - {names: [gap.example.com], client_auth: required, client_ca: tls/ca.pem, client_crl: {files: [other/elsewhere.crl]}}
        - {names: [lax.example.com], client_auth: required, client_ca: tls/ca.pem, client_crl: {files: [other/elsewhere.crl], unknown: accept}}
        - {names: [old.example.com], client_auth: required, client_ca: tls/ca.pem, client_crl: {files: [tls/old.crl]}}
"#;
    let gate = gate(dir, ca, names, "");
    let (good, bad) = (showing(&good), showing(&bad));
    let table = [
        ("strict.example.com", &good, true),
        ("strict.example.com", &bad, false),
        ("gap.example.com", &good, false),
        ("lax.example.com", &bad, true),
        ("old.example.com", &good, true),
        ("old.example.com", &bad, false),
    ];
    for (name, shown, served) in table {
        let all: Vec<&str> = ["-servername", name].into_iter().chain(shown.iter().map(String::as_str)).collect();
        let Some(said) = s_client(gate.tls, name, &all) else { return };
        assert_eq!(said.contains("HTTP/1.1 200"), served, "{name}: {said}");
    }
    let rows = gate.finish();
    assert_eq!(rows.len(), table.len());
    assert_row(&rows[1], json!({"tollgate.auth_fail_reason": "cert_revoked"}));
    assert!(rows[2]["error.message"].as_str().unwrap().starts_with("crl_unknown"));
    assert_row(&rows[5], json!({"tollgate.auth_fail_reason": "cert_revoked"}));
}

#[test]
fn nothing_in_common() {
    let table: [(&str, &[&str], &str, &str); 5] = [
        ("", &["-tls1_1", "-cipher", "DEFAULT@SECLEVEL=0"], "unsupported_version", "gateway"),
        ("      min_version: \"1.3\"", &["-tls1_2"], "unsupported_version", "gateway"),
        ("", &["-tls1_2", "-cipher", "AES128-SHA"], "no_shared_cipher", "gateway"),
        ("", &["-tls1_3", "-groups", "P-521"], "no_shared_cipher", "gateway"),
        ("", &["-alpn", "spdy/3"], "no_shared_protocol", "gateway"),
    ];
    for (tls, arguments, reason, termination) in table {
        let dir = tempfile::tempdir().unwrap();
        let ca = DemoCa::open(&dir.path().join("tls")).unwrap();
        let gate = gate(dir, ca, tls, "");
        let Some(_) = s_client(gate.tls, "localhost", arguments) else { return };
        let row = failed(gate, reason);
        assert_row(
            &row,
            json!({"tollgate.termination": termination, "tollgate.auth_result": null, "tls.protocol.version": null}),
        );
    }
}

#[test]
fn a_client_that_does_not_trust_us() {
    let dir = tempfile::tempdir().unwrap();
    let ca = DemoCa::open(&dir.path().join("tls")).unwrap();
    let gate = gate(dir, ca, "", "");
    let stranger = DemoCa::open(&gate.dir.path().join("stranger")).unwrap();
    let roots = stranger.roots().to_str().unwrap();
    let arguments = ["-verify_return_error", "-CAfile", roots];
    let Some(_) = s_client(gate.tls, "localhost", &arguments) else { return };
    let row = failed(gate, "peer_cert_unknown_ca");
    assert_row(&row, json!({"tollgate.termination": "client", "tollgate.auth_fail_reason": null}));
}

#[test]
fn no_tls_at_all_too_slow_or_gone() {
    let fresh = |extra: &str| {
        let dir = tempfile::tempdir().unwrap();
        let ca = DemoCa::open(&dir.path().join("tls")).unwrap();
        gate(dir, ca, "", extra)
    };
    let plain = fresh("");
    let url = format!("http://{}/api", plain.tls);
    let Some(said) = run("curl", &["-sS", "-m", "10", &url], b"") else { return };
    assert!(said.contains("curl: ("), "{said}");
    assert_row(&failed(plain, "not_tls"), json!({"tollgate.termination": "gateway", "tollgate.tls_sni": null}));

    let slow = fresh("timeouts: {handshake: 200ms}");
    let mut stream = TcpStream::connect(slow.tls).unwrap();
    stream.write_all(&[0x16, 3, 1]).unwrap();
    assert_eq!(stream.read(&mut [0]).unwrap_or(0), 0);
    assert_row(&failed(slow, "timeout"), json!({"tollgate.termination": "gateway"}));

    let gone = fresh("");
    let mut stream = TcpStream::connect(gone.tls).unwrap();
    stream.write_all(&[0x16, 3, 1]).unwrap();
    drop(stream);
    assert_row(&failed(gone, "closed"), json!({"tollgate.termination": "client"}));
}
