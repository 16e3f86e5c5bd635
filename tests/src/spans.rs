//! A receiver of spans of another make: `sinks/spans/tests/receiver.py`.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};

use anyhow::Context;
use serde_json::Value;

use crate::client::curl;
use crate::process::{project_root, script};

/// A running receiver; it is killed when dropped.
#[derive(Debug)]
pub struct SpanReceiver {
    child: Child,
    /// Where it takes spans.
    pub port: u16,
    control: u16,
}

impl SpanReceiver {
    /// Starts one on free ports.
    ///
    /// # Errors
    /// When Python or its packages are not there.
    pub fn start() -> anyhow::Result<Self> {
        let python = script("python-tools.sh", &[])?;
        let mut command = Command::new(python);
        command.arg(project_root().join("sinks/spans/tests/receiver.py"));
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().context("starting python")?;
        let mut line = String::new();
        BufReader::new(child.stdout.take().context("no output")?).read_line(&mut line)?;
        let (port, control) = line.trim().split_once(' ').with_context(|| format!("it says {line:?}"))?;
        Ok(Self { child, port: port.parse()?, control: control.parse()? })
    }

    /// The spans that it took, with ids in hexadecimal.
    ///
    /// # Errors
    /// When it does not answer.
    pub fn spans(&self) -> anyhow::Result<Vec<Value>> {
        let got = curl(&[&format!("http://127.0.0.1:{}/spans", self.control)])?;
        Ok(serde_json::from_slice(&got.body)?)
    }
}

impl Drop for SpanReceiver {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
