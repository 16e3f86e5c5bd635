//! The demo's folder: certificates, the two configurations, data.
//!
//! ```text
//! DIR/tls/…                        a demo authority and what it issued
//! DIR/proxy.yaml, collector.yaml   written at each start from the ports in use: read them, copy them
//! DIR/data/…                       journal, cursors, table, spool: kept between runs
//! DIR/endpoints.json               where everything listens, for programs
//! ```

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use anyhow::Context;
use tollgate_demo_ca::{DemoCa, Lifetime};

use crate::args::DemoArgs;
use crate::demo::companions::{KAFKA_PORT, TOPIC};

/// Name of the demo's proxy; its client certificate carries it.
const NODE: &str = "demo-1";
/// Days that the demo's certificates are valid; they are renewed at the first start after that.
const DAYS: u32 = 90;
/// Days that the partner's certificate is valid: few, so that the alert on expiring certificates has something to say.
const PARTNER_DAYS: u32 = 5;

/// The demo's folder.
pub struct Layout {
    dir: PathBuf,
}

impl Layout {
    /// Creates the folder, and the certificates that are missing or expired.
    pub fn prepare(dir: &Path) -> anyhow::Result<Self> {
        let unusable = || format!("{} cannot be used; choose another folder with --dir", dir.display());
        std::fs::create_dir_all(dir).with_context(unusable)?;
        let dir = dir.canonicalize().with_context(unusable)?;
        let layout = Self { dir };
        layout.certificates().with_context(unusable)?;
        let secret = layout.path("hmac.key");
        if !secret.exists() {
            std::fs::write(&secret, format!("{:032x}\n", rand::random::<u128>())).with_context(unusable)?;
        }
        Ok(layout)
    }

    /// A path in the folder.
    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }

    fn certificates(&self) -> anyhow::Result<()> {
        let tls = self.path("tls");
        let valid = Lifetime::days(DAYS);
        let ca = DemoCa::open(&tls)?;
        let hosts = ["localhost", "api.localhost", "127.0.0.1"];
        ca.server("server", &hosts, valid)?;
        ca.server("collector", &["localhost", "127.0.0.1"], valid)?;
        ca.client(NODE, NODE, &[NODE], valid)?;
        ca.client("partner", "partner", &["partner.localhost"], Lifetime::days(PARTNER_DAYS))?;
        DemoCa::open(&tls.join("unknown"))?.client("stranger", "stranger", &["stranger.localhost"], valid)?;
        Ok(())
    }

    /// Writes the collector's configuration and answers its path.
    pub fn collector_yaml(&self, args: &DemoArgs, kafka: bool) -> anyhow::Result<PathBuf> {
        let kafka = if kafka {
            format!("  kafka:\n    brokers: [\"127.0.0.1:{KAFKA_PORT}\"]\n    topic: {TOPIC}\n")
        } else {
            String::new()
        };
        let text = format!(
            "# Written by `tollgate demo` at each start. Run it alone: tollgate collector --config collector.yaml
ingest:
  address: 127.0.0.1:{ingest}
  tls: {{certificate: tls/collector.pem, key: tls/collector.key, client_ca: tls/ca.pem}}
journal: {{dir: data/journal}}
admin: {{address: 127.0.0.1:{admin}}}
sinks:
  table: {{dir: data/table}}
  metrics: {{}}
{kafka}queries:
  postgres: {{address: 127.0.0.1:{postgres}}}
  http: {{address: 127.0.0.1:{query}}}
",
            ingest = args.ingest_port,
            admin = args.collector_admin_port,
            postgres = args.postgres_port,
            query = args.query_port,
        );
        self.write("collector.yaml", &text)
    }

    /// Writes the proxy's configuration and answers its path. `services` is its part on services and routes.
    pub fn proxy_yaml(&self, args: &DemoArgs, ingest: SocketAddr, services: &str) -> anyhow::Result<PathBuf> {
        let text = format!(
            "# Written by `tollgate demo` at each start. Run it alone: tollgate-proxy --config proxy.yaml
node_id: {NODE}
environment: demo
zone: local
workers: 2
drain: 2s
listeners:
  - {{name: http, address: \"127.0.0.1:{http}\"}}
  - name: https
    address: 127.0.0.1:{https}
    tls:
      certificates: [{{certificate: tls/server.pem, key: tls/server.key}}]
      client_auth: optional
      client_ca: tls/ca.pem
{services}trace: {{sampling: 0.1}}
hmac: {{key_file: hmac.key, key_id: demo}}
records:
  collectors: [\"https://{ingest}\"]
  tls: {{ca: tls/ca.pem, certificate: tls/{NODE}.pem, key: tls/{NODE}.key}}
  spool: {{dir: data/spool}}
  quarantine_dir: data/quarantine
admin: {{address: \"127.0.0.1:{admin}\"}}
",
            http = args.http_port,
            https = args.https_port,
            admin = args.proxy_admin_port,
        );
        self.write("proxy.yaml", &text)
    }

    /// Writes where everything listens.
    pub fn endpoints(&self, endpoints: &serde_json::Value) -> anyhow::Result<()> {
        self.write("endpoints.json", &format!("{endpoints:#}\n")).map(drop)
    }

    fn write(&self, name: &str, text: &str) -> anyhow::Result<PathBuf> {
        let path = self.path(name);
        std::fs::write(&path, text).with_context(|| format!("writing {}", path.display()))?;
        Ok(path)
    }
}
