//! A thousand reloads under load: no request fails, and memory does not grow. The proxy is a process of its own, so
//! that its memory can be measured.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};

use http::Request;
use http_body_util::{BodyExt, Empty};
use tollgate_demo_ca::{DemoCa, Lifetime};

use crate::http2::{connect, read};
use crate::reload::{admin, keepalive_get};
use crate::rig::{PATIENCE, Upstream};

const RELOADS: usize = 1_000;
/// Reloads after which memory counts as settled: the allocator and the pools have seen everything by then.
const SETTLED: usize = 200;
/// Growth that is noise. A plan leaked at each reload would be several times this.
const GROWTH_KIB_MAX: u64 = 16 * 1024;
/// Lines of the log that are kept until they are asked for.
const LINES_MAX: usize = 64;
const ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nhi";

/// A running proxy. Killed if the test fails.
struct Process {
    child: Child,
    plain: SocketAddr,
    tls: SocketAddr,
    admin: SocketAddr,
}

impl Process {
    fn start(config: &Path) -> Self {
        let program = env!("CARGO_BIN_EXE_tollgate-proxy");
        let mut command = Command::new(program);
        command.args(["--log-json", "--config"]).arg(config).env("TOLLGATE_LOG", "info").stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let (said, lines) = mpsc::sync_channel(LINES_MAX);
        let log = BufReader::new(child.stderr.take().unwrap());
        // Read to the end, so that the proxy never waits for its log. Old lines are dropped.
        std::thread::spawn(move || log.lines().map_while(Result::ok).for_each(|line| drop(said.try_send(line))));
        let address = |lines: &mpsc::Receiver<String>| loop {
            let line = lines.recv_timeout(PATIENCE).expect("the proxy says where it listens");
            let words = serde_json::from_str::<serde_json::Value>(&line).map(|line| line["address"].clone());
            if let Some(address) = words.ok().and_then(|address| address.as_str()?.parse().ok()) {
                return address;
            }
        };
        let (plain, tls, admin) = (address(&lines), address(&lines), address(&lines));
        Self { child, plain, tls, admin }
    }

    fn rss_kib(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
        line.trim().trim_end_matches(" kB").parse().unwrap()
    }

    fn metric(&self, name: &str) -> f64 {
        let exposition = admin(self.admin, "GET", "/metrics");
        let line = exposition.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        line.map_or(0.0, |value| value.parse().unwrap())
    }

    /// Waits until a metric has a value.
    fn reaches(&self, name: &str, value: f64) {
        let until = Instant::now() + PATIENCE;
        while self.metric(name) != value {
            assert!(Instant::now() < until, "{name} is {} and not {value}", self.metric(name));
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    fn signal(&self, name: &str) {
        let status = Command::new("kill").args([name, &self.child.id().to_string()]).status().unwrap();
        assert!(status.success());
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _gone = self.child.kill();
        let _reaped = self.child.wait();
    }
}

fn text(upstream: SocketAddr, nth: usize) -> String {
    // Every second text has another path, name, and upstream identity: the name of the same loopback address.
    let other = ["127.0.0.1", "localhost"][nth % 2];
    let port = upstream.port();
    format!(
        r#"
node_id: gate-1
workers: 2
listeners:
  - {{name: plain, address: "127.0.0.1:0"}}
  - name: tls
    address: "127.0.0.1:0"
    tls: {{certificates: [{{certificate: tls/gate.pem, key: tls/gate.key}}]}}
services:
  - {{name: api, targets: ["http://127.0.0.1:{port}"]}}
  - {{name: other-{parity}, targets: ["http://{other}:{port}"]}}
routes:
  - {{name: api, service: api, paths: ["/api"]}}
  - {{name: other-{parity}, service: other-{parity}, paths: ["/other"]}}
admin: {{address: "127.0.0.1:0"}}
records: {{spool: {{dir: spool, bytes_max: 4 MiB}}, ring_bytes_max: 1 MiB}}
"#,
        parity = nth % 2,
    )
}

/// Sends requests on one kept HTTP/1.1 connection until the test stops it, and returns how many.
fn http1(addr: SocketAddr, path: &'static str, stop: &AtomicBool) -> usize {
    let mut stream = TcpStream::connect(addr).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut served = 0;
    while !stop.load(Ordering::Relaxed) {
        let answer = keepalive_get(&mut stream, path);
        assert!(answer.starts_with("HTTP/1.1 200") && answer.ends_with("hi"), "{answer}");
        served += 1;
    }
    served
}

/// The same on one HTTP/2 connection.
fn http2(addr: SocketAddr, roots: &Path, stop: &AtomicBool) -> usize {
    let config = tollgate_tls::client(Some(roots), None, &["h2"]).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let mut sender = connect(addr, config).await;
        let mut served = 0;
        while !stop.load(Ordering::Relaxed) {
            let request = Request::get("https://localhost/other/x").body(Empty::new().boxed()).unwrap();
            let response = sender.send_request(request).await.unwrap();
            assert_eq!(response.status(), 200);
            assert_eq!(read(response.into_body()).await.to_bytes(), "hi");
            served += 1;
        }
        served
    })
}

#[test]
fn a_thousand_reloads_under_load_fail_no_request_and_leave_nothing_behind() {
    let upstream = Upstream::answering(ANSWER);
    let dir = tempfile::tempdir().unwrap();
    let ca = DemoCa::open(&dir.path().join("tls")).unwrap();
    ca.server("gate", &["localhost"], Lifetime::days(1)).unwrap();
    let file = dir.path().join("gate.yaml");
    std::fs::write(&file, text(upstream.addr, 0)).unwrap();
    let proxy = Process::start(&file);
    let (stop, served) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    let mut settled = 0;
    std::thread::scope(|scope| {
        // A panic below stops the clients too.
        let stopper = Stopper(stop.clone());
        let mut clients = Vec::new();
        for path in ["/api/1", "/other/1"] {
            let (stop, plain) = (stop.clone(), proxy.plain);
            clients.push(scope.spawn(move || http1(plain, path, &stop)));
        }
        let (stop, tls, roots) = (stop.clone(), proxy.tls, ca.roots());
        clients.push(scope.spawn(move || http2(tls, roots, &stop)));
        let mut control = TcpStream::connect(proxy.admin).unwrap();
        control.set_read_timeout(Some(PATIENCE)).unwrap();
        for nth in 1..=RELOADS {
            std::fs::write(&file, text(upstream.addr, nth)).unwrap();
            let answer = post_reload(&mut control);
            assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
            if nth == SETTLED {
                settled = proxy.rss_kib();
            }
        }
        drop(stopper);
        for client in clients {
            served.fetch_add(client.join().expect("a client was served all the time"), Ordering::Relaxed);
        }
    });
    proxy.reaches("tollgate_proxy_plans_in_use", 1.0);
    let grown = proxy.rss_kib().saturating_sub(settled);
    println!(
        "{RELOADS} reloads, {} requests, {settled} KiB at first, {grown} KiB more",
        served.load(Ordering::Relaxed)
    );
    assert!(grown < GROWTH_KIB_MAX, "{grown} KiB more than the {settled} KiB after {SETTLED} reloads");
    assert_eq!(proxy.metric("tollgate_proxy_reloads_total{outcome=\"ok\"}"), RELOADS as f64);
    assert!(served.load(Ordering::Relaxed) >= RELOADS / 10, "there was load");
    proxy.signal("-HUP");
    proxy.reaches("tollgate_proxy_reloads_total{outcome=\"ok\"}", RELOADS as f64 + 1.0);
}

struct Stopper(Arc<AtomicBool>);

impl Drop for Stopper {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Asks for a reload on a kept connection to the admin endpoint.
fn post_reload(stream: &mut TcpStream) -> String {
    write!(stream, "POST /reload HTTP/1.1\r\nhost: admin\r\ncontent-length: 0\r\n\r\n").unwrap();
    let head = crate::rig::read_until(stream, "\r\n\r\n").expect("the admin endpoint answers");
    let length = head.split("content-length: ").nth(1).and_then(|rest| rest.split("\r\n").next()?.parse().ok());
    let mut body = vec![0; length.unwrap_or(0)];
    stream.read_exact(&mut body).unwrap();
    head + &String::from_utf8_lossy(&body)
}
