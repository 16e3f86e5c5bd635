//! From the evidence to the report: the verdicts on all producers, their sums, and notes.

use serde::Serialize;
use tollgate_record::id::ProducerName;

use crate::answer::Cost;
use crate::error::AuditError;
use crate::evidence::{Evidence, Request};
use crate::kafka::{KafkaCost, TopicContents, not_in_table};
use crate::observed::{ByProducer, Observed};
use crate::range::Range;
use crate::scope::Scope;
use crate::time::time_text;
use crate::verdict::{CountedRuns, State, Verdict, verdict};

/// What an audit found. Its JSON form is public.
#[derive(Debug, Serialize)]
pub struct Report {
    /// Which time was audited.
    pub range: Range,
    /// Whether every number is accounted for, once.
    pub whole: bool,
    /// Sums over all producers.
    pub totals: Totals,
    /// The verdicts; producers with something missing or doubled come first.
    pub producers: Vec<Verdict>,
    /// What limits the verdicts, one sentence each.
    pub notes: Vec<String>,
    /// What reading the table cost.
    pub read: Cost,
    /// What was consumed of Kafka, if that was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kafka: Option<KafkaCost>,
}

/// Sums over all producers.
#[derive(Debug, Default, Serialize)]
pub struct Totals {
    /// Producers.
    pub producers: usize,
    /// Numbers from the first to the highest of each.
    pub issued: u64,
    /// Numbers that have a record.
    pub in_table: u64,
    /// Numbers that gaps declare as shed.
    pub shed: u64,
    /// Numbers too young to be called missing.
    pub open: u64,
    /// Numbers in folders.
    pub set_aside: u64,
    /// Numbers that nothing accounts for.
    pub missing: u64,
    /// Numbers with more than one row.
    pub doubled: u64,
    /// Rows of the table that Kafka lacks for good.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kafka_missing: Option<u64>,
    /// Rows of the table that Kafka does not have yet.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kafka_pending: Option<u64>,
    /// Records that Kafka has and the table has not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub only_in_kafka: Option<u64>,
}

/// Judges the evidence. Reads nothing.
///
/// # Errors
/// The producer that was asked for has no record, or rows that were received are hidden from every answer.
pub fn judge(request: &Request, evidence: &Evidence) -> Result<Report, AuditError> {
    let Request { range, scope } = request;
    evidence.check_scope(scope)?;
    let mut producers = verdicts(range, scope, evidence);
    let only_in_kafka = evidence.topic.as_ref().map(|topic| only_in_kafka(topic, scope, evidence, &producers));
    let totals = totals(&producers, only_in_kafka.as_ref());
    let lost_to_table = totals.only_in_kafka.unwrap_or(0);
    let evicted = evidence.contents.hot_evicted;
    if evicted > 0 && (totals.missing > 0 || lost_to_table > 0) {
        return Err(AuditError::RowsEvicted { missing: totals.missing.max(lost_to_table), evicted });
    }
    let notes = notes(range, evidence, &producers, only_in_kafka.as_ref());
    producers.sort_by_key(|verdict| (verdict.is_whole(), verdict.producer.clone()));
    Ok(Report {
        range: *range,
        whole: producers.iter().all(Verdict::is_whole) && lost_to_table == 0,
        totals,
        producers,
        notes,
        read: evidence.cost.clone(),
        kafka: evidence.topic.as_ref().map(|topic| topic.cost(only_in_kafka.unwrap_or_default())),
    })
}

fn verdicts(range: &Range, scope: &Scope, evidence: &Evidence) -> Vec<Verdict> {
    let terms = evidence.terms(range);
    let starts = newest_starts(evidence.observed.keys());
    let mut verdicts = Vec::new();
    for (name, observed) in evidence.observed.iter().filter(|(name, _)| scope.reports(name)) {
        let later = ProducerName::parse(name).ok().and_then(|name| starts.get(&name.node_id).copied());
        let aside = evidence.aside.of(name);
        let Some(mut verdict) = verdict(name, observed, &terms, later, &aside) else { continue };
        if let Some(topic) = &evidence.topic {
            let letters = evidence.letters.of("kafka", name);
            verdict.kafka = Some(topic.verdict(&verdict, observed, &letters, &aside));
        }
        verdicts.push(verdict);
    }
    verdicts
}

/// The newest start of each node.
fn newest_starts<'n>(names: impl Iterator<Item = &'n String>) -> ByProducer<i64> {
    let mut starts = ByProducer::new();
    for name in names.filter_map(|name| ProducerName::parse(name).ok()) {
        let newest = starts.entry(name.node_id).or_insert(name.start_us);
        *newest = name.start_us.max(*newest);
    }
    starts
}

/// Producers of which the table has nothing in the range, though Kafka does.
fn only_in_kafka(
    topic: &TopicContents,
    scope: &Scope,
    evidence: &Evidence,
    verdicts: &[Verdict],
) -> ByProducer<CountedRuns> {
    let is_asked = |name: &str| scope.includes(name) && verdicts.iter().all(|verdict| verdict.producer != name);
    let nothing = Observed::default();
    let mut found = ByProducer::new();
    for (name, due) in topic.without_verdict(is_asked) {
        let observed = evidence.observed.get(name).unwrap_or(&nothing);
        let absent = not_in_table(observed, &due, &evidence.aside.of(name));
        if !absent.is_empty() {
            found.insert(name.clone(), CountedRuns::of(&absent));
        }
    }
    found
}

fn totals(producers: &[Verdict], only_in_kafka: Option<&ByProducer<CountedRuns>>) -> Totals {
    let mut totals = Totals { producers: producers.len(), ..Totals::default() };
    for verdict in producers {
        totals.issued += verdict.issued;
        totals.in_table += verdict.in_table;
        totals.shed += verdict.shed_total();
        totals.open += verdict.open.count;
        totals.set_aside += verdict.set_aside_total();
        totals.missing += verdict.missing.count;
        totals.doubled += verdict.doubled.count;
        if let Some(kafka) = &verdict.kafka {
            *totals.kafka_missing.get_or_insert(0) += kafka.missing.count;
            *totals.kafka_pending.get_or_insert(0) += kafka.pending.count;
            *totals.only_in_kafka.get_or_insert(0) += kafka.not_in_table.count;
        }
    }
    if let Some(only) = only_in_kafka {
        *totals.only_in_kafka.get_or_insert(0) += only.values().map(|numbers| numbers.count).sum::<u64>();
    }
    totals
}

fn notes(
    range: &Range,
    evidence: &Evidence,
    producers: &[Verdict],
    only_in_kafka: Option<&ByProducer<CountedRuns>>,
) -> Vec<String> {
    let mut notes = evidence.status.notes();
    if evidence.contents.hot_rows > 0 {
        notes.push(format!(
            "{} rows are in memory and in the journal; the table's next commit writes them to its files",
            evidence.contents.hot_rows
        ));
    }
    let ended = producers.iter().filter(|verdict| verdict.state != State::Live).count();
    if ended > 0 {
        notes.push(format!(
            "{ended} producers have ended or are silent: what one gave beyond its highest number and never sent cannot be known"
        ));
    }
    notes.extend(evidence.letters.notes());
    notes.extend(only_in_kafka.into_iter().flatten().map(|(name, numbers)| {
        format!(
            "{name} has {} records in Kafka and none in the table in that time: they are lost to the table",
            numbers.count
        )
    }));
    let kept_from_us = evidence.contents.kept_from_us(range.now_us);
    if let Some(since) = range.since_us.filter(|since| *since < kept_from_us) {
        notes.push(format!(
            "nothing before {} was audited, though {} was asked for: the table keeps no earlier day, or there was none",
            time_text(kept_from_us),
            time_text(since)
        ));
    }
    notes
}
