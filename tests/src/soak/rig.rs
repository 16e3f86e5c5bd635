//! Everything that is put under faults: upstreams, a proxy, a collector, Kafka, a network between them, small disks.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use anyhow::{Context, ensure};
use serde_json::Value;
use tollgate_demo_ca::{DemoCa, Lifetime};
use tollgate_upstreams::{Behaviour, Upstream};

use crate::certificates;
use crate::disk::Disk;
use crate::http::{metric, page};
use crate::net::{free_port, wait_for};
use crate::prober;
use crate::process::{Process, Scripted, run, script};
use crate::relay::Relay;
use crate::stack::{TOPIC, start_collector, start_proxy};

/// Days that the prober's certificate is valid.
const DAYS: u32 = 30;
/// Size of the disk under the journal; its segments are 1 MiB.
const JOURNAL_DISK_BYTES: u64 = 40 << 20;
/// Size of the disk under the spool.
const SPOOL_DISK_BYTES: u64 = 4 << 20;
/// Size of the disk under the table.
const TABLE_DISK_BYTES: u64 = 1 << 30;

/// What the collector of the rig may hold in memory by its configuration while nobody asks it anything: posts in flight, decoded
/// batches shared by the sinks, hot rows, Kafka's queue, and for each of the three sinks the rows that it is handed at once, a
/// kilobyte each.
pub const COLLECTOR_BOUNDS_BYTES: u64 = (40 + 16 + 32 + 16 + 3 * 8) << 20;
/// High-water mark of the rig's journal.
pub const HIGH_WATER_BYTES: u64 = 4 << 20;
/// Memory that the rig's proxy may use for records.
pub const RING_BYTES: u64 = 128 << 10;

/// Ports of the rig.
#[derive(Debug, Clone, Copy)]
pub struct Ports {
    /// The proxy's listener.
    pub http: u16,
    /// The proxy's admin endpoint.
    pub proxy_admin: u16,
    /// The collector's ingest.
    pub ingest: u16,
    /// The collector's admin endpoint.
    pub collector_admin: u16,
    /// The PostgreSQL door.
    pub postgres: u16,
    /// The HTTP door.
    pub query: u16,
    /// Kafka.
    pub kafka: u16,
    /// Kafka's controller.
    pub kafka_controller: u16,
}

/// The proxy's own counts of its records.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Shipped {
    /// Records given to batches, by this process.
    pub issued: f64,
    /// Records acknowledged, those among them that an earlier process had spooled.
    pub acked: f64,
    /// Records shed.
    pub shed: f64,
    /// Bytes in the ring and in flight.
    pub ring_bytes: f64,
    /// Bytes in the spool.
    pub spool_bytes: f64,
}

/// The running whole.
pub struct Rig {
    /// The folder that holds everything.
    pub dir: PathBuf,
    /// Where the processes listen.
    pub ports: Ports,
    /// The proxy.
    pub proxy: Process,
    /// The collector.
    pub collector: Process,
    /// The network between proxy and collector.
    pub proxy_network: Relay,
    /// The network between prober and collector.
    pub prober_network: Relay,
    /// The disk under the journal, if mounting is permitted.
    pub journal_disk: Option<Arc<Disk>>,
    /// The disk under the spool, if mounting is permitted.
    pub spool_disk: Option<Arc<Disk>>,
    /// The disk under the table, if mounting is permitted.
    pub table_disk: Option<Arc<Disk>>,
    _kafka: Scripted,
    _upstreams: Vec<Upstream>,
    _runtime: tokio::runtime::Runtime,
}

impl Rig {
    /// Starts everything in `dir` and waits until it answers.
    ///
    /// # Errors
    /// When a part does not start.
    pub fn start(dir: &Path) -> anyhow::Result<Self> {
        let ports = Ports {
            http: free_port()?,
            proxy_admin: free_port()?,
            ingest: free_port()?,
            collector_admin: free_port()?,
            postgres: free_port()?,
            query: free_port()?,
            kafka: free_port()?,
            kafka_controller: free_port()?,
        };
        let local = |port: u16| SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let data = dir.join("data");
        let journal_disk = Disk::mount(&data.join("journal"), JOURNAL_DISK_BYTES)?.map(Arc::new);
        let spool_disk = Disk::mount(&data.join("spool"), SPOOL_DISK_BYTES)?.map(Arc::new);
        let table_disk = Disk::mount(&data.join("table"), TABLE_DISK_BYTES)?.map(Arc::new);
        let tls = dir.join("tls");
        certificates::write(&tls)?;
        DemoCa::open(&tls)?.client(prober::NODE, prober::NODE, &[prober::NODE], Lifetime::days(DAYS))?;

        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
        let start = |behaviour| runtime.block_on(Upstream::start(local(0), behaviour));
        let upstreams = vec![
            start(Behaviour::Healthy)?,
            start(Behaviour::Failing { succeeds_every: 2 })?,
            start(Behaviour::Closing)?,
            start(Behaviour::Slow(std::time::Duration::from_millis(100)))?,
        ];
        let proxy_network = Relay::start(local(ports.ingest))?;
        let prober_network = Relay::start(local(ports.ingest))?;
        std::fs::write(dir.join("collector.yaml"), collector_yaml(&ports))?;
        let targets: Vec<SocketAddr> = upstreams.iter().map(|upstream| upstream.addr).collect();
        std::fs::write(dir.join("proxy.yaml"), proxy_yaml(&ports, &targets, proxy_network.addr))?;
        let args = kafka_args(dir, &ports);
        let args: Vec<&str> = args[2..].iter().map(String::as_str).collect();
        let kafka = Scripted::start("kafka.sh", &dir.join("kafka"), &args)?;
        let collector = start_collector(dir)?;
        let proxy = start_proxy(dir)?;
        let rig = Self {
            dir: dir.to_path_buf(),
            ports,
            proxy,
            collector,
            proxy_network,
            prober_network,
            journal_disk,
            spool_disk,
            table_disk,
            _kafka: kafka,
            _upstreams: upstreams,
            _runtime: runtime,
        };
        rig.wait_ready()?;
        Ok(rig)
    }

    /// Paths that the clients ask for: most succeed, some fail in the ways that APIs do.
    #[must_use]
    pub fn paths() -> Vec<String> {
        let paths =
            ["/a/members/1", "/a/members/2?page=3", "/failing/x", "/a/bytes/3000", "/nowhere", "/closing/y", "/slow/z"];
        paths.map(str::to_owned).to_vec()
    }

    /// Waits until proxy and collector say that they are ready.
    ///
    /// # Errors
    /// When one never does.
    pub fn wait_ready(&self) -> anyhow::Result<()> {
        wait_for("the proxy to be ready", || page(self.ports.proxy_admin, "/readyz"))
            .with_context(|| self.proxy.output())?;
        wait_for("the collector to be ready", || page(self.ports.collector_admin, "/readyz"))
            .with_context(|| self.collector.output())?;
        Ok(())
    }

    /// Reads the proxy's counts of its records.
    ///
    /// # Errors
    /// When it does not answer.
    pub fn shipped(&self) -> anyhow::Result<Shipped> {
        let page = page(self.ports.proxy_admin, "/metrics")?;
        let sum = |name: &str| metric(&page, &format!("tollgate_proxy_{name}"), "");
        Ok(Shipped {
            issued: sum("records_issued_total")?,
            acked: sum("records_acked_total")?,
            shed: sum("records_shed_total")?,
            ring_bytes: sum("ring_bytes")?,
            spool_bytes: sum("spool_bytes")?,
        })
    }

    /// The collector's status page.
    ///
    /// # Errors
    /// When it does not answer.
    pub fn status(&self) -> anyhow::Result<Value> {
        Ok(serde_json::from_str(&page(self.ports.collector_admin, "/status")?)?)
    }

    /// Waits until all that the proxy holds has been shipped, and every sink has stored all that is in the journal by then.
    ///
    /// # Errors
    /// When that never happens.
    pub fn wait_settled(&self) -> anyhow::Result<()> {
        wait_for("the spool to be empty", || {
            let shipped = self.shipped()?;
            ensure!(shipped.spool_bytes == 0.0, "{shipped:?}");
            Ok(())
        })?;
        self.wait_journal_delivered()
    }

    /// Waits until every sink has stored the journal's present contents.
    ///
    /// # Errors
    /// When that never happens.
    pub fn wait_journal_delivered(&self) -> anyhow::Result<()> {
        let status = wait_for("the collector's status", || self.status())?;
        let end = status["journal"]["next_position"].as_u64().context("a status without journal")?;
        wait_for("every sink to store what is in the journal", || {
            let status = self.status()?;
            let sinks = status["sinks"].as_array().context("a status without sinks")?;
            for sink in sinks {
                ensure!(sink["next_position"].as_u64().is_some_and(|next| next >= end), "{end} is the end of {status}");
            }
            Ok(())
        })
    }

    /// Sends a signal to Kafka.
    ///
    /// # Errors
    /// When it does not run.
    pub fn signal_kafka(&self, signal: &str) -> anyhow::Result<()> {
        let pid = std::fs::read_to_string(self.dir.join("kafka/kafka.pid"))?;
        run(Command::new("kill").arg(format!("-{signal}")).arg(pid.trim())).map(drop)
    }

    /// Kills Kafka without warning.
    ///
    /// # Errors
    /// When the script fails.
    pub fn kill_kafka(&self) -> anyhow::Result<()> {
        let dir = self.dir.join("kafka").display().to_string();
        script("kafka.sh", &["stop", "--dir", &dir, "--kill"]).map(drop)
    }

    /// Starts Kafka again on the same data.
    ///
    /// # Errors
    /// When it does not answer.
    pub fn restart_kafka(&self) -> anyhow::Result<()> {
        let args = kafka_args(&self.dir, &self.ports);
        let args: Vec<&str> = args.iter().map(String::as_str).collect();
        script("kafka.sh", &[&["start"], &args[..]].concat()).map(drop)
    }
}

fn kafka_args(dir: &Path, ports: &Ports) -> Vec<String> {
    let Ports { kafka, kafka_controller, .. } = ports;
    let dir = dir.join("kafka").display().to_string();
    let (port, controller) = (kafka.to_string(), kafka_controller.to_string());
    let while_pid = std::process::id().to_string();
    let args = ["--dir", &dir, "--port", &port, "--controller-port", &controller, "--while-pid", &while_pid];
    args.map(str::to_owned).to_vec()
}

fn collector_yaml(ports: &Ports) -> String {
    let Ports { ingest, collector_admin, postgres, query, kafka, .. } = ports;
    format!(
        "ingest:
  address: 127.0.0.1:{ingest}
  tls: {{certificate: tls/collector.pem, key: tls/collector.key, client_ca: tls/ca.pem}}
  batch_bytes_max: 512 KiB
  batch_raw_bytes_max: 8 MiB
  inflight_bytes_max: 40 MiB
  drain_timeout: 3s
journal:
  dir: data/journal
  segment_bytes: 1 MiB
  high_water_bytes: 4 MiB
  bytes_max: 12 MiB
  disk_free_min_bytes: 0
admin: {{address: 127.0.0.1:{collector_admin}}}
delivery: {{retry_max: 1s, recent_bytes_max: 16 MiB, rows_max: 8192}}
sinks:
  table: {{dir: data/table, commit_every: 500ms, hot_bytes_max: 32 MiB}}
  metrics: {{}}
  kafka: {{brokers: [\"127.0.0.1:{kafka}\"], topic: {TOPIC}, delivery_timeout: 5s, connect_timeout: 2s, queue_bytes_max: 16 MiB}}
queries:
  postgres: {{address: 127.0.0.1:{postgres}}}
  http: {{address: 127.0.0.1:{query}}}
"
    )
}

fn proxy_yaml(ports: &Ports, targets: &[SocketAddr], ingest: SocketAddr) -> String {
    let Ports { http, proxy_admin, .. } = ports;
    let mut services = String::new();
    let mut routes = String::new();
    for (name, target) in ["a", "failing", "closing", "slow"].iter().zip(targets) {
        services.push_str(&format!("  - {{name: {name}, targets: [\"http://{target}\"]}}\n"));
        routes.push_str(&format!("  - {{name: {name}, service: {name}, paths: [/{name}], strip_prefix: true}}\n"));
    }
    format!(
        "node_id: edge-1
environment: soak
workers: 2
drain: 5s
listeners: [{{name: http, address: \"127.0.0.1:{http}\"}}]
services:
{services}routes:
{routes}records:
  collectors: [\"https://{ingest}\"]
  tls: {{ca: tls/ca.pem, certificate: tls/edge-1.pem, key: tls/edge-1.key, server_name: localhost}}
  post_timeout: 2s
  backoff_max: 1s
  ring_bytes_max: 128 KiB
  spool: {{dir: data/spool, bytes_max: 16 MiB}}
  quarantine_dir: data/quarantine
admin: {{address: \"127.0.0.1:{proxy_admin}\"}}
"
    )
}
