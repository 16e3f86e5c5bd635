//! The instruction budget: the instructions of one transaction, and those that its record adds. callgrind counts them,
//! so a busy machine changes nothing. Start and end are subtracted, because both of two runs have them.
//!
//! A count over the budget means that something was added to every request: remove it, or raise the budget with the
//! reason. A count as far below means that the budget bounds nothing: lower it. `cargo test -p tollgate-proxy --test
//! gate budget -- --nocapture` prints the counts. The budget is of the unoptimised build that the other tests use: what
//! is added shows there too. With `--release` the counts are those of an optimised build, and are only printed.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use tollgate_demo_ca::{DemoCa, Lifetime};

use crate::rig::Upstream;

/// Requests of the two runs. The difference of the runs is counted.
const REQUESTS: [u64; 2] = [50, 250];
/// Under callgrind everything is some fifty times slower, and the start parses keys.
const PATIENCE: std::time::Duration = std::time::Duration::from_secs(120);
/// Tolerance in percent: compilers differ, and so does housekeeping by the clock.
const TOLERANCE_PERCENT: u64 = 12;
const ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\nserver: stub\r\ndate: Wed, 25 Nov 2026 12:00:00 GMT\r\n\
content-type: text/plain\r\ncontent-length: 20\r\nconnection: keep-alive\r\n\r\n01234567890123456789";

/// Instructions of one transaction without a record.
const TRANSACTION_BUDGET: u64 = 325_000;
/// Instructions that a record adds: scrubbing, appending, and its share of sealing one batch of all.
const RECORD_BUDGET: u64 = 38_000;

/// The proxy under callgrind. Killed if the test fails.
struct Counted {
    child: Child,
    addr: SocketAddr,
    log: Box<dyn Iterator<Item = String>>,
}

impl Counted {
    /// `None` without valgrind. With `CI` set, that fails the test.
    fn start(config: &Path) -> Option<Self> {
        let mut command = Command::new("valgrind");
        command.args(["--tool=callgrind", "--callgrind-out-file=/dev/null"]);
        command.arg(env!("CARGO_BIN_EXE_tollgate-proxy")).args(["--log-json", "--config"]).arg(config);
        let started = command.env("TOLLGATE_LOG", "info").stderr(Stdio::piped()).spawn();
        let mut child = match started {
            Ok(child) => child,
            Err(error) => {
                assert!(std::env::var("CI").as_deref() != Ok("true"), "valgrind is needed: {error}");
                eprintln!("SKIPPED: valgrind cannot be run: {error}; scripts/install-deps.sh test installs it");
                return None;
            }
        };
        let mut log = BufReader::new(child.stderr.take().unwrap()).lines().map_while(Result::ok);
        let addr = log.find_map(|line| {
            let words: serde_json::Value = serde_json::from_str(&line).ok()?;
            words["address"].as_str()?.parse().ok()
        });
        let addr = addr.expect("the proxy says where it listens");
        Some(Self { child, addr, log: Box::new(log) })
    }

    /// Sends requests on one connection, one after the other.
    fn serve(&self, requests: u64) {
        let mut stream = TcpStream::connect(self.addr).unwrap();
        stream.set_nodelay(true).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let mut answer = Vec::new();
        for _ in 0..requests {
            stream
                .write_all(
                    b"GET /members/4711?page=2 HTTP/1.1\r\nHost: api\r\nUser-Agent: budget/1\r\nAccept: */*\r\n\r\n",
                )
                .unwrap();
            answer.clear();
            let mut part = [0; 1024];
            while !answer.ends_with(b"01234567890123456789") {
                let read = stream.read(&mut part).unwrap();
                assert_ne!(read, 0, "{}", String::from_utf8_lossy(&answer));
                answer.extend_from_slice(&part[..read]);
            }
            assert!(answer.starts_with(b"HTTP/1.1 200"), "{}", String::from_utf8_lossy(&answer));
        }
    }

    /// Stops the proxy, and returns all instructions that it executed.
    fn total(mut self) -> u64 {
        let status = Command::new("kill").args(["-TERM", &self.child.id().to_string()]).status().unwrap();
        assert!(status.success());
        let counted = self.log.find_map(|line| line.split_once("Collected : ")?.1.trim().parse().ok());
        self.child.wait().unwrap();
        counted.expect("callgrind says what it collected")
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        let _gone = self.child.kill();
        let _reaped = self.child.wait();
    }
}

/// Instructions of one request, by the difference of two runs.
fn per_request(dir: &Path, name: &str, upstream: SocketAddr, records: &str) -> Option<u64> {
    let file = dir.join(format!("{name}.yaml"));
    let text = format!(
        "node_id: gate-1
workers: 1
listeners: [{{name: plain, address: \"127.0.0.1:0\"}}]
services: [{{name: api, targets: [\"http://{upstream}\"]}}]
routes: [{{name: api, service: api}}]
admin: {{address: \"127.0.0.1:0\"}}
{records}
"
    );
    std::fs::write(&file, text).unwrap();
    let mut totals = [0; 2];
    for (total, requests) in totals.iter_mut().zip(REQUESTS) {
        let proxy = Counted::start(&file)?;
        proxy.serve(requests);
        *total = proxy.total();
    }
    Some((totals[1] - totals[0]) / (REQUESTS[1] - REQUESTS[0]))
}

#[test]
fn a_transaction_and_its_record_stay_within_their_budget() {
    let dir = tempfile::tempdir().unwrap();
    let ca = DemoCa::open(&dir.path().join("tls")).unwrap();
    ca.client("gate-client", "gate-1", &["gate-1"], Lifetime::days(1)).unwrap();
    let upstream = Upstream::answering(ANSWER).addr;
    let off = "records: {enabled: false, batch_age_max: 5m}";
    // No collector listens there, so sealed batches stay in memory. No batch ends by age: time passes while callgrind
    // counts.
    let on = "records:
  batch_age_max: 5m
  collectors: [\"https://127.0.0.1:1\"]
  tls: {ca: tls/ca.pem, certificate: tls/gate-client.pem, key: tls/gate-client.key}
drain: 1s";
    let Some(off) = per_request(dir.path(), "off", upstream, off) else { return };
    let Some(on) = per_request(dir.path(), "on", upstream, on) else { return };
    println!("instructions: {off} a transaction, {} more for its record", on.saturating_sub(off));
    if !cfg!(debug_assertions) {
        return;
    }
    let within = |count: u64, budget: u64, what: &str| {
        let tolerance = budget * TOLERANCE_PERCENT / 100;
        assert!(count.abs_diff(budget) <= tolerance, "{count} instructions for {what}; its budget is {budget}");
    };
    within(off, TRANSACTION_BUDGET, "a transaction");
    within(on, TRANSACTION_BUDGET + RECORD_BUDGET, "a transaction with its record");
}
