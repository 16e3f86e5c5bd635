//! A configuration that is refused says where and why, and nothing binds. The samples are accepted.

use std::path::Path;
use std::process::Command;

use tollgate_demo_ca::{DemoCa, Lifetime};
use tollgate_proxy::plan::RuntimeConfig;

const GOOD: &str = r#"node_id: gate-1
listeners:
  - {name: plain, address: "127.0.0.1:8080"}
services:
  - {name: api, targets: ["http://127.0.0.1:9000"]}
routes:
  - {name: all, service: api}
records: {spool: {dir: spool}}
"#;

#[test]
fn each_mistake_names_its_place_and_its_cure() {
    let dir = tempfile::tempdir().unwrap();
    let ca = DemoCa::open(&dir.path().join("tls")).unwrap();
    ca.server("a", &["a"], Lifetime::days(1)).unwrap();
    ca.server("b", &["b"], Lifetime::days(1)).unwrap();
    let swap = [
        ("node_id: gate-1", "node_id: gate 1", "gate.yaml:1:10: key `node_id`", "write such a name"),
        ("node_id: gate-1", "node_id: gate-1\nlisteners_max: 3", "gate.yaml:2:1:", "listeners"),
        ("127.0.0.1:8080", "localhost", "gate.yaml:3:28: key `listeners[0].address`", "write `ip:port`"),
        ("http://127.0.0.1:9000", "127.0.0.1:9000", "gate.yaml:5:27: key `services[0].targets[0]`", "http://host:port"),
        ("http://127.0.0.1:9000", "http://h/path", "services[0].targets[0]", "has a path"),
        ("service: api}", "service: apj}", "gate.yaml:7:26: key `routes[0].service`", "did you mean `api`?"),
        ("service: api}", "service: api, hosts: [\"a:80\"]}", "routes[0].hosts[0]", "write the host alone"),
        ("service: api}", "service: api, paths: [api]}", "routes[0].paths[0]", "starts with /"),
        ("service: api}", "service: api, methods: [get]}", "routes[0].methods[0]", "in capitals"),
        ("service: api}", "service: api, header_allow: [Cookie]}", "routes[0].header_allow[0]", "without credentials"),
        ("service: api}", "service: api, timeouts: {total: 10}}", "timeouts.total", "has no unit"),
        (
            "service: api}",
            "service: api}\n  - {name: all, service: api}",
            "routes[1].name",
            "is there already, on line 7",
        ),
        (
            "service: api}",
            "service: api}\n  - {name: two, service: api, paths: [/]}",
            "routes[1].name",
            "route `all` on line 7",
        ),
        (
            "127.0.0.1:8080\"}",
            "127.0.0.1:8080\", caps: {connections_max: 0}}",
            "gate.yaml:3:",
            "leave it out for no cap",
        ),
        ("9000\"]}", "9000\"], caps: {concurrent_max: 0}}", "services[0].caps.concurrent_max", "1 or more"),
        (
            "9000\"]}",
            "9000\"], caps: {requests_per_second_max: 0}}",
            "caps.requests_per_second_max",
            "0.001 to 1000000",
        ),
        (
            "9000\"]}",
            "9000\"], caps: {request_burst_max: 5}}",
            "caps.request_burst_max",
            "requests_per_second_max beside it",
        ),
        (
            "node_id: gate-1",
            "node_id: gate-1\nlimits: {headers_max: 0}",
            "key `limits.headers_max`",
            "must be 1 to 10000",
        ),
        ("node_id: gate-1", "node_id: gate-1\nlimits: {clients_max: 7}", "gate.yaml:2:", "must be 8 to"),
        ("{spool: {dir: spool}}", "{}", "records", "name a collector, or a spool folder"),
        ("{spool: {dir: spool}}", "{collectors: [\"http://c:1\"], spool: {dir: s}}", "collectors[0]", "https"),
        (
            "127.0.0.1:8080\"}",
            "127.0.0.1:8080\", tls: {certificates: [{certificate: tls/a.pem, key: tls/b.key}]}}",
            "certificate",
            "b.key",
        ),
        (
            "127.0.0.1:8080\"}",
            "127.0.0.1:8080\", tls: {certificates: [{certificate: no.pem, key: tls/b.key}]}}",
            "certificate",
            "no.pem",
        ),
        (
            "127.0.0.1:8080\"}",
            "127.0.0.1:8080\", tls: {client_auth: required, certificates: [{certificate: tls/a.pem, key: tls/a.key}]}}",
            "listeners[0]",
            "client_ca",
        ),
        ("9000\"]}", "9000\"], tls: {server_name: a}}", "services[0].name", "write https://"),
        (
            "127.0.0.1:8080\"}",
            "127.0.0.1:8080\", tls: {client_ca: tls/ca.pem, certificates: [{certificate: tls/a.pem, key: tls/a.key}]}}",
            "client_ca",
            "client_auth: optional",
        ),
        ("service: api}", "service: api, paths: [\"/a{b}\"]}", "routes[0].paths[0]", "a whole segment"),
        ("service: api}", "service: api, paths: [\"/{b}/{b}\"]}", "routes[0].paths[0]", "another name"),
        (
            "service: api}",
            "service: api, headers: [{name: x-forwarded-for}]}",
            "routes[0].headers[0].name",
            "cannot depend",
        ),
        (
            "service: api}",
            "service: api, headers: [{name: a, value: b, absent: true}]}",
            "routes[0].headers[0].name",
            "one of them",
        ),
        (
            "service: api}",
            "service: api, paths: [/a], rewrite: \"/b/{id}\"}",
            "routes[0].rewrite",
            "no variable of `/a`",
        ),
        (
            "service: api}",
            "service: api, paths: [\"=/a\"], strip_prefix: true}",
            "routes[0].paths[0]",
            "write `rewrite`",
        ),
        ("service: api}", "service: api, strip_prefix: true, rewrite: /b}", "routes[0].rewrite", "write one of them"),
        (
            "service: api}",
            "service: api, request_headers: {set: {Host: a}}}",
            "routes[0].request_headers.set.Host",
            "own",
        ),
        (
            "service: api}",
            "service: api, request_headers: {set: {Authorization: a}}}",
            "set.Authorization",
            "credential",
        ),
        (
            "service: api}",
            "service: api, response_headers: {add: {x-a: \"a\\r\\nb: c\"}}}",
            "response_headers.add.x-a",
            "control characters",
        ),
        ("service: api}", "service: api, response_headers: {add: {x-a: b}, remove: [X-A]}}", "add.x-a", "one edit"),
        (
            "service: api}",
            "service: api, paths: [\"/{a}\"]}\n  - {name: two, service: api, paths: [\"/{b}\"]}",
            "routes[1].name",
            "route `all` on line 7",
        ),
        ("service: api}", "service: api, paths: [/%61dmin]}", "routes[0].paths[0]", "write `/admin`"),
        ("service: api}", "service: api, header_allow: [X-Vault-Token]}", "header_allow[0]", "without credentials"),
        ("records:", "http2: {frame_bytes_max: 1000}\nrecords:", "http2.frame_bytes_max", "16384 to"),
        ("records:", "timeouts: {http2_idle: 0s}\nrecords:", "timeouts.http2_idle", "more than 0"),
        ("records:", "http2: {reset_burst_max: 0}\nrecords:", "http2.reset_burst_max", "more than 0"),
        ("records:", "workers: 0\nrecords:", "workers", "1 to"),
        ("records:", "forwarding: {trusted_hops: [10.0.0.0/40]}\nrecords:", "trusted_hops[0]", "10.0.0.0/8"),
        ("records:", "hmac: {key_file: none, key_id: a}\nrecords:", "hmac.key_file", "write the secret"),
    ];
    let mut wrong = Vec::new();
    for (good, bad, place, cure) in swap {
        assert!(GOOD.contains(good), "{good}");
        let error = RuntimeConfig::parse(&dir.path().join("gate.yaml"), GOOD.replacen(good, bad, 1))
            .expect_err(bad)
            .to_string();
        if !(error.contains(place) && error.contains(cure)) {
            wrong.push(format!("{bad}\n  wanted {place} … {cure}\n  found  {error}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    RuntimeConfig::parse(&dir.path().join("gate.yaml"), GOOD.to_owned()).unwrap();
}

#[test]
fn all_mistakes_are_named_at_once() {
    let text = GOOD.replace("gate-1", "gate 1").replace("service: api}", "service: no}").replace("127.0.0.1:8080", "x");
    let error = RuntimeConfig::parse(Path::new("gate.yaml"), text).unwrap_err();
    assert_eq!(error.diagnostics().len(), 3, "{error}");
}

fn run(arguments: &[&str]) -> (Option<i32>, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_tollgate-proxy")).args(arguments).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    (output.status.code(), text.into_owned())
}

#[test]
fn the_samples_are_accepted_and_print_what_is_accepted_again() {
    let dir = tempfile::tempdir().unwrap();
    let samples = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples");
    let ca = DemoCa::open(&dir.path().join("ca")).unwrap();
    let tls = dir.path().join("tls");
    std::fs::create_dir(&tls).unwrap();
    let server = ca.server("api", &["api.example.com"], Lifetime::days(1)).unwrap();
    let client = ca.client("gate-1", "gate-1", &["gate-1"], Lifetime::days(1)).unwrap();
    for (from, to) in [
        (server.cert.as_path(), "api.example.com.crt"),
        (server.key.as_path(), "api.example.com.key"),
        (client.cert.as_path(), "gate-1.crt"),
        (client.key.as_path(), "gate-1.key"),
        (ca.roots(), "clients.crt"),
        (ca.roots(), "internal.crt"),
    ] {
        std::fs::copy(from, tls.join(to)).unwrap();
    }
    std::fs::write(tls.join("hmac.key"), "0123456789abcdef0123456789abcdef").unwrap();
    for name in ["plain.yaml", "proxy.yaml"] {
        let file = dir.path().join(name);
        std::fs::copy(samples.join(name), &file).unwrap();
        let file = file.to_str().unwrap();
        assert_eq!(run(&["check", file]).0, Some(0), "{name}: {}", run(&["check", file]).1);
        assert_eq!(run(&["check", "--config", file]).0, Some(0));
        let (status, printed) = run(&["print-config", "--config", file]);
        assert_eq!(status, Some(0), "{printed}");
        let again = dir.path().join("printed.yaml");
        std::fs::write(&again, printed).unwrap();
        let (status, text) = run(&["check", again.to_str().unwrap()]);
        assert_eq!(status, Some(0), "{text}");
    }
}

#[test]
fn a_refused_configuration_ends_the_program_with_status_2() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("gate.yaml");
    std::fs::write(&file, GOOD.replace("name: api", "nam: api")).unwrap();
    let (status, text) = run(&["--config", file.to_str().unwrap()]);
    assert_eq!(status, Some(2));
    assert!(text.contains("gate.yaml:5:") && text.contains("`name`"), "{text}");
    assert_eq!(run(&["--config", "/no/such/file"]).0, Some(2));
    assert_eq!(run(&[]).0, Some(2));
}
