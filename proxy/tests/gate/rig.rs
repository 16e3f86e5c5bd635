//! The gate under test: upstream stubs, the proxy in this process, a collector double, and raw clients.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use serde_json::Value;
use tollgate_demo_ca::{DemoCa, Lifetime};
use tollgate_proxy::plan::RuntimeConfig;
use tollgate_proxy::{Running, start};

use crate::collector::Collector;

/// Longest wait of any test.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// An upstream stub. Each connection runs the closure on a thread of its own, with its number from 0.
#[derive(Debug, Clone)]
pub struct Upstream {
    pub addr: SocketAddr,
    pub connections: Arc<AtomicUsize>,
}

impl Upstream {
    pub fn start(serve: impl Fn(TcpStream, usize) + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let upstream = Self { addr: listener.local_addr().unwrap(), connections: Arc::default() };
        let (connections, serve) = (upstream.connections.clone(), Arc::new(serve));
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (nth, serve) = (connections.fetch_add(1, Ordering::SeqCst), serve.clone());
                std::thread::spawn(move || serve(stream, nth));
            }
        });
        upstream
    }

    /// Answers every request on a connection with the same bytes, after reading a body of known length.
    pub fn answering(answer: &'static [u8]) -> Self {
        Self::start(move |mut stream, _| {
            while let Some(request) = read_request(&mut stream) {
                let _ = request;
                if stream.write_all(answer).is_err() {
                    return;
                }
            }
        })
    }

    /// Answers with the request as it came, as text.
    pub fn echo() -> Self {
        Self::start(|mut stream, _| {
            while let Some(request) = read_request(&mut stream) {
                let answer = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{request}", request.len());
                if stream.write_all(answer.as_bytes()).is_err() {
                    return;
                }
            }
        })
    }
}

/// One request with its body (of known length, or chunked, then raw), or None at the end of the connection.
pub fn read_request(stream: &mut TcpStream) -> Option<String> {
    let head = read_until(stream, "\r\n\r\n")?;
    let lower = head.to_ascii_lowercase();
    if let Some(length) = lower.split("content-length: ").nth(1) {
        let length: usize = length.split("\r\n").next()?.trim().parse().ok()?;
        let mut body = vec![0; length];
        stream.read_exact(&mut body).ok()?;
        return Some(head + &String::from_utf8_lossy(&body));
    }
    if lower.contains("transfer-encoding: chunked") {
        return Some(head + &read_until(stream, "0\r\n\r\n")?);
    }
    Some(head)
}

/// Reads up to and with `end`.
pub fn read_until(stream: &mut TcpStream, end: &str) -> Option<String> {
    let mut text = Vec::new();
    let mut byte = [0];
    while !text.ends_with(end.as_bytes()) {
        if stream.read(&mut byte).ok()? == 0 {
            return None;
        }
        text.push(byte[0]);
    }
    Some(String::from_utf8_lossy(&text).into_owned())
}

/// A proxy with its collector.
pub struct Gate {
    pub dir: tempfile::TempDir,
    pub ca: DemoCa,
    pub collector: Collector,
    running: Option<Running>,
    pub plain: SocketAddr,
    pub tls: SocketAddr,
    pub admin: SocketAddr,
}

/// The parts of the configuration that tests change.
pub struct Setup<'a> {
    /// Items of `targets` of the service `api`.
    pub targets: &'a [String],
    /// More keys of the service.
    pub service: &'a str,
    /// More keys of the route `api`, which serves `/api`.
    pub route: &'a str,
    /// More top-level sections.
    pub extra: &'a str,
    /// More keys of `records`.
    pub records: &'a str,
    /// A collector that is tried before the double.
    pub first_collector: Option<SocketAddr>,
    /// `client_auth` of the TLS listener.
    pub client_auth: &'a str,
    /// More keys of the plaintext listener, as `, key: value`.
    pub listener: &'a str,
    /// More keys of the TLS listener.
    pub tls_listener: &'a str,
    /// More keys of its `tls`.
    pub tls: &'a str,
    /// `node_id`.
    pub node: &'a str,
}

impl Default for Setup<'_> {
    fn default() -> Self {
        Self {
            targets: &[],
            service: "",
            route: "",
            extra: "",
            records: "",
            first_collector: None,
            client_auth: "optional",
            listener: "",
            tls_listener: "",
            tls: "",
            node: "gate-1",
        }
    }
}

impl Gate {
    /// A gate in front of one upstream.
    pub fn before(upstream: &Upstream, extra: &str) -> Self {
        Self::with(&Setup { targets: &[format!("http://{}", upstream.addr)], extra, ..Setup::default() })
    }

    pub fn with(setup: &Setup<'_>) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let ca = DemoCa::open(&dir.path().join("tls")).unwrap();
        let collector = Collector::start(&ca);
        Self::around(dir, ca, collector, setup)
    }

    /// A gate in an existing folder, with an existing collector.
    pub fn around(dir: tempfile::TempDir, ca: DemoCa, collector: Collector, setup: &Setup<'_>) -> Self {
        ca.server("gate", &["localhost", "api.example.com"], Lifetime::days(1)).unwrap();
        ca.server("other", &["other.example.com"], Lifetime::days(1)).unwrap();
        ca.client("gate-client", "gate-1", &["gate-1"], Lifetime::days(1)).unwrap();
        std::fs::write(dir.path().join("hmac.key"), "0123456789abcdef0123456789abcdef").unwrap();
        let text = yaml(setup, &collector);
        let file = dir.path().join("gate.yaml");
        std::fs::write(&file, &text).unwrap();
        let plan = RuntimeConfig::load(&file);
        let plan = plan.unwrap_or_else(|error| panic!("{error}\n{text}"));
        let running = start(plan).unwrap();
        let (plain, tls, admin) = (running.addresses[0].1, running.addresses[1].1, running.admin);
        Self { dir, ca, collector, running: Some(running), plain, tls, admin }
    }

    /// The proxy.
    pub fn running(&self) -> &Running {
        self.running.as_ref().unwrap()
    }

    /// Replaces the first `from` in the configuration file, without a reload.
    pub fn edit(&self, from: &str, to: &str) {
        let file = self.dir.path().join("gate.yaml");
        let text = std::fs::read_to_string(&file).unwrap();
        assert!(text.contains(from), "{from} in {text}");
        std::fs::write(&file, text.replacen(from, to, 1)).unwrap();
    }

    /// A raw connection to the plaintext listener.
    pub fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(self.plain).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream
    }

    /// Sends bytes and reads the answer until the proxy closes.
    pub fn exchange(&self, request: &str) -> String {
        let mut stream = self.connect();
        stream.write_all(request.as_bytes()).unwrap();
        let mut answer = Vec::new();
        let _reset_counts_as_end = stream.read_to_end(&mut answer);
        String::from_utf8_lossy(&answer).into_owned()
    }

    /// One GET on a connection that is closed after it.
    pub fn get(&self, path: &str) -> String {
        self.exchange(&format!("GET {path} HTTP/1.1\r\nhost: api.example.com\r\nconnection: close\r\n\r\n"))
    }

    /// Waits until the collector has this many rows, and returns them.
    pub fn rows(&self, count: usize) -> Vec<Value> {
        let until = Instant::now() + PATIENCE;
        while self.collector.rows().len() < count && Instant::now() < until {
            std::thread::sleep(Duration::from_millis(5));
        }
        self.collector.rows()
    }

    /// Drains, and returns every row. Asserts that there is no other.
    pub fn finish(mut self) -> Vec<Value> {
        self.stop(Duration::from_secs(2));
        self.collector.rows()
    }

    pub fn stop(&mut self, patience: Duration) {
        if let Some(running) = self.running.take() {
            running.stop(patience);
        }
    }

    /// Drains, and asserts that exactly one record came.
    pub fn one_record(self) -> Value {
        let rows = self.finish();
        assert_eq!(rows.len(), 1, "{rows:#?}");
        check_times(&rows[0]);
        rows.into_iter().next().unwrap()
    }

    /// A counter or gauge of `/metrics`, summed over its labels.
    pub fn metric(&self, name: &str) -> f64 {
        let exposition = get_text(self.admin, "/metrics");
        let of_name = |line: &&str| line.strip_prefix(name).is_some_and(|rest| rest.starts_with([' ', '{']));
        exposition.lines().filter(of_name).filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).sum()
    }
}

impl Drop for Gate {
    fn drop(&mut self) {
        self.stop(Duration::ZERO);
    }
}

fn yaml(setup: &Setup<'_>, collector: &Collector) -> String {
    let targets: String = setup.targets.iter().map(|target| format!("\n      - {target}")).collect();
    let collectors = setup.first_collector.into_iter().chain([collector.addr]);
    let collectors: Vec<_> = collectors.map(|addr| format!("\"https://{addr}\"")).collect();
    format!(
        r#"
node_id: {node}
workers: 1
listeners:
  - {{name: plain, address: "127.0.0.1:0"{listener}}}
  - name: tls
    address: "127.0.0.1:0"
{tls_listener}
    tls:
      certificates:
        - {{certificate: tls/gate.pem, key: tls/gate.key}}
        - {{certificate: tls/other.pem, key: tls/other.key}}
      client_auth: {client_auth}
{client_ca}
{tls}
services:
  - name: api
    app_id: team-a
    targets:{targets}
{service}
routes:
  - name: api
    service: api
    paths: ["/api"]
    http_route: /api/{{rest}}
    query_allow: [page]
    header_allow: [x-shown]
{route}
  - {{name: secure, service: api, paths: ["/secure"], require_client_cert: true}}
hmac: {{key_file: hmac.key, key_id: k1}}
admin: {{address: "127.0.0.1:0"}}
records:
  collectors: [{collectors}]
  tls: {{ca: tls/ca.pem, certificate: tls/gate-client.pem, key: tls/gate-client.key}}
  batch_age_max: 20ms
{backoff}
{records}
{extra}
"#,
        collectors = collectors.join(", "),
        client_auth = setup.client_auth,
        client_ca = if setup.client_auth == "none" { "" } else { "      client_ca: tls/ca.pem" },
        listener = setup.listener,
        tls_listener = setup.tls_listener,
        tls = setup.tls,
        node = setup.node,
        service = setup.service,
        route = setup.route,
        backoff = if setup.records.contains("backoff_") { "" } else { "  backoff_min: 10ms\n  backoff_max: 50ms" },
        records = setup.records,
        extra = setup.extra,
    )
}

/// A GET to the admin endpoint.
pub fn get_text(addr: SocketAddr, path: &str) -> String {
    let mut stream = TcpStream::connect(addr).unwrap();
    write!(stream, "GET {path} HTTP/1.1\r\nhost: admin\r\nconnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

/// Asserts fields of a row. `null` means that the field is absent.
pub fn assert_row(row: &Value, expected: Value) {
    for (key, value) in expected.as_object().unwrap() {
        let found = row.get(key).unwrap_or(&Value::Null);
        assert_eq!(found, value, "{key} of {row:#}");
    }
}

/// Asserts that the durations fit into each other.
pub fn check_times(row: &Value) {
    let total = row["tollgate.total_us"].as_i64().unwrap();
    assert!(total >= 0, "{row:#}");
    for part in ["gateway_us", "upstream_ttfb_us", "upstream_receive_us", "upstream_connect_us"] {
        let part = row.get(format!("tollgate.{part}")).and_then(Value::as_i64).unwrap_or(0);
        assert!((0..=total + 1).contains(&part), "{part} in {row:#}");
    }
}
