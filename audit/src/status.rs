//! What the collector says of itself: which sinks are behind, what it refused, what is damaged.

use std::thread::sleep;
use std::time::{Duration, Instant};

use serde::Deserialize;

use crate::error::{AuditError, SourceError};

/// How long a sink is given to deliver what is in the journal.
const CATCH_UP_MAX: Duration = Duration::from_secs(10);
/// How often it is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(200);

/// The page on which the collector says how it is.
pub trait StatusPage {
    /// Where it is.
    fn address(&self) -> &str;

    /// Whether the address was named on the command line: then the audit fails without the page.
    fn is_required(&self) -> bool;

    /// Reads the page.
    ///
    /// # Errors
    /// Nothing answers there, or something else than a collector.
    fn read(&self) -> Result<Status, SourceError>;
}

/// The parts of `/status` that an audit needs.
#[derive(Debug, Default, Deserialize)]
pub struct Status {
    #[serde(default)]
    journal: Option<Journal>,
    #[serde(default)]
    sinks: Vec<Sink>,
    #[serde(default)]
    refused: Vec<serde_json::Value>,
    /// Why nothing is known, if so.
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
    /// Reads the page. The table may be audited where its collector does not run: unless the address was named, its silence
    /// is a note and no error.
    pub(crate) fn read(page: &dyn StatusPage) -> Result<Self, AuditError> {
        match page.read() {
            Ok(status) => Ok(status),
            Err(source) if page.is_required() => Err(AuditError::Unanswered { asked: "--collector", source }),
            Err(_) => {
                let unread = format!(
                    "the collector's state was not read: nothing answers at {} (--collector names its admin address)",
                    page.address()
                );
                Ok(Self { unread: Some(unread), ..Self::default() })
            }
        }
    }

    /// Waits until a sink has delivered everything that the journal holds now, and with it every row that was read before.
    /// Answers whether the sink is still behind then. Under traffic a sink is always some frames behind: its lag alone tells
    /// nothing.
    pub(crate) fn wait_for(&self, page: &dyn StatusPage, sink: &str) -> Result<bool, AuditError> {
        if self.unread.is_some() {
            return Ok(false);
        }
        let deadline = Instant::now() + CATCH_UP_MAX;
        let is_late = || Instant::now() >= deadline;
        caught_up(sink, || page.read(), is_late).map(|is_there| !is_there).map_err(AuditError::Source)
    }

    /// What it means for the verdicts, one sentence each.
    pub(crate) fn notes(&self) -> Vec<String> {
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

/// Reads the state until the sink is past what the journal held at first, or time is up. A sink that is not there is not behind.
fn caught_up(
    sink: &str,
    mut read: impl FnMut() -> Result<Status, SourceError>,
    is_late: impl Fn() -> bool,
) -> Result<bool, SourceError> {
    let mut now = read()?;
    let goal = now.journal.as_ref().map_or(0, |journal| journal.next_position);
    loop {
        let at = now.sinks.iter().find(|known| known.name == sink).map(|known| known.next_position);
        if at.is_none_or(|at| at >= goal) {
            return Ok(true);
        }
        if is_late() {
            return Ok(false);
        }
        sleep(LOOK_EVERY);
        now = read()?;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(journal: u64, kafka: u64) -> Status {
        serde_json::from_value(serde_json::json!({
            "stage": "serving",
            "journal": { "quarantined": 0, "next_position": journal },
            "sinks": [{ "name": "kafka", "next_position": kafka, "lag_frames": journal - kafka, "lag_age_seconds": 2.4 }],
        }))
        .expect("status")
    }

    struct Silent(bool);

    impl StatusPage for Silent {
        fn address(&self) -> &str {
            "http://127.0.0.1:9"
        }

        fn is_required(&self) -> bool {
            self.0
        }

        fn read(&self) -> Result<Status, SourceError> {
            Err("connection refused".into())
        }
    }

    #[test]
    fn a_collector_that_nobody_named_may_be_silent() {
        let status = Status::read(&Silent(false)).expect("a note");
        assert!(status.notes()[0].contains("nothing answers at http://127.0.0.1:9"), "{:?}", status.notes());
        assert!(!status.wait_for(&Silent(false), "kafka").expect("nothing is known to be behind"));
        assert_eq!(Status::read(&Silent(true)).expect_err("it was named").to_string(), "--collector");
    }

    #[test]
    fn a_sink_has_caught_up_once_it_is_past_what_the_journal_held_at_first() {
        // The journal goes on growing meanwhile: what came after the table was read does not count.
        let mut pages = vec![status(30, 20), status(20, 12), status(10, 8)];
        let is_there = caught_up("kafka", || Ok(pages.pop().expect("asked too often")), || false).expect("reads");
        assert!(is_there && pages.len() == 1);
        assert!(!caught_up("kafka", || Ok(status(10, 8)), || true).expect("reads"), "time is up");
        assert!(caught_up("spans", || Ok(status(10, 8)), || true).expect("reads"), "there is no such sink");
    }

    #[test]
    fn what_is_behind_refused_or_damaged_is_noted() {
        let mut told = status(10, 8);
        told.refused.push(serde_json::json!({}));
        told.journal = Some(Journal { quarantined: 2, next_position: 10 });
        let notes = told.notes();
        assert!(notes[0].contains("2 damaged runs"), "{notes:?}");
        assert!(notes[1].contains("kafka sink is 2 frames behind, 2 s"), "{notes:?}");
        assert!(notes[2].contains("refused 1 posts"), "{notes:?}");
        assert!(status(10, 10).notes().is_empty());
    }
}
