//! nginx as the upstream: an independent implementation of HTTP/2, keep-alive, mutual TLS and PROXY headers.

use std::path::Path;
use std::process::{Child, Command, Stdio};

use serde_json::json;
use tollgate_demo_ca::{DemoCa, Lifetime};

use crate::rig::{Gate, Setup, assert_row};
use crate::upstream_rig::{eventually, post, status_of};

/// Killed at the end of the test.
struct Nginx(Child);

impl Drop for Nginx {
    fn drop(&mut self) {
        // nginx may have ended by itself.
        let _ended = self.0.kill();
        let _reaped = self.0.wait();
    }
}

/// Whether nginx is installed. Without it nothing is tested; with `CI` set, that fails.
fn is_installed() -> bool {
    let here = Command::new("nginx").arg("-v").stderr(Stdio::null()).status().is_ok();
    assert!(here || std::env::var_os("CI").is_none(), "nginx is missing: scripts/install-deps.sh test");
    if !here {
        eprintln!("SKIPPED: nginx is missing; scripts/install-deps.sh test installs it");
    }
    here
}

/// Starts one with these servers on a free port, `PORT` in their text.
fn start(dir: &Path, servers: &str) -> (Nginx, u16) {
    let port = tollgate_tests::net::free_port().unwrap();
    let temp: String =
        ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"].map(|name| format!("{name}_temp_path {name};\n")).concat();
    let conf = format!(
        "daemon off; master_process off; pid nginx.pid; error_log nginx.err;\nevents {{}}\nhttp {{ access_log off;\n{temp}{} }}\n",
        servers.replace("PORT", &port.to_string())
    );
    std::fs::write(dir.join("nginx.conf"), conf).unwrap();
    let prefix = format!("{}/", dir.display());
    let child = Command::new("nginx").args(["-p", &prefix, "-c", "nginx.conf", "-e", "nginx.err"]).spawn().unwrap();
    let nginx = Nginx(child);
    eventually("nginx listens", || std::net::TcpStream::connect(("127.0.0.1", port)).is_ok());
    (nginx, port)
}

#[test]
fn http2_with_mutual_tls_and_a_goaway_every_few_requests_fails_no_request() {
    if !is_installed() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let ca = DemoCa::open(&dir.path().join("tls")).unwrap();
    ca.server("up", &["localhost"], Lifetime::days(1)).unwrap();
    ca.client("me", "me", &[], Lifetime::days(1)).unwrap();
    let (_nginx, port) = start(
        dir.path(),
        "server { listen 127.0.0.1:PORT ssl http2; ssl_certificate tls/up.pem; ssl_certificate_key tls/up.key;
           ssl_client_certificate tls/ca.pem; ssl_verify_client on; keepalive_requests 10;
           location / { return 200 \"$server_protocol $ssl_client_s_dn\"; } }",
    );
    let targets = [format!("https://localhost:{port}")];
    let service = "    protocol: auto\n    tls: {ca: tls/ca.pem, client: {certificate: tls/me.pem, key: tls/me.key}}";
    let collector = crate::collector::Collector::start(&ca);
    let gate = Gate::around(dir, ca, collector, &Setup { targets: &targets, service, ..Setup::default() });
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for _ in 0..25 {
                    let answer = post(&gate, "hello");
                    assert!(
                        status_of(&answer) == "200"
                            && answer.contains("\r\n\r\nHTTP/2.0 ")
                            && answer.ends_with("CN=me"),
                        "{answer}"
                    );
                }
            });
        }
    });
    let rows = gate.finish();
    assert_eq!(rows.len(), 100);
    let fresh = rows.iter().filter(|row| row["tollgate.upstream_reused"] == false).count();
    assert!((10..60).contains(&fresh), "{fresh} connections for 100 requests, 10 on each");
}

#[test]
fn keep_alive_ends_and_proxy_headers_are_understood() {
    if !is_installed() {
        return;
    }
    for version in ["v1", "v2"] {
        let dir = tempfile::tempdir().unwrap();
        let (_nginx, port) = start(
            dir.path(),
            "server { listen 127.0.0.1:PORT proxy_protocol; keepalive_requests 3;
               location / { return 200 \"$proxy_protocol_addr $proxy_protocol_port\"; } }",
        );
        let targets = [format!("http://127.0.0.1:{port}")];
        let service = format!("    proxy_protocol: {version}");
        let gate = Gate::with(&Setup { targets: &targets, service: &service, ..Setup::default() });
        use std::io::Write;
        let mut client = gate.connect();
        let end = format!("127.0.0.1 {}", client.local_addr().unwrap().port());
        for _ in 0..7 {
            client.write_all(b"GET /api HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
            let answer = crate::rig::read_until(&mut client, &end).unwrap();
            assert_eq!(status_of(&answer), "200", "{answer}");
        }
        drop(client);
        let rows = gate.finish();
        assert_eq!(rows.iter().filter(|row| row["tollgate.upstream_reused"] == false).count(), 3);
        rows.iter().for_each(|row| assert_row(row, json!({"tollgate.termination": "complete", "error.type": null})));
    }
}
