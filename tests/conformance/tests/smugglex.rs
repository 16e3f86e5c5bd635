//! smugglex, a scanner for request smuggling, against the proxy in front of nginx: it finds nothing, and nothing goes by
//! without a record. That it finds what is there is seen on a server that reads no bodies.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use serde_json::Value;
use tollgate_conformance::gate::Gate;
use tollgate_conformance::peer::Site;
use tollgate_conformance::tool;
use tollgate_tests::process::run_any;

/// All that it can look for over HTTP/1.
const CHECKS: &str = "cl-te,te-cl,te-te,h2c,h2,cl-edge,cl-0,0-cl,parser-discrepancy";
/// Exit status of smugglex when it found something.
const FOUND: i32 = 1;
/// Seconds that it waits for an answer: more than `timeouts` of the gate, or it would take a wait for a finding.
const TIMEOUT_SECONDS: &str = "8";

/// The tool's result of each check of `url`, and its exit status.
fn scan(program: &Path, url: &str, arguments: &[&str]) -> (Option<i32>, Vec<Value>) {
    let mut command = Command::new("timeout");
    command.arg("60").arg(program).args([url, "--json", "--timeout", TIMEOUT_SECONDS]).args(arguments);
    let output = run_any(&mut command).unwrap();
    let report: Value = serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|error| panic!("{url}: {error}: {}", String::from_utf8_lossy(&output.stderr)));
    (output.status.code(), report["results"][0]["checks"].as_array().cloned().unwrap_or_default())
}

/// Every check was made, and found nothing.
fn assert_clean((status, checks): (Option<i32>, Vec<Value>), wanted: &str) {
    assert_eq!(status, Some(0), "{checks:#?}");
    let mut made: Vec<&str> = checks.iter().filter_map(|check| check["check_type"].as_str()).collect();
    let mut wanted: Vec<&str> = wanted.split(',').collect();
    made.sort_unstable();
    wanted.sort_unstable();
    assert_eq!(made, wanted);
    for check in &checks {
        assert_eq!(check["vulnerable"], false, "{check:#}");
        // What it compares with is a request that was served: a check without one proves nothing.
        assert!(check["normal_status"].as_str().unwrap_or_default().contains(" 200"), "{check:#}");
    }
}

#[test]
fn smugglex_finds_nothing() {
    let Some(program) = tool::installed_by("smugglex.sh") else { return };
    let Some(site) = Site::start().unwrap() else { return };
    let gate = Gate::start(site.addr, "", "").unwrap();
    assert_clean(scan(&program, &format!("http://{}/", gate.plain), &["--checks", CHECKS]), CHECKS);
    // smugglex mutates its payloads, the same way each time.
    let fuzz = ["--checks", CHECKS, "--fuzz", "--fuzz-seed", "42"];
    assert_clean(scan(&program, &format!("http://{}/", gate.plain), &fuzz), CHECKS);
    // Over TLS also by frames of HTTP/2 that contradict the length.
    let (url, all) = (format!("https://localhost:{}/", gate.tls.port()), format!("{CHECKS},h2-downgrade"));
    let ca = gate.ca();
    assert_clean(scan(&program, &url, &["--checks", &all, "--cacert", ca.to_str().unwrap()]), &all);
    let records = gate.finish().unwrap();
    assert!(records.iter().any(|record| record["http.response.status_code"] == 200));
    assert!(records.iter().any(|record| record["error.type"] == "bad_request"));
    // smugglex sends its probes as bodies, never as requests of their own.
    assert!(records.iter().all(|record| !record["url.path"].to_string().contains("__smugglex")), "{records:#?}");
}

#[test]
fn smugglex_finds_a_server_that_reads_no_bodies() {
    let Some(program) = tool::installed_by("smugglex.sh") else { return };
    let url = format!("http://{}/", naive());
    let (status, checks) = scan(&program, &url, &["--checks", "cl-0"]);
    assert_eq!((status, &checks[0]["vulnerable"]), (Some(FOUND), &Value::Bool(true)), "{checks:#?}");
}

/// A server that takes a body for the next request.
fn naive() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        listener.incoming().flatten().for_each(|stream| drop(std::thread::spawn(|| serve(stream))))
    });
    addr
}

fn serve(mut stream: TcpStream) {
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    let (mut head, mut byte) = (Vec::new(), [0]);
    while stream.read(&mut byte).is_ok_and(|read| read == 1) {
        head.push(byte[0]);
        if !head.ends_with(b"\r\n\r\n") {
            continue;
        }
        let known = head.split(|byte| *byte == b' ').nth(1) == Some(b"/");
        let answer =
            if known { "200 OK\r\ncontent-length: 2\r\n\r\nok" } else { "404 No\r\ncontent-length: 2\r\n\r\nno" };
        if stream.write_all(format!("HTTP/1.1 {answer}").as_bytes()).is_err() {
            return;
        }
        head.clear();
    }
}
