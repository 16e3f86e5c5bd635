//! How many records a second are acknowledged, and how long a batch waits for its acknowledgement, on this machine.
//!
//! `cargo run --release -p tollgate-collector --example bench-ingest -- [connections] [posts in flight on each] [seconds] [folder]`
//!
//! Clients and collector share the process, so the numbers say what one machine does with both. Batches of 4,096 records
//! are made before the clock starts; each post is a new batch of its own producer. The disk's own fdatasync is measured
//! right before, in the same folder, with the same bytes.

use std::net::SocketAddr;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use bytes::Bytes;
use http::{Request, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http2::{self, SendRequest};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls_pki_types::ServerName;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tollgate_collector::{CollectorConfig, IngestConfig, IngestTls, JournalConfig, Parts, start};
use tollgate_config::ConfigPath;
use tollgate_demo_ca::{DemoCa, Lifetime};
use tollgate_record::{BatchBuilder, BatchHeader, Record, SealLimits, SealedBatch};
use tollgate_sink::{Delivery, Position, Sink, SinkError};

const ROWS: usize = 4096;
const SYNCS: usize = 200;

type Failure = Box<dyn std::error::Error + Send + Sync>;

/// Stores nothing and says so at once.
struct NullSink;

#[async_trait]
impl Sink for NullSink {
    fn name(&self) -> &'static str {
        "null"
    }

    async fn recover(&mut self) -> Result<Option<Position>, SinkError> {
        Ok(None)
    }

    async fn deliver(&mut self, frames: &[Delivery]) -> Result<Option<Position>, SinkError> {
        Ok(frames.last().map(|frame| frame.position))
    }
}

struct Plan {
    connections: usize,
    in_flight: usize,
    time: Duration,
    folder: PathBuf,
}

impl Plan {
    fn from_args() -> Result<Self, Failure> {
        let mut args = std::env::args().skip(1);
        let mut number = |default: usize| args.next().map_or(Ok(default), |text| text.parse::<usize>());
        let (connections, in_flight, seconds) = (number(4)?, number(4)?, number(10)?);
        let folder = args.next().map_or_else(|| std::env::temp_dir().join("tollgate-bench-ingest"), PathBuf::from);
        Ok(Self { connections, in_flight, time: Duration::from_secs(seconds as u64), folder })
    }
}

fn main() -> Result<(), Failure> {
    let plan = Plan::from_args()?;
    tollgate_tls::install_provider();
    if plan.folder.exists() {
        std::fs::remove_dir_all(&plan.folder)?;
    }
    std::fs::create_dir_all(&plan.folder)?;
    let sample = batches("sample", 1)?.swap_remove(0);
    let disk = fdatasync(&plan.folder, sample.bytes.len())?;
    println!("machine: {} cores; folder {}", std::thread::available_parallelism()?, plan.folder.display());
    println!("disk: fdatasync of {} bytes: {}", sample.bytes.len(), Spread::of(disk));
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(run(&plan))?;
    std::fs::remove_dir_all(&plan.folder)?;
    Ok(())
}

async fn run(plan: &Plan) -> Result<(), Failure> {
    let ca = DemoCa::open(&plan.folder.join("ca"))?;
    let server = ca.server("collector", &["localhost"], Lifetime::days(2))?;
    let certificate = ConfigPath::from(server.cert);
    let tls = IngestTls { certificate, key: ConfigPath::from(server.key), client_ca: ConfigPath::from(ca.roots()) };
    let any = SocketAddr::from(([127, 0, 0, 1], 0));
    let journal = JournalConfig::new(ConfigPath::from(plan.folder.join("data")));
    let mut config = CollectorConfig::new(IngestConfig::new(any, tls), journal);
    config.admin.address = any;
    let parts = Parts { sinks: vec![Box::new(NullSink)], tail: None, metrics: prometheus::Registry::new() };
    let running = start(config, parts).await?;

    // As many as a fast disk could take in the time.
    let each = 64 * plan.time.as_secs() as usize / plan.connections.max(1) + 64;
    println!("making {} batches of {ROWS} records", each * plan.connections);
    let mut clients = Vec::new();
    for connection in 0..plan.connections {
        let node = format!("gw-{connection}");
        let issued = ca.client(&node, &node, &[], Lifetime::days(2))?;
        let tls = tollgate_tls::client(Some(ca.roots()), Some(issued.identity()?), &["h2"])?;
        clients.push((connect(tls, running.ingest_addr).await?, batches(&node, each)?));
    }
    let wire_bytes = clients[0].1.iter().map(|batch| batch.bytes.len()).sum::<usize>() as f64 / (each * ROWS) as f64;
    let started = Instant::now();
    let deadline = started + plan.time;
    let mut tasks = Vec::new();
    for (send, batches) in clients {
        let batches = Arc::new(std::sync::Mutex::new(batches.into_iter()));
        for _ in 0..plan.in_flight {
            tasks.push(tokio::spawn(post_until(send.clone(), Arc::clone(&batches), deadline)));
        }
    }
    let mut waits = Vec::new();
    for task in tasks {
        waits.extend(task.await??);
    }
    let seconds = started.elapsed().as_secs_f64();
    let records = waits.len() * ROWS;
    println!(
        "{} connections, {} posts in flight on each, {seconds:.1} s: {} batches, {:.0} records/s acknowledged",
        plan.connections,
        plan.in_flight,
        waits.len(),
        records as f64 / seconds
    );
    println!("ack: {}", Spread::of(waits));
    running.stop().await;
    let verdict = tollgate_journal::offline::ls(&plan.folder.join("data"))?;
    let stored: u64 = verdict.iter().map(|segment| segment.file_bytes).sum();
    let rows: u64 = verdict.iter().map(|segment| segment.rows).sum();
    println!("bytes a record: {wire_bytes:.1} on the wire, {:.1} in the journal", stored as f64 / rows.max(1) as f64);
    Ok(())
}

async fn connect(tls: Arc<rustls::ClientConfig>, addr: SocketAddr) -> Result<SendRequest<Full<Bytes>>, Failure> {
    let stream = TcpStream::connect(addr).await?;
    stream.set_nodelay(true)?;
    let stream = TlsConnector::from(tls).connect(ServerName::try_from("localhost")?, stream).await?;
    let (send, connection) = http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await?;
    tokio::spawn(connection);
    Ok(send)
}

type Batches = Arc<std::sync::Mutex<std::vec::IntoIter<SealedBatch>>>;

/// One of the posts that are in flight: the next follows when this one is answered.
async fn post_until(
    mut send: SendRequest<Full<Bytes>>,
    batches: Batches,
    deadline: Instant,
) -> Result<Vec<Duration>, Failure> {
    let mut waits = Vec::new();
    while Instant::now() < deadline {
        let next = batches.lock().map_err(|_| "a post panicked")?.next();
        let Some(batch) = next else { break };
        let request = Request::post("https://localhost/v1/batches")
            .header("content-type", "application/vnd.apache.arrow.stream")
            .header("content-encoding", "zstd")
            .body(Full::new(batch.bytes))?;
        let started = Instant::now();
        let response = send.send_request(request).await?;
        let status = response.status();
        let body = read(response).await?;
        if status != StatusCode::OK {
            return Err(format!("{status}: {}", String::from_utf8_lossy(&body)).into());
        }
        waits.push(started.elapsed());
    }
    Ok(waits)
}

#[expect(clippy::disallowed_methods, reason = "the collector answers one line")]
async fn read(response: http::Response<hyper::body::Incoming>) -> hyper::Result<Bytes> {
    Ok(response.into_body().collect().await?.to_bytes())
}

/// Records as a gateway with 300 services has them: few hosts and routes, many paths and clients.
fn batches(node: &str, count: usize) -> Result<Vec<SealedBatch>, Failure> {
    let header = BatchHeader {
        producer: format!("{node}/5f/0"),
        node_id: node.to_owned(),
        gateway_version: "0.1.0".to_owned(),
        environment: "bench".to_owned(),
        zone: "local".to_owned(),
        redaction_policy: "default".to_owned(),
        hmac_key_id: "none".to_owned(),
    };
    let mut builder =
        BatchBuilder::new(header, SealLimits { records_max: ROWS, bytes_max: usize::MAX, ..SealLimits::default() });
    let mut sealed = Vec::with_capacity(count);
    let mut dice: u64 = 0x9e37_79b9_7f4a_7c15;
    for seq in 1..=(count * ROWS) as i64 {
        dice ^= dice << 13;
        dice ^= dice >> 7;
        dice ^= dice << 17;
        let service = format!("service-{:03}", dice % 300);
        let path = format!("/v1/members/{}/claims", dice % 100_000);
        let client_ip = format!("10.{}.{}.{}", dice >> 8 & 255, dice >> 16 & 255, dice >> 24 & 255);
        builder.append(&Record {
            time_us: 1_700_000_000_000_000 + seq * 60,
            seq,
            service: Some(&service),
            route: Some(&service),
            http_route: Some("/v1/members/{id}/claims"),
            host: Some("api.example.com"),
            client_ip: Some(&client_ip),
            path: Some(&path),
            status: Some(if dice.is_multiple_of(100) { 502 } else { 200 }),
            request_bytes: Some((dice % 2_000) as i64),
            response_bytes: Some((dice >> 20 & 0x3fff) as i64),
            total_us: Some(1_000 + (dice >> 30 & 0xffff) as i64),
            gateway_us: Some(50 + (dice >> 12 & 0xff) as i64),
            ..Record::default()
        });
        if builder.len() == ROWS {
            sealed.push(builder.seal(1)?);
        }
    }
    Ok(sealed)
}

/// What one write and fdatasync of this many bytes takes, in a file that is allocated already.
fn fdatasync(folder: &Path, bytes: usize) -> Result<Vec<Duration>, Failure> {
    let path = folder.join("sync");
    let file = std::fs::File::create(&path)?;
    let data = vec![0xa5; bytes];
    file.write_all_at(&vec![0; bytes * SYNCS], 0)?;
    file.sync_all()?;
    let mut waits = Vec::new();
    for turn in 0..SYNCS {
        let started = Instant::now();
        file.write_all_at(&data, (turn * bytes) as u64)?;
        file.sync_data()?;
        waits.push(started.elapsed());
    }
    std::fs::remove_file(path)?;
    Ok(waits)
}

struct Spread {
    p50: Duration,
    p99: Duration,
    max: Duration,
}

impl Spread {
    fn of(mut waits: Vec<Duration>) -> Self {
        waits.sort_unstable();
        let at = |share: f64| waits.get((waits.len() as f64 * share) as usize).copied().unwrap_or_default();
        Self { p50: at(0.5), p99: at(0.99), max: waits.last().copied().unwrap_or_default() }
    }
}

impl std::fmt::Display for Spread {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let ms = |wait: Duration| wait.as_secs_f64() * 1e3;
        write!(f, "p50 {:.1} ms, p99 {:.1} ms, max {:.1} ms", ms(self.p50), ms(self.p99), ms(self.max))
    }
}
