//! Other people's clients: openssl and curl.

use std::io::Write;
use std::net::SocketAddr;
use std::process::{Command, Stdio};

/// Runs a program with this input, and returns its output and errors in one text. `None`, with a warning, if it is not
/// installed; with `CI` set, that fails the test.
pub fn run(program: &str, arguments: &[&str], input: &[u8]) -> Option<String> {
    let started = Command::new(program)
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    let mut child = match started {
        Ok(child) => child,
        Err(error) => {
            assert!(std::env::var("CI").as_deref() != Ok("true"), "{program} is needed: {error}");
            eprintln!("SKIPPED: {program} cannot be run: {error}; scripts/install-deps.sh test installs it");
            return None;
        }
    };
    let mut stdin = child.stdin.take().unwrap();
    let input = input.to_vec();
    let writer = std::thread::spawn(move || {
        let _it_may_have_ended = stdin.write_all(&input);
    });
    let output = child.wait_with_output().unwrap();
    writer.join().unwrap();
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    Some(format!("{out}\n{err}"))
}

/// Runs `openssl s_client` with one request for `/api` under `host`, and returns the transcript.
pub fn s_client(addr: SocketAddr, host: &str, arguments: &[&str]) -> Option<String> {
    let addr = addr.to_string();
    let all: Vec<&str> =
        ["s_client", "-ign_eof", "-connect", &addr].into_iter().chain(arguments.iter().copied()).collect();
    let request = format!("GET /api HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
    run("openssl", &all, request.as_bytes())
}

/// Runs curl for this URL, whose host resolves to this address. Returns the body, then the status on a line of its own.
pub fn curl(addr: SocketAddr, url: &str, arguments: &[&str]) -> Option<String> {
    let connect = format!("::{addr}");
    let fixed = ["-sS", "-m", "20", "--connect-to", &connect, "-w", "\nstatus=%{http_code}", url];
    let all: Vec<&str> = fixed.into_iter().chain(arguments.iter().copied()).collect();
    run("curl", &all, b"")
}
