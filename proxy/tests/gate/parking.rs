//! Parked connections: a client must not notice, whatever comes next.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustls::{ClientConfig, ClientConnection, StreamOwned};
use serde_json::json;
use tollgate_demo_ca::{DemoCa, Lifetime};

use crate::rig::{Gate, PATIENCE, Setup, Upstream, assert_row, get_text};

const OK: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello";
const GET: &str = "GET /api HTTP/1.1\r\nhost: localhost\r\n\r\n";
const RESTING: &str = "tollgate_proxy_connections_resting";
const OPEN: &str = "tollgate_proxy_connections_open";

type Tls = StreamOwned<ClientConnection, TcpStream>;

fn gate(timeouts: &str) -> Gate {
    Gate::before(&Upstream::answering(OK), &format!("timeouts: {{{timeouts}}}"))
}

pub fn config(ca: &DemoCa, version: &'static rustls::SupportedProtocolVersion) -> Arc<ClientConfig> {
    tollgate_tls::install_provider();
    let roots = tollgate_tls::Roots::load(ca.roots()).unwrap();
    let provider = rustls::crypto::CryptoProvider::get_default().unwrap().clone();
    let builder = ClientConfig::builder_with_provider(provider).with_protocol_versions(&[version]).unwrap();
    Arc::new(builder.with_root_certificates(roots.store().clone()).with_no_client_auth())
}

fn tls(addr: SocketAddr, config: &Arc<ClientConfig>) -> Tls {
    let stream = TcpStream::connect(addr).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    StreamOwned::new(ClientConnection::new(config.clone(), "localhost".try_into().unwrap()).unwrap(), stream)
}

fn say(stream: &mut (impl Read + Write), text: &str) {
    stream.write_all(text.as_bytes()).unwrap();
    stream.flush().unwrap();
}

/// Reads one answer of the upstream.
fn hear(stream: &mut impl Read) {
    let mut answer = Vec::new();
    let mut byte = [0];
    while !answer.ends_with(b"hello") {
        assert_ne!(stream.read(&mut byte).unwrap(), 0, "{}", String::from_utf8_lossy(&answer));
        answer.push(byte[0]);
    }
    assert!(answer.starts_with(b"HTTP/1.1 200"), "{}", String::from_utf8_lossy(&answer));
}

/// Waits until so many connections are parked, or open.
fn until(gate: &Gate, metric: &str, count: f64) {
    let until = Instant::now() + PATIENCE;
    while gate.metric(metric) != count {
        assert!(Instant::now() < until, "{metric} is {}", gate.metric(metric));
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// The kinds of connections: plain, TLS 1.3, TLS 1.2.
fn each_kind(gate: &Gate, mut then: impl FnMut(&mut dyn ReadWrite)) {
    then(&mut gate.connect());
    for version in [&rustls::version::TLS13, &rustls::version::TLS12] {
        then(&mut tls(gate.tls, &config(&gate.ca, version)));
    }
}

trait ReadWrite: Read + Write {}
impl<T: Read + Write> ReadWrite for T {}

#[test]
fn a_parked_connection_serves_whatever_comes_next() {
    let gate = gate("http1_rest: 10ms");
    let mut served = 0;
    each_kind(&gate, |mut stream| {
        // A connection is parked before its first request too. A handshake is not complete before the client writes.
        for requests in [&[GET][..], &[GET, GET], &["\r\n", GET], &["GET /ap", "i HTTP/1.1\r\nhost: localhost\r\n\r\n"]]
        {
            for part in requests {
                say(&mut stream, part);
            }
            let count = requests.concat().matches("GET").count();
            (0..count).for_each(|_| hear(&mut stream));
            served += count;
            until(&gate, RESTING, 1.0);
        }
        say(
            &mut stream,
            "POST /api HTTP/1.1\r\nhost: localhost\r\ncontent-length: 5\r\nconnection: close\r\n\r\nhowdy",
        );
        served += 1;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        assert!(answer.ends_with("hello"), "{answer}");
        until(&gate, RESTING, 0.0);
    });
    until(&gate, OPEN, 0.0);
    let rows = gate.finish();
    assert_eq!(rows.len(), served);
    for row in rows {
        assert_row(
            &row,
            json!({"http.response.status_code": 200, "tollgate.termination": "complete", "error.type": null}),
        );
        // The first byte belongs to this request, not to the time before it was parked.
        assert!(row["tollgate.total_us"].as_i64().unwrap() < PATIENCE.as_micros() as i64 / 2, "{row:#}");
    }
}

#[test]
fn a_connection_is_parked_before_its_first_request() {
    let gate = gate("http1_rest: 10ms");
    let mut stream = gate.connect();
    until(&gate, RESTING, 1.0);
    say(&mut stream, GET);
    hear(&mut stream);
    assert_eq!(gate.finish().len(), 1);
}

#[test]
fn half_a_head_behind_a_request_is_not_lost() {
    let gate = gate("http1_rest: 50ms");
    let mut first = gate.connect();
    say(&mut first, &format!("{GET}GET /api HTTP/1.1\r\nho"));
    hear(&mut first);
    let mut second = gate.connect();
    say(&mut second, GET);
    hear(&mut second);
    // Quiet for less long than the first one, which was scanned before it.
    until(&gate, RESTING, 1.0);
    say(&mut first, "st: localhost\r\n\r\n");
    hear(&mut first);
    assert_eq!(gate.finish().len(), 3);
}

#[test]
fn a_busy_connection_is_not_parked() {
    let upstream = Upstream::start(|mut stream, _| {
        crate::rig::read_request(&mut stream);
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhello");
        // Until the proxy, and so the client, has gone on.
        let mut more = [0; 5];
        let _ = stream.read(&mut more);
    });
    let gate = Gate::with(&Setup {
        targets: &[format!("http://{}", upstream.addr)],
        extra: "timeouts: {http1_rest: 10ms}",
        ..Setup::default()
    });
    let mut busy = gate.connect();
    say(&mut busy, GET);
    hear(&mut busy);
    let mut half = gate.connect();
    say(&mut half, "GET /api HT");
    let _idle = gate.connect();
    until(&gate, OPEN, 3.0);
    until(&gate, RESTING, 1.0);
    drop((busy, half));
    until(&gate, OPEN, 1.0);
    let rows = gate.finish();
    assert_eq!(rows.len(), 2, "{rows:#?}");
    assert_row(&rows[0], json!({"tollgate.termination": "client", "http.response.body.size": 5}));
    assert_row(&rows[1], json!({"http.response.status_code": 499, "error.type": "client_abort"}));
}

#[test]
fn the_time_for_the_next_head_goes_on_while_parked() {
    let gate = gate("header_read: 3s, http1_rest: 1500ms");
    let mut begun = gate.connect();
    let mut silent = tls(gate.tls, &config(&gate.ca, &rustls::version::TLS13));
    for stream in [&mut begun as &mut dyn ReadWrite, &mut silent] {
        let mut stream = stream;
        say(&mut stream, GET);
        hear(&mut stream);
    }
    until(&gate, RESTING, 2.0);
    say(&mut begun, "GET /api HT");
    assert_eq!(begun.read(&mut [0]).unwrap_or(0), 0);
    // With close_notify: rustls reports it if it is missing.
    assert_eq!(silent.read(&mut [0]).unwrap(), 0);
    let rows = gate.finish();
    assert_eq!(rows.len(), 3, "the one that began nothing leaves no record: {rows:#?}");
    assert_row(&rows[2], json!({"error.type": "bad_request", "tollgate.termination": "gateway"}));
    let waited = rows[2]["tollgate.total_us"].as_i64().unwrap();
    assert!(waited < 3_000_000, "the rest of the time, not all of it anew: {waited}");
}

#[test]
fn a_parked_connection_ends_with_its_client() {
    let gate = gate("http1_rest: 10ms");
    for version in [&rustls::version::TLS13, &rustls::version::TLS12] {
        for clean in [true, false] {
            let mut stream = tls(gate.tls, &config(&gate.ca, version));
            say(&mut stream, GET);
            hear(&mut stream);
            until(&gate, RESTING, 1.0);
            if clean {
                stream.conn.send_close_notify();
                stream.flush().unwrap();
            } else {
                stream.sock.shutdown(std::net::Shutdown::Write).unwrap();
            }
            assert_eq!(stream.read(&mut [0]).unwrap(), 0, "close_notify");
            until(&gate, OPEN, 0.0);
        }
    }
    let mut plain = gate.connect();
    until(&gate, RESTING, 1.0);
    plain.shutdown(std::net::Shutdown::Write).unwrap();
    assert_eq!(plain.read(&mut [0]).unwrap(), 0);
    until(&gate, OPEN, 0.0);
    assert_eq!(gate.metric(RESTING), 0.0);
    assert_eq!(gate.finish().len(), 4, "no request was lost, and none was made up");
}

#[test]
fn tls_records_without_a_request_are_answered_while_parked() {
    let gate = gate("http1_rest: 10ms");
    let mut stream = tls(gate.tls, &config(&gate.ca, &rustls::version::TLS13));
    say(&mut stream, GET);
    hear(&mut stream);
    until(&gate, RESTING, 1.0);
    for _ in 0..3 {
        stream.conn.refresh_traffic_keys().unwrap();
        stream.flush().unwrap();
    }
    // Bytes decrypted with other keys than they were encrypted with would be an error.
    say(&mut stream, GET);
    hear(&mut stream);
    until(&gate, RESTING, 1.0);
    assert_eq!(gate.finish().len(), 2);
}

#[test]
fn garbage_is_refused_as_on_an_active_connection() {
    let gate = gate("http1_rest: 10ms");
    let mut secure = tls(gate.tls, &config(&gate.ca, &rustls::version::TLS13));
    say(&mut secure, GET);
    hear(&mut secure);
    until(&gate, RESTING, 1.0);
    secure.sock.write_all(b"garbage that is no record of TLS").unwrap();
    let error = secure.read(&mut [0]).unwrap_err();
    assert!(error.to_string().contains("alert"), "{error}");
    until(&gate, OPEN, 0.0);
    let mut plain = gate.connect();
    until(&gate, RESTING, 1.0);
    plain.write_all(b"\x16\x03\x01 garbage\r\n\r\n").unwrap();
    let mut answer = String::new();
    plain.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 400"), "{answer}");
    let rows = gate.finish();
    assert_eq!(rows.len(), 2, "{rows:#?}");
    assert_row(&rows[1], json!({"http.response.status_code": 400, "error.type": "bad_request"}));
}

#[test]
fn a_drain_closes_a_parked_connection_at_once() {
    let mut gate = gate("http1_rest: 10ms, drain_first_request: 20s");
    let mut stream = tls(gate.tls, &config(&gate.ca, &rustls::version::TLS13));
    say(&mut stream, GET);
    hear(&mut stream);
    let mut unused = gate.connect();
    until(&gate, RESTING, 2.0);
    let addr = gate.plain;
    let stopping = std::thread::spawn(move || {
        gate.stop(Duration::from_secs(600));
        gate
    });
    assert_eq!(stream.read(&mut [0]).unwrap(), 0, "close_notify");
    let until = Instant::now() + PATIENCE;
    while TcpStream::connect(addr).is_ok() {
        assert!(Instant::now() < until);
    }
    // The first request may be on its way: it is waited for as on an active connection.
    say(&mut unused, GET);
    let mut answer = String::new();
    unused.read_to_string(&mut answer).unwrap();
    assert!(answer.contains("connection: close") && answer.ends_with("hello"), "{answer}");
    assert_eq!(stopping.join().unwrap().finish().len(), 2);
}

/// The proxy as a process of its own. Killed if the test fails.
struct Process(Child);

impl Drop for Process {
    fn drop(&mut self) {
        let _gone = self.0.kill();
        let _reaped = self.0.wait();
    }
}

/// Connections whose memory is measured, after some that fill what the allocator keeps.
const MEASURED: usize = 400;
const BEFORE: usize = 100;
/// Memory of one idle TLS connection in an unoptimised build. An active one takes three times as much.
const IDLE_KIB_MAX: usize = 9;

#[test]
fn an_idle_tls_connection_takes_little_memory() {
    let dir = tempfile::tempdir().unwrap();
    let ca = DemoCa::open(&dir.path().join("tls")).unwrap();
    ca.server("gate", &["localhost"], Lifetime::days(1)).unwrap();
    let file = dir.path().join("gate.yaml");
    let text = format!(
        "node_id: gate-1
workers: 1
listeners:
  - {{name: tls, address: \"127.0.0.1:0\", tls: {{certificates: [{{certificate: tls/gate.pem, key: tls/gate.key}}]}}}}
services: [{{name: api, targets: [\"http://{}\"]}}]
routes: [{{name: api, service: api}}]
admin: {{address: \"127.0.0.1:0\"}}
timeouts: {{http1_rest: 10ms, header_read: 10m}}
records: {{enabled: false}}
",
        Upstream::answering(OK).addr
    );
    std::fs::write(&file, text).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_tollgate-proxy"));
    command.args(["--log-json", "--config"]).arg(&file).env("TOLLGATE_LOG", "info").stderr(Stdio::piped());
    let mut process = Process(command.spawn().unwrap());
    let log = BufReader::new(process.0.stderr.take().unwrap()).lines().map_while(Result::ok);
    let words = log.filter_map(|line| serde_json::from_str::<serde_json::Value>(&line).ok());
    let mut addresses = words.filter_map(|words| words["address"].as_str()?.parse::<SocketAddr>().ok());
    let (listener, admin) = (addresses.next().unwrap(), addresses.next().unwrap());

    let config = config(&ca, &rustls::version::TLS13);
    let mut open = Vec::new();
    let mut resident = [0; 2];
    for (resident, count) in resident.iter_mut().zip([BEFORE, BEFORE + MEASURED]) {
        while open.len() < count {
            let mut stream = tls(listener, &config);
            say(&mut stream, GET);
            hear(&mut stream);
            open.push(stream);
        }
        let until = Instant::now() + PATIENCE;
        while !get_text(admin, "/metrics").contains(&format!("{RESTING}{{listener=\"tls\"}} {count}\n")) {
            assert!(Instant::now() < until, "not all rest");
        }
        let status = std::fs::read_to_string(format!("/proc/{}/status", process.0.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
        *resident = line.trim().trim_end_matches(" kB").parse::<usize>().unwrap();
    }
    let each = (resident[1] - resident[0]) as f64 / MEASURED as f64;
    println!("{each:.1} KiB for an idle TLS connection");
    assert!(each <= IDLE_KIB_MAX as f64, "{each:.1} KiB");
}
