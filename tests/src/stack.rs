//! The whole of Tollgate on free ports: sample upstreams, proxy and collector as real processes, their configuration.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::Context;
use tollgate_upstreams::{Behaviour, Upstream};

use crate::client::curl;
use crate::net::{free_port, wait_for};
use crate::process::{Process, binary};

/// Topic that the test's Kafka receives.
pub const TOPIC: &str = "tollgate.transactions";
/// How long the slow upstream takes.
const SLOW: Duration = Duration::from_secs(5);

/// Which ports the processes listen on.
#[derive(Debug, Clone, Copy)]
pub struct Ports {
    /// The proxy's plaintext listener.
    pub http: u16,
    /// The proxy's TLS listener.
    pub https: u16,
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
    /// A port on which nothing listens.
    pub nobody: u16,
}

impl Ports {
    /// Ports that are free now.
    ///
    /// # Errors
    /// When the machine has none.
    pub fn free() -> anyhow::Result<Self> {
        Ok(Self {
            http: free_port()?,
            https: free_port()?,
            proxy_admin: free_port()?,
            ingest: free_port()?,
            collector_admin: free_port()?,
            postgres: free_port()?,
            query: free_port()?,
            nobody: free_port()?,
        })
    }
}

/// The sample upstreams, and the runtime that they live on.
pub struct Upstreams {
    runtime: tokio::runtime::Runtime,
    running: Vec<(&'static str, Option<Upstream>, SocketAddr)>,
}

impl Upstreams {
    /// Starts one of each kind.
    ///
    /// # Errors
    /// When a port cannot be bound.
    pub fn start() -> anyhow::Result<Self> {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
        let kinds = [
            ("members", Behaviour::Healthy),
            ("orders", Behaviour::Healthy),
            ("slow", Behaviour::Slow(SLOW)),
            ("failing", Behaviour::Failing { succeeds_every: 0 }),
            ("closing", Behaviour::Closing),
            ("truncating", Behaviour::Truncating),
        ];
        let mut running = Vec::new();
        for (name, behaviour) in kinds {
            let upstream = runtime.block_on(Upstream::start((Ipv4Addr::LOCALHOST, 0).into(), behaviour))?;
            running.push((name, Some(upstream), SocketAddr::from((Ipv4Addr::LOCALHOST, 0))));
        }
        for (_, upstream, addr) in &mut running {
            *addr = upstream.as_ref().map_or(*addr, |upstream| upstream.addr);
        }
        Ok(Self { runtime, running })
    }

    /// Kills one: its port refuses connections from now on.
    pub fn kill(&mut self, name: &str) {
        for (_, upstream, _) in self.running.iter_mut().filter(|(known, ..)| *known == name) {
            if let Some(upstream) = upstream.take() {
                self.runtime.block_on(upstream.kill());
            }
        }
    }
}

/// Further parts of a stack.
#[derive(Debug, Clone, Copy, Default)]
pub struct Options {
    /// Port of a running Kafka that the collector delivers to.
    pub kafka: Option<u16>,
    /// Port of a receiver of spans; half of the traces go there, and all failed transactions.
    pub spans: Option<u16>,
}

/// Upstreams, proxy and collector, running.
pub struct Stack {
    /// The folder that holds everything.
    pub dir: PathBuf,
    /// Where the processes listen.
    pub ports: Ports,
    /// The sample upstreams.
    pub upstreams: Upstreams,
    /// The running proxy.
    pub proxy: Process,
    /// The running collector.
    pub collector: Process,
}

impl Stack {
    /// Makes certificates and configuration in `dir`, starts everything, and waits until it answers.
    ///
    /// # Errors
    /// When a part does not start.
    pub fn start(dir: &Path, options: Options) -> anyhow::Result<Self> {
        let ports = Ports::free()?;
        let upstreams = Upstreams::start()?;
        certificates(&dir.join("tls"))?;
        std::fs::write(dir.join("hmac.key"), "a secret of the tests, 32 bytes!")?;
        std::fs::write(dir.join("collector.yaml"), collector_yaml(&ports, options))?;
        std::fs::write(dir.join("proxy.yaml"), proxy_yaml(&ports, &upstreams))?;
        let collector = start_collector(dir)?;
        let proxy = start_proxy(dir)?;
        let stack = Self { dir: dir.to_path_buf(), ports, upstreams, proxy, collector };
        stack.wait_ready()?;
        Ok(stack)
    }

    /// Waits until both processes say that they are ready.
    ///
    /// # Errors
    /// When one never does.
    pub fn wait_ready(&self) -> anyhow::Result<()> {
        for (name, port, page) in [
            ("collector", self.ports.collector_admin, "readyz"),
            ("proxy", self.ports.proxy_admin, "readyz"),
            // The doors open last.
            ("HTTP door", self.ports.query, "healthz"),
        ] {
            wait_for(&format!("{name} to be ready"), || {
                let got = curl(&[&format!("http://127.0.0.1:{port}/{page}")])?;
                anyhow::ensure!(
                    got.status == 200,
                    "/{page} answers {}: {}",
                    got.status,
                    String::from_utf8_lossy(&got.body)
                );
                Ok(())
            })?;
        }
        Ok(())
    }

    /// Runs `tollgate` against this stack's HTTP door, and answers what it printed.
    ///
    /// # Errors
    /// When it fails; the message carries what it printed.
    pub fn tollgate(&self, args: &[&str]) -> anyhow::Result<String> {
        let url = format!("http://127.0.0.1:{}", self.ports.query);
        let output = crate::process::run(Command::new(binary("tollgate")?).args(args).env("TOLLGATE_URL", url))?;
        Ok(String::from_utf8(output.stdout)?)
    }

    /// A URL on the proxy's plaintext listener.
    #[must_use]
    pub fn http(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.ports.http)
    }

    /// A URL on the proxy's TLS listener.
    #[must_use]
    pub fn https(&self, path: &str) -> String {
        format!("https://localhost:{}{path}", self.ports.https)
    }

    /// The path of a file in the folder of certificates.
    #[must_use]
    pub fn tls(&self, file: &str) -> String {
        self.dir.join("tls").join(file).display().to_string()
    }
}

/// Starts a collector on the configuration in `dir`.
///
/// # Errors
/// When it cannot be started.
pub fn start_collector(dir: &Path) -> anyhow::Result<Process> {
    let mut command = Command::new(binary("tollgate")?);
    Process::start("collector", dir, command.args(["collector", "--config"]).arg(dir.join("collector.yaml")))
}

/// Starts a proxy on the configuration in `dir`.
///
/// # Errors
/// When it cannot be started.
pub fn start_proxy(dir: &Path) -> anyhow::Result<Process> {
    let mut command = Command::new(binary("tollgate-proxy")?);
    Process::start("proxy", dir, command.arg("--config").arg(dir.join("proxy.yaml")))
}

/// One CA for all, server certificates, client certificates of a known and of an unknown authority.
fn certificates(dir: &Path) -> anyhow::Result<()> {
    crate::certificates::write(dir).context("making certificates")
}

fn collector_yaml(ports: &Ports, options: Options) -> String {
    let Ports { ingest, collector_admin, postgres, query, .. } = ports;
    let kafka = options
        .kafka
        .map_or(String::new(), |port| format!("  kafka:\n    brokers: [\"127.0.0.1:{port}\"]\n    topic: {TOPIC}\n"));
    let spans = options.spans.map_or(String::new(), |port| {
        format!("  spans: {{endpoint: \"http://127.0.0.1:{port}\", ratio: 0.5, errors: always}}\n")
    });
    format!(
        "ingest:
  address: 127.0.0.1:{ingest}
  tls: {{certificate: tls/collector.pem, key: tls/collector.key, client_ca: tls/ca.pem}}
journal: {{dir: data/journal}}
admin: {{address: 127.0.0.1:{collector_admin}}}
sinks:
  table: {{dir: data/table, commit_every: 1s}}
  metrics: {{}}
{kafka}{spans}queries:
  postgres: {{address: 127.0.0.1:{postgres}}}
  http: {{address: 127.0.0.1:{query}}}
"
    )
}

fn proxy_yaml(ports: &Ports, upstreams: &Upstreams) -> String {
    let Ports { http, https, proxy_admin, ingest, nobody, .. } = ports;
    let mut services = format!("  - {{name: refused, targets: [\"http://127.0.0.1:{nobody}\"]}}\n");
    let mut routes = String::from("  - {name: refused, service: refused, paths: [/refused]}\n");
    for (name, _, addr) in &upstreams.running {
        services.push_str(&format!("  - {{name: {name}, app_id: team-{name}, targets: [\"http://{addr}\"]}}\n"));
        routes.push_str(&format!("  - {{name: {name}, service: {name}, paths: [/{name}], strip_prefix: true}}\n"));
    }
    routes.push_str(
        "  - {name: impatient, service: slow, paths: [/impatient], timeouts: {first_byte: 300ms}}
  - {name: partners, service: members, paths: [/partners], require_client_cert: true}
",
    );
    format!(
        "node_id: edge-1
environment: test
zone: local
workers: 2
listeners:
  - {{name: http, address: \"127.0.0.1:{http}\"}}
  - name: https
    address: 127.0.0.1:{https}
    tls:
      certificates: [{{certificate: tls/server.pem, key: tls/server.key}}]
      client_auth: optional
      client_ca: tls/ca.pem
services:
{services}routes:
{routes}hmac: {{key_file: hmac.key, key_id: test-1}}
records:
  collectors: [\"https://127.0.0.1:{ingest}\"]
  tls: {{ca: tls/ca.pem, certificate: tls/edge-1.pem, key: tls/edge-1.key}}
  spool: {{dir: data/spool}}
  quarantine_dir: data/quarantine
admin: {{address: \"127.0.0.1:{proxy_admin}\"}}
"
    )
}
