//! The answer of a lookup.

use std::fmt;

use serde::Serialize;
use serde_json::{Map, Value};
use tollgate_record::redact::text::cleaned;

use super::absent::Absent;

/// Everything that is known by an id.
#[derive(Debug, Clone, Serialize)]
pub struct Story {
    /// The id, as it was understood.
    pub id: String,
    /// `request_id`, `trace_id` or `correlation_id`.
    pub id_kind: &'static str,
    /// The transactions that carry it, oldest first.
    pub matches: Vec<Match>,
    /// Whether there are more than are listed.
    pub more: bool,
    /// When no transaction carries it: what is known all the same.
    pub absent: Option<Absent>,
    /// What the reader must know about the answer.
    pub warnings: Vec<String>,
}

/// One transaction.
#[derive(Debug, Clone, Serialize)]
pub struct Match {
    /// Its request id.
    pub request_id: Option<String>,
    /// When its first byte arrived.
    pub time: String,
    /// The transaction in one line.
    pub summary: String,
    /// Who is to act, when something went wrong.
    pub to_act: Option<String>,
    /// The stages that it reached.
    pub stages: Vec<Stage>,
    /// The record's columns, without those that are null.
    pub record: Map<String, Value>,
}

/// One stage of a transaction.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Stage {
    /// Its name: received, routed, authenticated, …
    pub name: &'static str,
    /// How long it took, in microseconds, where it is timed.
    pub took_us: Option<i64>,
    /// What happened in it.
    pub text: String,
}

impl Story {
    /// Whether anything carries the id.
    pub fn found(&self) -> bool {
        !self.matches.is_empty()
    }
}

impl fmt::Display for Story {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = self.id_kind.replace('_', " ");
        match self.matches.len() {
            0 => writeln!(f, "{kind} {}: no record", self.id)?,
            1 => {}
            count => {
                writeln!(f, "{kind} {}: {count}{} transactions\n", self.id, if self.more { " or more" } else { "" })?
            }
        }
        if let Some(absent) = &self.absent {
            writeln!(f, "{absent}")?;
        }
        for one in &self.matches {
            writeln!(f, "{one}")?;
        }
        for warning in &self.warnings {
            writeln!(f, "warning: {warning}")?;
        }
        Ok(())
    }
}

/// A text of a record on one line: a row of another origin than our proxy may hold anything, and no value forges a line.
fn one_line(text: &str) -> String {
    cleaned(text, usize::MAX)
}

impl fmt::Display for Match {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}  {}", self.time, one_line(&self.summary))?;
        if let Some(id) = &self.request_id {
            writeln!(f, "  {:<14} {id}", "request id")?;
        }
        for stage in &self.stages {
            writeln!(f, "  {:<14} {}", stage.name, one_line(&stage.text))?;
        }
        if let Some(to_act) = &self.to_act {
            writeln!(f, "  {:<14} {to_act}", "to act")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_value_forges_a_line() {
        let text = "eve\n2026-01-01  GET /forged\u{1b}[2J\u{202e}".to_owned();
        let stages = vec![Stage { name: "authenticated", took_us: None, text: text.clone() }];
        let (time, request_id, to_act) = ("12:00".to_owned(), None, None);
        let shown = Match { request_id, time, summary: text, to_act, stages, record: Map::new() }.to_string();
        assert_eq!(shown.lines().count(), 2, "{shown}");
        assert!(!shown.contains(['\u{1b}', '\u{202e}']) && shown.contains("eve\\x0a2026"), "{shown}");
    }
}
