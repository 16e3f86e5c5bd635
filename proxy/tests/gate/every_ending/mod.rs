//! A table of every way in which a transaction can end: how it is provoked, and what its record says.
//!
//! ```text
//! complete.rs      nobody broke off                          the gateway ended it:
//! by_client.rs     the client left, stopped, or refused      refused.rs       at the head
//! by_upstream.rs   not there, gone, or broken                no_upstream.rs   without a connection
//!                                                            cut.rs           by a bound, once begun
//! ```
//! [`Way::check`] provokes one and asserts its record: who ended it, the class, the statuses, which durations it has,
//! and the bytes. [`the_table_is_whole`] holds the table against the vocabularies, so that neither a termination nor a
//! class can be added without a way to it.

mod by_client;
mod by_upstream;
mod complete;
mod cut;
mod no_upstream;
mod refused;

use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::sync::mpsc::{Receiver, sync_channel};

use serde_json::{Value, json};
use tollgate_demo_ca::DemoCa;
use tollgate_record::vocabulary::{ErrorClass, ResponseSource, Termination};

use crate::collector::Collector;
use crate::rig::{Gate, PATIENCE, Setup, Upstream, assert_row, read_request, read_until};

pub const OK: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello";
/// A request on a connection that closes after it.
pub const GET: &str = "GET /api HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";

/// The durations beside `total_us`, which every record has.
const GATEWAY: &str = "gateway_us";
const DNS: &str = "upstream_dns_us";
const CONNECT: &str = "upstream_connect_us";
const TLS: &str = "upstream_tls_us";
const TTFB: &str = "upstream_ttfb_us";
const RECEIVE: &str = "upstream_receive_us";
const DURATIONS: [&str; 6] = [GATEWAY, DNS, CONNECT, TLS, TTFB, RECEIVE];

/// Bytes of a body, in the record.
#[derive(Debug, Clone, Copy)]
pub enum Bytes {
    /// Null: no head was parsed, so there is no body.
    Null,
    /// Exactly so many.
    Just(i64),
    /// At least so many: buffers decide how far the body got.
    AtLeast(i64),
    /// As many as the client got after the head.
    Answered,
}

/// What ended, and what the client got.
pub type Provoked = (Gate, String);

/// One way for a transaction to end.
#[derive(Debug, Clone, Copy)]
pub struct Way {
    /// What happens, as a part of a sentence.
    pub name: &'static str,
    /// Makes it happen.
    pub provoke: fn() -> Provoked,
    /// `termination` and `error_class`.
    pub ended: (Termination, Option<ErrorClass>),
    /// Part of `error_detail`; empty = null.
    pub detail: &'static str,
    /// `status`.
    pub status: Option<u16>,
    /// `response_source`.
    pub source: Option<ResponseSource>,
    /// `upstream_status`.
    pub upstream_status: Option<u16>,
    /// `upstream_attempts`.
    pub attempts: Option<i64>,
    /// The durations that are set. All others are null.
    pub times: &'static [&'static str],
    /// One of the durations, and its minimum in microseconds.
    pub waited: Option<(&'static str, i64)>,
    /// `request_bytes` and `response_bytes`.
    pub bytes: (Bytes, Bytes),
    /// The index of the record, and the number of records.
    pub row: (usize, usize),
}

/// A request that an upstream answered.
pub const ANSWERED: Way = Way {
    name: "",
    provoke: || unreachable!("each has its own"),
    ended: (Termination::Complete, None),
    detail: "",
    status: Some(200),
    source: Some(ResponseSource::Upstream),
    upstream_status: Some(200),
    attempts: Some(1),
    times: &[GATEWAY, CONNECT, TTFB, RECEIVE],
    waited: None,
    bytes: (Bytes::Just(0), Bytes::Answered),
    row: (0, 1),
};

/// A request that was answered by the gateway before it looked for an upstream.
pub const REFUSED: Way = Way {
    source: Some(ResponseSource::Gateway),
    upstream_status: None,
    attempts: Some(0),
    times: &[GATEWAY],
    ..ANSWERED
};

/// A head that cannot be parsed, or never came to its end.
pub const NO_HEAD: Way = Way { times: &[], bytes: (Bytes::Null, Bytes::Null), ..REFUSED };

/// A request that the gateway answered because no upstream did.
pub const UNANSWERED: Way = Way { attempts: Some(1), times: &[GATEWAY, CONNECT], ..REFUSED };

/// A request on a connection of its own, and the answer.
pub fn asked(gate: Gate, request: &str) -> Provoked {
    let answer = gate.exchange(request);
    (gate, answer)
}

/// The same, to a gate before this upstream.
pub fn asked_before(upstream: &Upstream, extra: &str, request: &str) -> Provoked {
    asked(Gate::before(upstream, extra), request)
}

/// A gate before one target, with more keys of the service, the route, and the top level.
pub fn gate(target: &str, [service, route, extra]: [&str; 3]) -> Gate {
    Gate::with(&Setup { targets: &[target.to_owned()], service, route, extra, ..Setup::default() })
}

/// An upstream that reads each request, answers with these bytes, and closes.
pub fn says(bytes: &'static [u8]) -> Upstream {
    Upstream::start(move |mut stream, _| {
        read_request(&mut stream);
        let _the_gate_may_have_left = stream.write_all(bytes);
    })
}

/// An upstream that reads each request's head, answers with these bytes, and goes on to wait for the end.
pub fn begins(bytes: &'static [u8]) -> Upstream {
    Upstream::start(move |mut stream, _| {
        read_until(&mut stream, "\r\n\r\n");
        let _the_gate_may_have_left = stream.write_all(bytes);
        let _until_the_end = stream.read_to_end(&mut Vec::new());
    })
}

/// A gate before an upstream that accepts, and never says a word of TLS; and a message when it has accepted.
pub fn silent_tls(extra: &str) -> (Gate, Receiver<()>) {
    let (told, heard) = sync_channel(8);
    let upstream = Upstream::start(move |mut stream, _| {
        let _ = stream.read(&mut [0]);
        told.send(()).unwrap();
        let _ = stream.read_to_end(&mut Vec::new());
    });
    let dir = tempfile::tempdir().unwrap();
    let ca = DemoCa::open(&dir.path().join("tls")).unwrap();
    let collector = Collector::start(&ca);
    let targets = [format!("https://localhost:{}", upstream.addr.port())];
    let setup = Setup { targets: &targets, service: "    tls: {ca: tls/ca.pem}", extra, ..Setup::default() };
    (Gate::around(dir, ca, collector, &setup), heard)
}

/// The gateway ended it.
pub const fn gateway(class: ErrorClass) -> (Termination, Option<ErrorClass>) {
    (Termination::Gateway, Some(class))
}

/// A request to a gate whose upstream is never used.
pub fn refused(extra: &str, request: &str) -> Provoked {
    asked_before(&begins(b""), extra, request)
}

/// Sends a request while another one waits for its answer. The other one's record comes second.
pub fn while_one_waits(keys: [&str; 3]) -> Provoked {
    let (told, heard) = sync_channel(1);
    let upstream = Upstream::start(move |mut stream, _| {
        read_request(&mut stream);
        told.send(()).unwrap();
        let _until_the_end = stream.read_to_end(&mut Vec::new());
    });
    let gate = gate(&format!("http://{}", upstream.addr), keys);
    let mut first = gate.connect();
    first.write_all(GET.as_bytes()).unwrap();
    heard.recv_timeout(PATIENCE).unwrap();
    let answer = gate.exchange(GET);
    (gate, answer)
}

impl Way {
    /// Makes it happen, and checks the record.
    fn check(&self) {
        let before = milliseconds();
        let (gate, answer) = (self.provoke)();
        gate.rows(self.row.1);
        let rows = gate.finish();
        let after = milliseconds();
        assert_eq!(rows.len(), self.row.1, "{}: {rows:#?}", self.name);
        let row = &rows[self.row.0];
        let handshake = self.ended.1 == Some(ErrorClass::TlsHandshake);
        let said = |key: &str| row.get(key).cloned().unwrap_or_default();
        println!("{}", self.name);
        assert_row(
            row,
            json!({
                "tollgate.kind": if handshake { "handshake_failed" } else { "transaction" },
                "tollgate.termination": self.ended.0.as_str(), "error.type": self.ended.1.map(ErrorClass::as_str),
                "http.response.status_code": self.status, "tollgate.upstream_status": self.upstream_status,
                "tollgate.response_source": self.source.map(ResponseSource::as_str),
                "tollgate.upstream_attempts": self.attempts,
            }),
        );
        let detail = said("error.message");
        assert_eq!(detail.is_null(), self.detail.is_empty(), "{}: {row:#}", self.name);
        assert!(detail.as_str().unwrap_or_default().contains(self.detail), "{}: {row:#}", self.name);
        let met = self.times.contains(&CONNECT) || self.times.contains(&TTFB);
        assert_eq!(said("tollgate.upstream_addr").is_string(), met, "{}: {row:#}", self.name);
        self.check_times(row, before, after);
        let got = answer.split_once("\r\n\r\n").map_or(0, |(_, body)| body.len() as i64);
        let bytes = [(self.bytes.0, "http.request.body.size"), (self.bytes.1, "http.response.body.size")];
        for (expected, column) in bytes {
            let found = said(column).as_i64();
            let holds = match expected {
                Bytes::Null => found.is_none(),
                Bytes::Just(bytes) => found == Some(bytes),
                Bytes::AtLeast(bytes) => found >= Some(bytes),
                Bytes::Answered => found == Some(got),
            };
            assert!(holds, "{}: {column} is not {expected:?} of {answer:?}: {row:#}", self.name);
        }
    }

    /// `time` is within the test, durations are there iff their phase was reached, and none of them overlap.
    fn check_times(&self, row: &Value, before: u64, after: u64) {
        let micros = |name: &str| row.get(format!("tollgate.{name}")).and_then(Value::as_i64);
        let total = micros("total_us").unwrap();
        // A request id begins with its time (RFC 9562 section 5.7).
        let id = row["http.request.id"].as_str().unwrap().replace('-', "");
        let time = u64::from_str_radix(&id[..12], 16).unwrap();
        let range = before..=after.saturating_sub(total as u64 / 1_000);
        assert!(range.contains(&time), "{}: {time} is not in {range:?}: {row:#}", self.name);
        let mut sum = 0;
        for name in DURATIONS {
            let found = micros(name);
            assert_eq!(found.is_some(), self.times.contains(&name), "{}: {name} of {row:#}", self.name);
            assert!(found >= Some(0) || found.is_none(), "{}: {name} of {row:#}", self.name);
            sum += found.unwrap_or_default();
        }
        // Each is rounded down.
        assert!(sum <= total, "{}: {sum} of {row:#}", self.name);
        if let Some((name, least)) = self.waited {
            let found = if name == "total_us" { Some(total) } else { micros(name) };
            assert!(found >= Some(least), "{}: {name} of {row:#}", self.name);
        }
    }
}

fn milliseconds() -> u64 {
    std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_millis() as u64
}

fn table() -> Vec<Way> {
    let by_gateway = [refused::ways(), no_upstream::ways(), cut::ways()].concat();
    [complete::ways(), by_client::ways(), by_upstream::ways(), by_gateway].concat()
}

/// Why the proxy cannot end a transaction in this way.
fn never(class: ErrorClass) -> Option<&'static str> {
    use ErrorClass as E;
    match class {
        E::Waf => Some("for the access logs of others: the proxy has no web application firewall of its own"),
        E::NoRoute | E::BadRequest | E::TooLarge | E::TlsHandshake | E::Auth | E::AuthUnavailable | E::Acl => None,
        E::RateLimited => None,
        E::Dns | E::NoHealthyUpstream | E::ConnectRefused | E::ConnectTimeout => None,
        E::UpstreamTls | E::UpstreamReset | E::UpstreamTimeout | E::UpstreamProtocol | E::Upstream5xx => None,
        E::ClientAbort | E::Internal => None,
    }
}

#[test]
fn the_table_is_whole() {
    let table = table();
    let names: BTreeSet<_> = table.iter().map(|way| way.name).collect();
    assert_eq!(names.len(), table.len(), "two of one name");
    for termination in Termination::ALL {
        assert!(table.iter().any(|way| way.ended.0 == *termination), "nothing ends {termination}");
    }
    for class in ErrorClass::ALL {
        let ends = table.iter().any(|way| way.ended.1 == Some(*class));
        assert_eq!(ends, never(*class).is_none(), "{class}: {:?}", never(*class));
    }
}

/// What docs/proxy.md says of the gateway's replies is what the table proves.
#[test]
fn the_document_names_every_answer_of_the_gateway() {
    let document = include_str!("../../../../docs/proxy.md");
    let lines: Vec<Vec<Vec<&str>>> = document
        .lines()
        .filter(|line| line.starts_with("| ") && line.matches('|').count() == 5)
        .map(|line| line.split('|').map(|cell| cell.split(',').map(str::trim).collect()).collect())
        .collect();
    for way in table().iter().filter(|way| way.source == Some(ResponseSource::Gateway)) {
        let (termination, class) = (way.ended.0.as_str(), way.ended.1.map_or("none", ErrorClass::as_str));
        let status = way.status.unwrap().to_string();
        let told = lines.iter().any(|cells| {
            cells[1].contains(&status.as_str()) && cells[2].contains(&class) && cells[3].contains(&termination)
        });
        assert!(told, "{}: no line for {status}, {class}, {termination}", way.name);
    }
}

/// Provokes all of them, and names those whose record is wrong.
fn provoke(ways: &[Way]) {
    let wrong = ways.iter().filter(|way| std::panic::catch_unwind(|| way.check()).is_err());
    let wrong: Vec<&str> = wrong.map(|way| way.name).collect();
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn complete() {
    provoke(&complete::ways());
}

#[test]
fn by_the_client() {
    provoke(&by_client::ways());
}

#[test]
fn refused_by_the_gateway() {
    provoke(&refused::ways());
}

#[test]
fn without_an_upstream() {
    provoke(&no_upstream::ways());
}

#[test]
fn cut_by_the_gateway() {
    provoke(&cut::ways());
}

#[test]
fn by_the_upstream() {
    provoke(&by_upstream::ways());
}
