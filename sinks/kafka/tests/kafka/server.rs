//! A real Kafka for the length of a test, started by `scripts/kafka.sh`.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::OnceLock;

use tempfile::TempDir;

/// One broker in a folder of its own; it ends with the test, or with the process whatever happens.
pub struct Kafka {
    pub port: u16,
    dir: TempDir,
    options: Vec<String>,
}

/// The broker that all tests use which do it no harm. It ends with the process; its folder is left to the next run.
pub fn shared() -> Option<&'static Kafka> {
    static SHARED: OnceLock<Option<Kafka>> = OnceLock::new();
    SHARED.get_or_init(|| Kafka::start(&[])).as_ref()
}

/// A folder for a broker's data, after those that earlier runs have left are gone.
fn folder() -> TempDir {
    let parent = Path::new(env!("CARGO_TARGET_TMPDIR")).join("brokers");
    std::fs::create_dir_all(&parent).expect("a folder for brokers");
    for entry in std::fs::read_dir(&parent).expect("the folder is read").flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let owner = name.split('-').next().unwrap_or_default();
        if !Path::new("/proc").join(owner).exists() {
            // Another run may remove it at the same time.
            let _ = std::fs::remove_dir_all(entry.path());
        }
    }
    let prefix = format!("{}-", std::process::id());
    tempfile::Builder::new().prefix(&prefix).tempdir_in(parent).expect("a temporary folder")
}

/// A message, as kcat read it.
#[derive(Debug, Clone, serde::Deserialize)]
pub struct Message {
    pub ts: i64,
    pub headers: Vec<String>,
    pub key: String,
    pub payload: String,
}

impl Message {
    pub fn header(&self, name: &str) -> &str {
        let found = self.headers.chunks(2).find(|pair| pair[0] == name);
        found.map_or("", |pair| pair[1].as_str())
    }
}

impl Kafka {
    /// Starts a broker, or says loudly that there is none; with CI=true that is a failure.
    pub fn start(options: &[&str]) -> Option<Self> {
        let dir = folder();
        let options = options.iter().map(|option| (*option).to_owned()).collect();
        let kafka = Self { port: free_port(), dir, options };
        let started = kafka.try_start();
        if started.status.success() {
            return Some(kafka);
        }
        let why = String::from_utf8_lossy(&started.stderr).into_owned();
        assert!(std::env::var("CI").as_deref() != Ok("true"), "no Kafka for this test: {why}");
        eprintln!("SKIPPED: no Kafka for this test; run `scripts/kafka.sh install`: {why}");
        None
    }

    fn try_start(&self) -> Output {
        let own = std::process::id().to_string();
        let port = self.port.to_string();
        let controller = free_port().to_string();
        let arguments = ["start", "--port", &port, "--controller-port", &controller, "--while-pid", &own];
        self.script(&arguments, &self.options)
    }

    fn script(&self, arguments: &[&str], options: &[String]) -> Output {
        let script = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../scripts/kafka.sh");
        let dir = self.dir.path().join("broker");
        Command::new("bash")
            .arg(script)
            .args(arguments)
            .arg("--dir")
            .arg(dir)
            .args(options)
            .output()
            .expect("bash runs the script")
    }

    /// The power goes out.
    pub fn kill(&self) {
        assert!(self.script(&["stop", "--kill"], &[]).status.success(), "the broker is killed");
    }

    /// The power comes back.
    pub fn restart(&self) {
        let started = self.try_start();
        assert!(started.status.success(), "{}", String::from_utf8_lossy(&started.stderr));
    }

    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// Everything that is in the topic.
    pub fn read(&self, topic: &str) -> Vec<Message> {
        let arguments = ["-C", "-q", "-e", "-J", "-o", "beginning", "-b", &self.address(), "-t", topic];
        let read = Command::new("kcat").args(arguments).output().expect("kcat runs");
        assert!(read.status.success(), "{}", String::from_utf8_lossy(&read.stderr));
        let text = String::from_utf8(read.stdout).expect("kcat writes UTF-8");
        text.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"))).collect()
    }

    /// What kcat says of the topic.
    pub fn describe(&self, topic: &str) -> String {
        let listed = Command::new("kcat").args(["-L", "-b", &self.address(), "-t", topic]).output().expect("kcat runs");
        String::from_utf8_lossy(&listed.stdout).into_owned()
    }
}

impl Drop for Kafka {
    fn drop(&mut self) {
        self.script(&["stop", "--kill"], &[]);
    }
}

/// A port that is free now, and that nobody is given as the port of an outgoing connection.
pub fn free_port() -> u16 {
    tollgate_tests::net::free_port().expect("a free port")
}
