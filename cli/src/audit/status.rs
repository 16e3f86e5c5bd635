//! What the collector says of itself: which sinks are behind, what it refused, what is damaged.

use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use serde::Deserialize;

/// Where the collector's admin endpoint is unless told otherwise.
const ADDRESS: &str = "http://127.0.0.1:9902";
/// Longest wait for it.
const TIMEOUT: Duration = Duration::from_secs(5);
/// How long a sink is given to deliver what is in the journal.
const CATCH_UP_MAX: Duration = Duration::from_secs(10);
/// How often it is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(200);

/// The parts of `/status` that an audit is interested in.
#[derive(Debug, Default, Deserialize)]
pub struct Status {
    #[serde(default)]
    journal: Option<Journal>,
    #[serde(default)]
    sinks: Vec<Sink>,
    #[serde(default)]
    refused: Vec<serde_json::Value>,
    /// Why there is none.
    #[serde(skip)]
    unread: Option<String>,
}

#[derive(Debug, Deserialize)]
struct Journal {
    quarantined: u64,
    next_position: u64,
}

#[derive(Debug, Deserialize)]
struct Sink {
    name: String,
    next_position: u64,
    lag_frames: u64,
    lag_age_seconds: f64,
}

impl Status {
    /// Asks the collector at `address`. Without an address the usual one is tried, and its silence is a note.
    pub fn read(address: Option<&str>) -> anyhow::Result<Self> {
        let asked = address.unwrap_or(ADDRESS).trim_end_matches('/');
        match fetch(asked) {
            Ok(status) => Ok(status),
            Err(error) if address.is_some() => Err(error.context("--collector")),
            Err(_) => {
                let unread = format!(
                    "the collector's state was not read: nothing answers at {asked} (--collector names its admin address)"
                );
                Ok(Self { unread: Some(unread), ..Self::default() })
            }
        }
    }

    /// Waits until the sink has delivered all that the journal holds now, and so all rows that were read before; whether it
    /// is still behind then. Under traffic a sink is always some frames behind: that alone tells nothing.
    pub fn wait_for(&self, address: Option<&str>, sink: &str) -> anyhow::Result<bool> {
        if self.unread.is_some() {
            return Ok(false);
        }
        let asked = address.unwrap_or(ADDRESS).trim_end_matches('/');
        let first = fetch(asked)?;
        let goal = first.journal.as_ref().map_or(0, |journal| journal.next_position);
        let deadline = Instant::now() + CATCH_UP_MAX;
        let mut now = first;
        loop {
            let at = now.sinks.iter().find(|known| known.name == sink).map(|known| known.next_position);
            if at.is_none_or(|at| at >= goal) {
                return Ok(false);
            }
            if Instant::now() >= deadline {
                return Ok(true);
            }
            sleep(LOOK_EVERY);
            now = fetch(asked)?;
        }
    }

    /// What a reader should know of it.
    pub fn notes(&self) -> Vec<String> {
        let mut notes: Vec<String> = self.unread.iter().cloned().collect();
        if let Some(Journal { quarantined: runs @ 1.., .. }) = self.journal {
            notes.push(format!(
                "the journal set {runs} damaged runs of bytes aside: `tollgate journal verify` names the positions"
            ));
        }
        for sink in self.sinks.iter().filter(|sink| sink.lag_frames > 0 && sink.name != "table") {
            notes.push(format!(
                "the {} sink is {} frames behind, {:.0} s: they are in the journal",
                sink.name, sink.lag_frames, sink.lag_age_seconds
            ));
        }
        if !self.refused.is_empty() {
            notes.push(format!(
                "the collector refused {} posts for good lately (/status tells which); their proxies set the batches aside",
                self.refused.len()
            ));
        }
        notes
    }
}

fn fetch(address: &str) -> anyhow::Result<Status> {
    let config = ureq::Agent::config_builder().timeout_global(Some(TIMEOUT)).http_status_as_error(false).build();
    let agent: ureq::Agent = config.into();
    let url = format!("{address}/status");
    let mut response = agent
        .get(&url)
        .call()
        .with_context(|| format!("{url} does not answer: is this the admin address of a running collector?"))?;
    ensure!(
        response.status().is_success(),
        "{url} answers {}: is this the admin address of a collector?",
        response.status()
    );
    response.body_mut().read_json().with_context(|| format!("{url} answers something else than a collector's state"))
}
