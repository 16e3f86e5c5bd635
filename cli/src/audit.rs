//! `tollgate audit`: is every number that a producer gave accounted for, once?
//!
//! ```text
//!   HTTP door ── seq_account, a day at a time ──▶ what was seen of each producer ─┐
//!   collector's /status ── what is behind, refused or damaged ────────────────────┤
//!   Kafka ── headers of a range of messages ──────────────────────────────────────┼──▶ verdict ──▶ table, JSON, CSV
//!   folders ── dead letters, spools, quarantines ─────────────────────────────────┘
//! ```
//! From (producer, seq) alone. docs/audit.md says what that can prove and what it cannot.

mod aside;
mod ask;
mod before;
mod kafka;
mod range;
mod render;
mod status;
mod verdict;

use std::collections::BTreeMap;
use std::process::ExitCode;

use serde::Serialize;
use tollgate_record::id::ProducerName;
use tollgate_record::runs::Runs;

use crate::USAGE;
use crate::args::AuditArgs;
use crate::audit::ask::Read;
use crate::audit::range::Range;
use crate::audit::status::Status;
use crate::audit::verdict::{Seen, Terms, Verdict, verdict};
use crate::door::Door;
use crate::lines::time_text;

/// Exit status when something is missing or doubled.
const NOT_WHOLE: u8 = 1;

/// Everything that is told.
#[derive(Debug, Serialize)]
struct Report {
    /// What was audited.
    range: Range,
    /// Whether all is accounted for.
    whole: bool,
    totals: Totals,
    producers: Vec<Verdict>,
    /// What a reader should know besides.
    notes: Vec<String>,
    /// What the reading cost.
    read: ask::Cost,
    /// What was consumed of Kafka, if that was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    kafka: Option<kafka::Cost>,
}

/// Sums over all producers.
#[derive(Debug, Default, Serialize)]
struct Totals {
    producers: usize,
    issued: u64,
    in_table: u64,
    shed: u64,
    open: u64,
    set_aside: u64,
    missing: u64,
    doubled: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    kafka_missing: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    kafka_pending: Option<u64>,
    /// Records that Kafka has and the table has not.
    #[serde(skip_serializing_if = "Option::is_none")]
    only_in_kafka: Option<u64>,
}

/// Runs the command.
pub fn main(args: &AuditArgs) -> anyhow::Result<ExitCode> {
    let report = match audit(args) {
        Ok(report) => report,
        Err(error) => {
            eprintln!("tollgate: {error:#}");
            return Ok(ExitCode::from(USAGE));
        }
    };
    render::print(&report, args)?;
    Ok(if report.whole { ExitCode::SUCCESS } else { ExitCode::from(NOT_WHOLE) })
}

fn audit(args: &AuditArgs) -> anyhow::Result<Report> {
    let range = Range::parse(args)?;
    let who = ask::Who::parse(args.producer.as_deref())?;
    let door = Door::new(&args.door);
    let status = Status::read(args.collector.as_deref())?;
    let Read { seen, contents, cost } = ask::read(&door, &range, &who)?;
    let kept_from_us = ask::kept_from_us(&contents, range.now_us);
    let complete_from_us = range.since_us.map_or(kept_from_us, |since| since.max(kept_from_us));
    let terms = Terms { complete_from_us, settled_before_us: range.settled_before_us };
    let letters = aside::dead_letters(args.journal.as_deref())?;
    let aside = aside::folders(&args.set_aside, &letters)?;
    let starts = newest_starts(seen.keys());
    let mut producers = Vec::new();
    for (name, seen) in seen.iter().filter(|(name, _)| who.is_asked(name)) {
        let later = ProducerName::parse(name).ok().and_then(|name| starts.get(&name.node_id).copied());
        producers.extend(verdict(name, seen, &terms, later, &aside.of(name)));
    }
    if let Some(who) = args.producer.as_ref().filter(|_| producers.is_empty()) {
        // A misspelt name is most often the reason, and must not be told as a proof.
        anyhow::bail!(
            "--producer: `{who}` has no record in that time; `tollgate audit` without it names all that have"
        );
    }
    let kafka = match &args.kafka {
        Some(kafka) => {
            let is_behind = status.wait_for(args.collector.as_deref(), "kafka")?;
            let against = kafka::Against {
                range: &range,
                terms: &terms,
                who: &who,
                is_behind,
                letters: &letters,
                aside: &aside,
                seen: &seen,
            };
            Some(kafka::hold_against(kafka, args, &against, &mut producers)?)
        }
        None => None,
    };
    let mut notes = status.notes();
    notes.extend(notes_on(&contents, &producers, &letters));
    let mut totals = totals(&producers);
    if let Some(kafka) = &kafka {
        let only: u64 = kafka.only_in_kafka.values().map(|numbers| numbers.count).sum();
        *totals.only_in_kafka.get_or_insert(0) += only;
        notes.extend(kafka.only_in_kafka.iter().map(|(name, numbers)| {
            format!(
                "{name} has {} records in Kafka and none in the table in that time: they are lost to the table",
                numbers.count
            )
        }));
    }
    if let Some(since) = range.since_us.filter(|since| *since < kept_from_us) {
        notes.push(format!(
            "nothing before {} was audited, though {} was asked for: the table keeps no earlier day, or there was none",
            time_text(kept_from_us),
            time_text(since)
        ));
    }
    let evicted = contents.hot_evicted;
    anyhow::ensure!(
        evicted == 0 || totals.missing == 0 && totals.only_in_kafka.unwrap_or(0) == 0,
        "{} numbers are in no row, but {evicted} received rows wait in the journal and are in no answer: audit again after \
         the table's next commit (sinks.table.commit_every), or raise sinks.table.hot_bytes_max",
        totals.missing.max(totals.only_in_kafka.unwrap_or(0))
    );
    producers.sort_by_key(|told| (told.is_whole(), told.producer.clone()));
    let whole = producers.iter().all(Verdict::is_whole) && totals.only_in_kafka.unwrap_or(0) == 0;
    Ok(Report { range, whole, totals, producers, notes, read: cost, kafka })
}

/// The newest start of each node.
fn newest_starts<'n>(names: impl Iterator<Item = &'n String>) -> BTreeMap<String, i64> {
    let mut starts = BTreeMap::new();
    for name in names.filter_map(|name| ProducerName::parse(name).ok()) {
        let newest = starts.entry(name.node_id).or_insert(name.start_us);
        *newest = name.start_us.max(*newest);
    }
    starts
}

fn totals(producers: &[Verdict]) -> Totals {
    let mut totals = Totals { producers: producers.len(), ..Totals::default() };
    for told in producers {
        totals.issued += told.issued;
        totals.in_table += told.in_table;
        totals.shed += told.shed_total();
        totals.open += told.open.count;
        totals.set_aside += told.set_aside.iter().map(|aside| aside.numbers.count).sum::<u64>();
        totals.missing += told.missing.count;
        totals.doubled += told.doubled.count;
        if let Some(kafka) = &told.kafka {
            *totals.kafka_missing.get_or_insert(0) += kafka.missing.count;
            *totals.kafka_pending.get_or_insert(0) += kafka.pending.count;
            *totals.only_in_kafka.get_or_insert(0) += kafka.not_in_table.count;
        }
    }
    totals
}

fn notes_on(contents: &tollgate_queries::Contents, producers: &[Verdict], letters: &aside::Letters) -> Vec<String> {
    let mut notes = Vec::new();
    if contents.hot_rows > 0 {
        notes.push(format!(
            "{} rows are in memory and in the journal; the table's next commit writes them to its files",
            contents.hot_rows
        ));
    }
    let ended = producers.iter().filter(|told| told.state != verdict::State::Live).count();
    if ended > 0 {
        notes.push(format!(
            "{ended} producers have ended or are silent: what one gave beyond its highest number and never sent cannot be known"
        ));
    }
    notes.extend(letters.notes());
    notes
}

/// What was seen, by the producer's name.
type SeenBy = BTreeMap<String, Seen>;
/// Numbers, by the producer's name.
type RunsBy = BTreeMap<String, Runs>;
