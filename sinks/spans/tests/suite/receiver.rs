//! The receiver in Python, for the length of a test.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use serde_json::Value;

/// A running receiver; it ends when it is dropped.
pub struct Receiver {
    child: Child,
    pub port: u16,
    control: u16,
}

impl Receiver {
    /// `None`, said loudly, where Python's packages cannot be had; with CI=true that is a failure.
    pub fn start(options: &[&str]) -> Option<Self> {
        let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
        let tools = Command::new("bash").arg(folder.join("../../scripts/python-tools.sh")).output();
        let tools = tools.expect("bash runs the script");
        if !tools.status.success() {
            let why = String::from_utf8_lossy(&tools.stderr);
            assert!(std::env::var("CI").as_deref() != Ok("true"), "no receiver for this test: {why}");
            eprintln!("SKIPPED: no receiver for this test; run scripts/python-tools.sh: {why}");
            return None;
        }
        let python = String::from_utf8(tools.stdout).expect("a path");
        let mut command = Command::new(Path::new(python.trim()));
        command.arg(folder.join("tests/receiver.py")).args(options);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("python starts");
        let mut ports = String::new();
        BufReader::new(child.stdout.take().expect("its output")).read_line(&mut ports).expect("it says its ports");
        let mut ports = ports.split_whitespace().map(|port| port.parse().expect("a port"));
        let (port, control) = (ports.next().expect("a port"), ports.next().expect("another"));
        Some(Self { child, port, control })
    }

    pub fn endpoint(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// How to answer from now on.
    pub fn rules(&self, rules: Value) {
        ureq::put(format!("http://127.0.0.1:{}/rules", self.control)).send_json(rules).expect("it listens");
    }

    pub fn spans(&self) -> Vec<Value> {
        self.read("spans")
    }

    pub fn requests(&self) -> Vec<Value> {
        self.read("requests")
    }

    fn read(&self, page: &str) -> Vec<Value> {
        let url = format!("http://127.0.0.1:{}/{page}", self.control);
        let mut answer = ureq::get(url).call().expect("it listens");
        answer.body_mut().with_config().limit(1 << 30).read_json().expect("JSON")
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
