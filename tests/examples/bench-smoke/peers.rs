//! The processes that are compared: nginx without and with an access log, the proxy without and with records.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::Context;
use tollgate_tests::certificates;
use tollgate_tests::net::{free_port, wait_listening};
use tollgate_tests::process::{Process, binary};

/// Body of the upstream's answer: 0.7 KB.
const ANSWER_BYTES: usize = 700;
/// The core that the measured program runs on.
const MEASURED_CORE: &str = "0";
/// The core of everything else.
pub const OTHER_CORE: &str = "1";

/// One variant: what it is, where it listens, and the processes whose time counts.
pub struct Variant {
    /// Name of the peer in the table.
    pub name: &'static str,
    /// Port of the peer.
    pub port: u16,
    /// Processes whose CPU time counts.
    pub processes: Vec<u32>,
}

/// Everything running.
pub struct Bench {
    /// The variants, nginx without a log first: the base of the ratios.
    pub variants: Vec<Variant>,
    /// The collector's admin endpoint.
    pub collector_admin: u16,
    /// The HTTP door.
    pub query: u16,
    /// The table's folder.
    pub table: std::path::PathBuf,
    _running: Vec<Process>,
}

impl Bench {
    /// Starts the upstream, the collector and every variant.
    pub fn start(dir: &Path) -> anyhow::Result<Self> {
        let mut running = Vec::new();
        certificates::write(&dir.join("tls"))?;
        let upstream = free_port()?;
        running.push(nginx(dir, "upstream", &upstream_conf(upstream), upstream, OTHER_CORE)?);
        let (ingest, collector_admin, postgres, query) = (free_port()?, free_port()?, free_port()?, free_port()?);
        fs::write(dir.join("collector.yaml"), collector_yaml(ingest, collector_admin, postgres, query))?;
        let mut collector = pinned(OTHER_CORE, &binary("tollgate")?);
        collector.arg("collector").arg("--config").arg(dir.join("collector.yaml"));
        running.push(Process::start("collector", dir, &mut collector)?);
        wait_listening(([127, 0, 0, 1], ingest).into())?;

        let mut variants = Vec::new();
        for (name, log) in [("nginx, access log off", "off"), ("nginx, JSON access log", "access.json json")] {
            let port = free_port()?;
            let short = if log == "off" { "nginx-off" } else { "nginx-json" };
            let master = nginx(dir, short, &proxy_conf(port, upstream, log), port, MEASURED_CORE)?;
            variants.push(Variant { name, port, processes: children(master.id())? });
            running.push(master);
        }
        for (name, short, records) in [
            ("tollgate-proxy, records off", "proxy-off", None),
            ("tollgate-proxy, records shipped", "proxy-on", Some(ingest)),
        ] {
            let (port, admin) = (free_port()?, free_port()?);
            let file = dir.join(format!("{short}.yaml"));
            fs::write(&file, proxy_yaml(port, admin, upstream, records))?;
            let mut command = pinned(MEASURED_CORE, &binary("tollgate-proxy")?);
            let proxy = Process::start(short, dir, command.arg("--config").arg(file))?;
            wait_listening(([127, 0, 0, 1], port).into())?;
            variants.push(Variant { name, port, processes: vec![proxy.id()] });
            running.push(proxy);
        }
        Ok(Self { variants, collector_admin, query, table: dir.join("data/table"), _running: running })
    }
}

/// A command that runs on one core only.
pub fn pinned(core: &str, program: &Path) -> Command {
    let mut command = Command::new("taskset");
    command.args(["-c", core]).arg(program);
    command
}

fn nginx(dir: &Path, name: &str, conf: &str, port: u16, core: &str) -> anyhow::Result<Process> {
    let prefix = dir.join(name);
    fs::create_dir_all(&prefix)?;
    let file = prefix.join("nginx.conf");
    fs::write(&file, conf)?;
    let mut command = pinned(core, Path::new("nginx"));
    let process = Process::start(name, dir, command.arg("-p").arg(&prefix).arg("-c").arg(&file))?;
    wait_listening(([127, 0, 0, 1], port).into())?;
    Ok(process)
}

const NGINX_MAIN: &str = "daemon off; worker_processes 1; pid nginx.pid; error_log stderr crit;
events { worker_connections 4096; }
";

fn upstream_conf(port: u16) -> String {
    let body = "x".repeat(ANSWER_BYTES);
    format!(
        "{NGINX_MAIN}http {{ access_log off; keepalive_requests 1000000000; keepalive_timeout 600s;
  server {{ listen 127.0.0.1:{port}; location / {{ return 200 '{body}'; }} }} }}
"
    )
}

/// nginx as a reverse proxy: upstream keepalive, the same headers that the proxy adds, and a log line with what a
/// combined JSON log commonly holds.
fn proxy_conf(port: u16, upstream: u16, log: &str) -> String {
    format!(
        "{NGINX_MAIN}http {{ keepalive_requests 1000000000; keepalive_timeout 600s;
  log_format json escape=json '{{\"time\":\"$msec\",\"id\":\"$request_id\",\"client\":\"$remote_addr\",\"port\":\"$remote_port\",\
\"host\":\"$host\",\"method\":\"$request_method\",\"path\":\"$uri\",\"query\":\"$args\",\"protocol\":\"$server_protocol\",\
\"status\":\"$status\",\"bytes\":\"$body_bytes_sent\",\"request_bytes\":\"$request_length\",\"agent\":\"$http_user_agent\",\
\"upstream\":\"$upstream_addr\",\"upstream_status\":\"$upstream_status\",\"connect\":\"$upstream_connect_time\",\
\"ttfb\":\"$upstream_header_time\",\"total\":\"$request_time\"}}';
  access_log {log};
  upstream backend {{ server 127.0.0.1:{upstream}; keepalive 128; keepalive_requests 1000000000; }}
  server {{ listen 127.0.0.1:{port};
    location / {{ proxy_pass http://backend; proxy_http_version 1.1; proxy_set_header Connection '';
      proxy_set_header X-Request-Id $request_id; proxy_set_header X-Forwarded-For $remote_addr;
      proxy_set_header X-Forwarded-Proto $scheme; proxy_set_header X-Forwarded-Host $host; }} }} }}
"
    )
}

fn collector_yaml(ingest: u16, admin: u16, postgres: u16, query: u16) -> String {
    format!(
        "ingest:
  address: 127.0.0.1:{ingest}
  tls: {{certificate: tls/collector.pem, key: tls/collector.key, client_ca: tls/ca.pem}}
journal: {{dir: data/journal}}
admin: {{address: 127.0.0.1:{admin}}}
sinks:
  table: {{dir: data/table}}
  metrics: {{}}
queries:
  postgres: {{address: 127.0.0.1:{postgres}}}
  http: {{address: 127.0.0.1:{query}}}
"
    )
}

fn proxy_yaml(port: u16, admin: u16, upstream: u16, ingest: Option<u16>) -> String {
    let records = ingest.map_or("records: {enabled: false}".to_owned(), |ingest| {
        format!(
            "records:
  collectors: [\"https://127.0.0.1:{ingest}\"]
  tls: {{ca: tls/ca.pem, certificate: tls/edge-1.pem, key: tls/edge-1.key}}"
        )
    });
    format!(
        "node_id: edge-1
workers: 1
listeners: [{{name: http, address: \"127.0.0.1:{port}\"}}]
services: [{{name: bench, targets: [\"http://127.0.0.1:{upstream}\"]}}]
routes: [{{name: bench, service: bench}}]
{records}
admin: {{address: \"127.0.0.1:{admin}\"}}
"
    )
}

/// The child processes of a master process.
fn children(parent: u32) -> anyhow::Result<Vec<u32>> {
    let text = fs::read_to_string(format!("/proc/{parent}/task/{parent}/children"))?;
    let ids: Vec<u32> = text.split_whitespace().map(str::parse).collect::<Result<_, _>>()?;
    (!ids.is_empty()).then_some(ids).with_context(|| format!("process {parent} has no workers"))
}
