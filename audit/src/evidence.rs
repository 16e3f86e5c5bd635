//! What an audit rests on, read in the order that keeps it honest.

use std::path::{Path, PathBuf};

use crate::answer::{Cost, Table};
use crate::ask::observe;
use crate::contents::{self, Contents};
use crate::dead_letters::DeadLetters;
use crate::error::AuditError;
use crate::kafka::{Topic, TopicContents};
use crate::observed::{ByProducer, Observed};
use crate::range::Range;
use crate::scope::Scope;
use crate::set_aside::SetAsideFolders;
use crate::status::{Status, StatusPage};
use crate::verdict::Terms;

/// The sink whose dead letters the table lacks.
const TABLE_SINK: &str = "table";
/// The sink whose topic is held against the table.
const KAFKA_SINK: &str = "kafka";

/// What is to be audited.
#[derive(Debug, Clone)]
pub struct Request {
    /// Which time.
    pub range: Range,
    /// Whose numbers.
    pub scope: Scope,
}

/// Everything that an audit reads.
pub struct Sources<'a> {
    /// The table of records.
    pub table: &'a dyn Table,
    /// The collector's state.
    pub status: &'a dyn StatusPage,
    /// The Kafka topic, if it is held against the table.
    pub topic: Option<&'a dyn Topic>,
    /// The collector's journal folder, if its dead letters are read.
    pub journal: Option<&'a Path>,
    /// Folders of batches that are not missing: a proxy's spool or quarantine.
    pub set_aside: &'a [PathBuf],
}

/// Everything that was read.
#[derive(Debug, Default)]
pub struct Evidence {
    /// What was observed of each producer.
    pub observed: ByProducer<Observed>,
    /// The table, before anything was read from it.
    pub contents: Contents,
    /// What the collector said of itself.
    pub status: Status,
    /// What its sinks refused.
    pub letters: DeadLetters,
    /// What lies in folders.
    pub aside: SetAsideFolders,
    /// What Kafka has, if that was asked for.
    pub topic: Option<TopicContents>,
    /// What reading the table cost.
    pub cost: Cost,
}

/// Reads the table, then the folders, then Kafka. A batch that was not in the table yet when the table was read may be refused and
/// set aside meanwhile; read the other way round, it would be found in neither.
pub(crate) fn gather(request: &Request, sources: &Sources<'_>) -> Result<Evidence, AuditError> {
    let Request { range, scope } = request;
    let status = Status::read(sources.status)?;
    let contents = contents::contents(sources.table)?;
    let (observed, cost) = observe(sources.table, range, scope, &contents)?;
    let letters = sources.journal.map(DeadLetters::read).transpose()?.unwrap_or_default();
    let aside = SetAsideFolders::read(sources.set_aside, letters.of_sink(TABLE_SINK))?;
    let mut evidence = Evidence { observed, contents, status, letters, aside, topic: None, cost };
    evidence.check_scope(scope)?;
    if let Some(topic) = sources.topic {
        let is_behind = evidence.status.wait_for(sources.status, KAFKA_SINK)?;
        evidence.topic = Some(TopicContents::read(topic, range, &evidence.terms(range), is_behind)?);
    }
    Ok(evidence)
}

impl Evidence {
    /// What verdicts on this range depend on.
    pub(crate) fn terms(&self, range: &Range) -> Terms {
        let kept_from_us = self.contents.kept_from_us(range.now_us);
        let complete_from_us = range.since_us.map_or(kept_from_us, |since| since.max(kept_from_us));
        Terms { complete_from_us, settled_before_us: range.settled_before_us }
    }

    /// Whether there is anything to judge of the producer that was asked for.
    pub(crate) fn check_scope(&self, scope: &Scope) -> Result<(), AuditError> {
        let has_any = || self.observed.iter().any(|(name, seen)| scope.reports(name) && seen.last.is_some());
        match scope.name() {
            Some(name) if !has_any() => Err(AuditError::NoSuchProducer(name.to_owned())),
            _ => Ok(()),
        }
    }
}
