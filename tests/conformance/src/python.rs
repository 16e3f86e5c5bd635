//! Servers and clients in Python with the proxy between them.

use std::io::{BufRead, BufReader, Write};
use std::net::SocketAddr;
use std::process::{Child, ChildStdout, Command, Stdio};

use anyhow::Context;
use serde_json::Value;

use crate::case::folder;
use crate::tool;

/// A program of `python/`: it says where its server listens, is told where the proxy is, and says what its clients saw.
#[derive(Debug)]
pub struct Peers {
    /// Where its server listens.
    pub server: SocketAddr,
    child: Child,
    said: BufReader<ChildStdout>,
}

impl Peers {
    /// Starts `python/NAME` and waits for its server; `None` where Python's packages cannot be had, see [`tool::installed_by`].
    ///
    /// # Errors
    /// When it does not start.
    pub fn start(name: &str) -> anyhow::Result<Option<Self>> {
        let Some(python) = tool::installed_by("python-tools.sh") else { return Ok(None) };
        let mut command = Command::new(python);
        command.arg(folder("python").join(name)).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn()?;
        let mut said = BufReader::new(child.stdout.take().context("no output")?);
        let mut line = String::new();
        said.read_line(&mut line)?;
        let port: u16 = line.trim().parse().with_context(|| format!("{name} said `{line}` instead of a port"))?;
        Ok(Some(Self { server: SocketAddr::from(([127, 0, 0, 1], port)), child, said }))
    }

    /// Tells it the proxy's addresses, and waits for what its clients saw.
    ///
    /// # Errors
    /// When it ends with an error or says no JSON.
    pub fn run(mut self, addresses: &[String]) -> anyhow::Result<Value> {
        let mut told = self.child.stdin.take().context("no input")?;
        writeln!(told, "{}", addresses.join(" "))?;
        let mut line = String::new();
        self.said.read_line(&mut line)?;
        let status = self.child.wait()?;
        anyhow::ensure!(status.success(), "it ended with {status}");
        serde_json::from_str(&line).with_context(|| format!("it said `{line}`"))
    }
}

impl Drop for Peers {
    fn drop(&mut self) {
        let _ended_already = self.child.kill();
        let _ended_already = self.child.wait();
    }
}
