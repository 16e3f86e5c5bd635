//! The proxy under test: the real binary, in a folder of its own, with its records spooled to disk.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Context;
use serde_json::Value;
use tollgate_tests::certificates;
use tollgate_tests::net::wait_for;
use tollgate_tests::process::{Process, binary};

use crate::records;

/// A running proxy.
#[derive(Debug)]
pub struct Gate {
    /// The plaintext listener.
    pub plain: SocketAddr,
    /// The TLS listener, which offers HTTP/2.
    pub tls: SocketAddr,
    dir: tempfile::TempDir,
    process: Process,
}

impl Gate {
    /// Starts the proxy in front of `origin` with the configuration of `yaml`; `service` has more keys of the service,
    /// `extra` more top-level sections.
    ///
    /// # Errors
    /// When the binary is not built, or does not listen.
    pub fn start(origin: SocketAddr, service: &str, extra: &str) -> anyhow::Result<Self> {
        let dir = tempfile::tempdir()?;
        certificates::write(&dir.path().join("tls"))?;
        let file = dir.path().join("gate.yaml");
        std::fs::write(&file, yaml(origin, service, extra))?;
        let mut command = Command::new(binary("tollgate-proxy")?);
        let process =
            Process::start("tollgate-proxy", dir.path(), command.arg("--log-json").arg("--config").arg(&file))?;
        let plain = wait_for("the plaintext listener", || listening(&process.output(), "plain"))?;
        let tls = wait_for("the TLS listener", || listening(&process.output(), "tls"))?;
        Ok(Self { plain, tls, dir, process })
    }

    /// The authority of its certificate, for clients.
    #[must_use]
    pub fn ca(&self) -> PathBuf {
        self.dir.path().join("tls/ca.pem")
    }

    /// The proxy's folder.
    #[must_use]
    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// The proxy's process id.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.process.id()
    }

    /// The records that have left it so far, in the order of their `seq`.
    ///
    /// # Errors
    /// When a batch cannot be read.
    pub fn records(&self) -> anyhow::Result<Vec<Value>> {
        records::read(&self.dir.path().join("spool"))
    }

    /// Drains it, and returns every record that it left.
    ///
    /// # Errors
    /// When it does not end, or a batch cannot be read.
    pub fn finish(mut self) -> anyhow::Result<Vec<Value>> {
        let status = self.process.stop()?;
        anyhow::ensure!(status.success(), "the proxy ended with {status}");
        self.records()
    }
}

/// Where the log says that a listener is: it takes a free port of its own choice.
fn listening(log: &str, listener: &str) -> anyhow::Result<SocketAddr> {
    let lines = log.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let mut told = lines.filter(|line| line["listener"] == listener);
    let line = told.next().with_context(|| format!("it has not said so: {log}"))?;
    Ok(line["address"].as_str().context("no address")?.parse()?)
}

/// What all cases run under: `/guarded` needs a client certificate, `/limited` takes ten bytes of body, `/frob` also
/// serves the method FROB, and the rest goes through.
fn yaml(origin: SocketAddr, service: &str, extra: &str) -> String {
    format!(
        r#"
node_id: conformance
workers: 1
drain: 5s
listeners:
  - {{name: plain, address: "127.0.0.1:0"}}
  - name: tls
    address: "127.0.0.1:0"
    tls:
      certificates: [{{certificate: tls/server.pem, key: tls/server.key}}]
services:
  - name: origin
    targets: ["http://{origin}"]
    host: client
{service}
routes:
  - {{name: everything, service: origin}}
  - {{name: guarded, service: origin, paths: [/guarded], require_client_cert: true}}
  - {{name: limited, service: origin, paths: [/limited], request_body_bytes_max: 10 B}}
  - {{name: frob, service: origin, paths: [/frob], methods: [FROB]}}
forwarding: {{x_forwarded: false}}
timeouts: {{header_read: 2s, body_idle: 2s, first_byte: 5s}}
limits: {{head_bytes_max: 16 KiB}}
admin: {{address: "127.0.0.1:0"}}
records:
  batch_age_max: 50ms
  spool: {{dir: spool}}
{extra}
"#
    )
}
