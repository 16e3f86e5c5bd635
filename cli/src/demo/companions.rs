//! Real programs beside the demo: Kafka, Prometheus, Alertmanager, through the project's scripts.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, bail};

use crate::args::Companion;

/// Topic that the demo's Kafka receives.
pub const TOPIC: &str = "tollgate.transactions";

/// The companions that run; each is stopped when this is dropped.
pub struct Companions {
    scripts: PathBuf,
    dir: PathBuf,
    running: Vec<Companion>,
}

/// Kafka's own default port.
pub const KAFKA_PORT: u16 = 9092;
/// Kafka's second port; its own choice would be Alertmanager's.
const KAFKA_CONTROLLER_PORT: u16 = 19_092;
/// Prometheus' own default port.
pub const PROMETHEUS_PORT: u16 = 9090;
/// Alertmanager's own default port.
pub const ALERTMANAGER_PORT: u16 = 9093;

impl Companions {
    /// Finds the scripts; starts nothing yet.
    pub fn new(dir: &Path) -> anyhow::Result<Self> {
        Ok(Self { scripts: scripts()?, dir: dir.join("companions"), running: Vec::new() })
    }

    /// Installs and starts Kafka.
    pub fn kafka(&mut self) -> anyhow::Result<()> {
        let controller = KAFKA_CONTROLLER_PORT.to_string();
        self.start(Companion::Kafka, &["--port", &KAFKA_PORT.to_string(), "--controller-port", &controller])
    }

    /// Starts Alertmanager, paging `pager`.
    pub fn alertmanager(&mut self, pager: SocketAddr) -> anyhow::Result<()> {
        let url = format!("http://{pager}/");
        self.start(
            Companion::Alertmanager,
            &["--port", &ALERTMANAGER_PORT.to_string(), "--webhook", &url, "--pager", &url],
        )
    }

    /// Starts Prometheus, scraping both processes, with alerts that link to the query server.
    pub fn prometheus(
        &mut self,
        proxy: SocketAddr,
        collector: SocketAddr,
        query_server: SocketAddr,
    ) -> anyhow::Result<()> {
        self.start(
            Companion::Prometheus,
            &[
                "--port",
                &PROMETHEUS_PORT.to_string(),
                "--proxy",
                &proxy.to_string(),
                "--collector",
                &collector.to_string(),
                "--alertmanager",
                &format!("127.0.0.1:{ALERTMANAGER_PORT}"),
                "--query-url",
                &format!("http://{query_server}"),
            ],
        )
    }

    fn start(&mut self, companion: Companion, args: &[&str]) -> anyhow::Result<()> {
        println!("starting {} …", name(companion));
        let dir = self.dir.join(name(companion));
        std::fs::create_dir_all(&dir).with_context(|| format!("creating {}", dir.display()))?;
        self.script(companion, "install", None, &[])?;
        // It counts as running before it is started: a start that fails half-way is stopped as well.
        self.running.push(companion);
        self.script(companion, "start", Some(&dir), args)
    }

    fn script(&self, companion: Companion, verb: &str, dir: Option<&Path>, args: &[&str]) -> anyhow::Result<()> {
        let script = self.scripts.join(format!("{}.sh", name(companion)));
        let mut command = Command::new(&script);
        command.arg(verb);
        if let Some(dir) = dir {
            command.arg("--dir").arg(dir);
        }
        let output = command
            .args(args)
            .stdin(Stdio::null())
            .output()
            .with_context(|| format!("running {}", script.display()))?;
        if !output.status.success() {
            let said = String::from_utf8_lossy(&output.stderr);
            bail!("{} {verb} failed; leave it out of --with, or mend this: {}", script.display(), said.trim());
        }
        Ok(())
    }
}

impl Drop for Companions {
    fn drop(&mut self) {
        for companion in std::mem::take(&mut self.running).into_iter().rev() {
            let dir = self.dir.join(name(companion));
            if let Err(error) = self.script(companion, "stop", Some(&dir), &[]) {
                eprintln!("stopping {}: {error:#}", name(companion));
            }
        }
    }
}

fn name(companion: Companion) -> &'static str {
    match companion {
        Companion::Kafka => "kafka",
        Companion::Prometheus => "prometheus",
        Companion::Alertmanager => "alertmanager",
    }
}

/// The project's `scripts/`: named by the environment, in the current folder, or beside the folder of the binary.
fn scripts() -> anyhow::Result<PathBuf> {
    let named = std::env::var_os("TOLLGATE_SCRIPTS").map(PathBuf::from);
    let here = std::env::current_dir()?.join("scripts");
    let exe = std::env::current_exe()?;
    let beside = exe.ancestors().skip(1).take(3).map(|folder| folder.join("scripts"));
    named
        .into_iter()
        .chain([here])
        .chain(beside)
        .find(|folder| folder.join("prometheus.sh").is_file())
        .context("--with needs the project's scripts/: run in a clone of the project, or set TOLLGATE_SCRIPTS")
}
