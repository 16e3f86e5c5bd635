//! A collector on its own, and Kafka where it delivers to it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use serde_json::Value;
use tollgate_tests::certificates;
use tollgate_tests::http::page;
use tollgate_tests::net::{free_port, sleep};
use tollgate_tests::process::{Process, Scripted, binary, cpu_seconds};
use tollgate_tests::stack::TOPIC;

/// How long a collector may take to recover its journal.
pub const RECOVERY_MAX: Duration = Duration::from_secs(1_800);
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// Which sinks it has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sinks {
    /// Metrics alone.
    Metrics,
    /// Table, metrics and Kafka, with a real Kafka.
    All,
    /// Table and metrics, and a query server in front of the table.
    Queried,
    /// Kafka alone, at an address that does not answer: the journal keeps everything.
    Nobody,
}

/// A collector, running.
pub struct Collector {
    /// The collector's process.
    pub process: Process,
    /// Where it takes batches.
    pub ingest: u16,
    /// Where it answers queries over HTTP, if it does.
    pub query: u16,
    admin: u16,
    dir: PathBuf,
    core: Option<&'static str>,
    kafka: Option<Scripted>,
}

impl Collector {
    /// Starts one in `dir`, on one core if it is named.
    pub fn start(dir: &Path, sinks: Sinks, journal: &str, core: Option<&'static str>) -> anyhow::Result<Self> {
        certificates::write(&dir.join("tls"))?;
        let (ingest, admin, kafka_port, controller) = (free_port()?, free_port()?, free_port()?, free_port()?);
        let kafka = if sinks == Sinks::All {
            let (port, controller, pid) =
                (kafka_port.to_string(), controller.to_string(), std::process::id().to_string());
            let args = ["--fast", "--port", &port, "--controller-port", &controller, "--while-pid", &pid];
            Some(Scripted::start("kafka.sh", &dir.join("kafka"), &args)?)
        } else {
            None
        };
        let (query, postgres) = (free_port()?, free_port()?);
        let queries = match sinks {
            Sinks::Queried => {
                format!(
                    "queries: {{http: {{address: 127.0.0.1:{query}}}, postgres: {{address: 127.0.0.1:{postgres}}}}}\n"
                )
            }
            _ => String::new(),
        };
        let to_kafka = format!("  kafka: {{brokers: [\"127.0.0.1:{kafka_port}\"], topic: {TOPIC}}}\n");
        let listed = match sinks {
            Sinks::Metrics => "  metrics: {}\n".to_owned(),
            Sinks::All => format!("  table: {{dir: data/table}}\n  metrics: {{}}\n{to_kafka}"),
            Sinks::Queried => "  table: {dir: data/table}\n  metrics: {}\n".to_owned(),
            Sinks::Nobody => to_kafka,
        };
        fs::write(
            dir.join("collector.yaml"),
            format!(
                "ingest:
  address: 127.0.0.1:{ingest}
  tls: {{certificate: tls/collector.pem, key: tls/collector.key, client_ca: tls/ca.pem}}
journal: {{dir: data/journal{journal}}}
admin: {{address: 127.0.0.1:{admin}}}
sinks:
{listed}{queries}"
            ),
        )?;
        let process = launch(dir, core)?;
        let collector = Self { process, ingest, query, admin, dir: dir.to_path_buf(), core, kafka };
        collector.wait_ready()?;
        Ok(collector)
    }

    /// Starts it again after its end.
    pub fn start_again(&mut self) -> anyhow::Result<()> {
        self.process = launch(&self.dir, self.core)?;
        self.wait_ready()
    }

    fn wait_ready(&self) -> anyhow::Result<()> {
        within(RECOVERY_MAX, "the collector to be ready", || page(self.admin, "/readyz").is_ok())
            .with_context(|| self.process.output())
    }

    /// CPU time in seconds that the collector, Kafka and this process have used so far.
    pub fn cpu_seconds(&self) -> anyhow::Result<[f64; 3]> {
        let kafka = match &self.kafka {
            Some(_) => cpu_seconds(fs::read_to_string(self.dir.join("kafka/kafka.pid"))?.trim().parse()?)?,
            None => 0.0,
        };
        Ok([cpu_seconds(self.process.id())?, kafka, cpu_seconds(std::process::id())?])
    }

    /// Waits until every sink has stored what the journal holds.
    pub fn wait_delivered(&self) -> anyhow::Result<()> {
        let end = self.status()?["journal"]["next_position"].as_u64().context("a status without journal")?;
        within(RECOVERY_MAX, "every sink to store everything", || {
            let Ok(status) = self.status() else { return false };
            let Some(sinks) = status["sinks"].as_array() else { return false };
            sinks.iter().all(|sink| sink["next_position"].as_u64().is_some_and(|next| next >= end))
        })
    }

    fn status(&self) -> anyhow::Result<Value> {
        Ok(serde_json::from_str(&page(self.admin, "/status")?)?)
    }
}

fn launch(dir: &Path, core: Option<&str>) -> anyhow::Result<Process> {
    let program = binary("tollgate")?;
    let mut command = match core {
        Some(core) => {
            let mut command = Command::new("taskset");
            command.args(["-c", core]).arg(program);
            command
        }
        None => Command::new(program),
    };
    Process::start("collector", dir, command.args(["collector", "--config"]).arg(dir.join("collector.yaml")))
}

/// Looks until it is true.
pub fn within(limit: Duration, what: &str, mut is_true: impl FnMut() -> bool) -> anyhow::Result<()> {
    let started = Instant::now();
    while !is_true() {
        if started.elapsed() > limit {
            bail!("waited {limit:?} for {what}");
        }
        sleep(LOOK_EVERY);
    }
    Ok(())
}
