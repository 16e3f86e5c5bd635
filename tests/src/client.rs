//! Real clients: curl, psql, kcat, the readers in Python.

use std::collections::BTreeMap;
use std::process::Command;

use anyhow::{Context, bail};
use serde_json::Value;

use crate::process::{run, run_any, script};

/// The answer that curl received.
#[derive(Debug)]
pub struct Got {
    /// Status of the answer; 0 when there was none.
    pub status: u16,
    /// Header fields of the answer, names in lower case.
    pub headers: BTreeMap<String, String>,
    /// Body of the answer.
    pub body: Vec<u8>,
    /// curl's exit code: 0 = fine, 28 = timed out, 35 = TLS failed, 52 = empty answer, 56 = receive failed.
    pub exit: i32,
}

impl Got {
    /// The request id that the proxy gave.
    ///
    /// # Errors
    /// When the answer carries none.
    pub fn request_id(&self) -> anyhow::Result<String> {
        self.headers.get("x-request-id").cloned().with_context(|| format!("no X-Request-Id in {self:?}"))
    }
}

/// Runs curl with `args`; the answer's head is read from a file, the body from standard output.
///
/// # Errors
/// When curl cannot be run.
pub fn curl(args: &[&str]) -> anyhow::Result<Got> {
    let head = tempfile::NamedTempFile::new()?;
    let output = run_any(
        Command::new("curl")
            .args(["--silent", "--noproxy", "*", "--max-time", "60", "--dump-header"])
            .arg(head.path())
            .args(args),
    )?;
    let text = std::fs::read_to_string(head.path()).unwrap_or_default();
    // Interim answers (100 Continue) come first; the last head counts.
    let last = text.split("\r\n\r\n").filter(|head| head.starts_with("HTTP/")).last().unwrap_or_default();
    let mut lines = last.lines();
    let status = lines.next().and_then(|line| line.split(' ').nth(1)).and_then(|code| code.parse().ok()).unwrap_or(0);
    let headers = lines
        .filter_map(|line| line.split_once(':'))
        .map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()))
        .collect();
    Ok(Got { status, headers, body: output.stdout, exit: output.status.code().unwrap_or(-1) })
}

/// Runs one statement through psql and answers its rows, columns separated by `|`.
///
/// # Errors
/// When psql fails; the message carries what it printed.
pub fn psql(port: u16, statement: &str) -> anyhow::Result<Vec<String>> {
    let output = run(Command::new("psql")
        .args(["--no-psqlrc", "--quiet", "--no-align", "--tuples-only", "--field-separator", "|"])
        .args(["--set", "ON_ERROR_STOP=1", "--command", statement])
        .arg(format!("host=127.0.0.1 port={port} user=reader dbname=tollgate sslmode=disable connect_timeout=10")))?;
    Ok(String::from_utf8(output.stdout)?.lines().map(str::to_owned).collect())
}

/// Every message of a topic, read by kcat from the beginning to the end.
///
/// # Errors
/// When kcat fails or a message is not JSON.
pub fn kafka_messages(port: u16, topic: &str) -> anyhow::Result<Vec<Value>> {
    let output = run(Command::new("kcat")
        .args(["-C", "-e", "-q", "-o", "beginning", "-t", topic, "-b"])
        .arg(format!("127.0.0.1:{port}")))?;
    String::from_utf8(output.stdout)?
        .lines()
        .map(|line| serde_json::from_str(line).with_context(|| format!("not JSON: {line}")))
        .collect()
}

/// Runs a Python program with the independent readers installed, and answers the JSON that it prints.
///
/// # Errors
/// When it fails.
pub fn python(program: &str, args: &[&str]) -> anyhow::Result<Value> {
    let interpreter = script("python-tools.sh", &[])?;
    let output = run(Command::new(interpreter).args(["-c", program]).args(args))?;
    Ok(serde_json::from_slice(&output.stdout)?)
}

/// The result of an instant query to a real Prometheus: its series, as (labels, value).
///
/// # Errors
/// When Prometheus does not answer or refuses.
pub fn promql(port: u16, query: &str) -> anyhow::Result<Vec<(BTreeMap<String, String>, f64)>> {
    let url = format!("http://127.0.0.1:{port}/api/v1/query");
    let got = curl(&["--get", "--data-urlencode", &format!("query={query}"), &url])?;
    let answer: Value = serde_json::from_slice(&got.body)?;
    if answer["status"] != "success" {
        bail!("{query}: {answer}");
    }
    let series = answer["data"]["result"].as_array().context("the answer has no result")?;
    series
        .iter()
        .map(|series| {
            let labels = series["metric"].as_object().context("a series without labels")?;
            let labels = labels.iter().map(|(k, v)| (k.clone(), v.as_str().unwrap_or_default().to_owned())).collect();
            let value = series["value"][1].as_str().context("a series without value")?.parse()?;
            Ok((labels, value))
        })
        .collect()
}
