//! Batches in folders: a collector's dead letters, a proxy's spool or quarantine. What lies there is not missing.

use std::path::{Path, PathBuf};

use anyhow::Context;
use tollgate_collector::letters;
use tollgate_record::runs::{Run, Runs};
use tollgate_record::{Batch, DecodeLimits, decode, extract};

use super::RunsBy;
use crate::journal;

/// Deepest folder below one that is looked into.
const DEPTH_MAX: usize = 4;

/// Numbers found in folders, by place.
#[derive(Debug, Default)]
pub struct Aside(Vec<(String, RunsBy)>);

impl Aside {
    /// What was found of one producer.
    pub fn of(&self, producer: &str) -> Vec<(String, Runs)> {
        self.0.iter().filter_map(|(place, by)| Some((place.clone(), by.get(producer)?.clone()))).collect()
    }
}

/// A collector's dead letters, by sink.
#[derive(Debug, Default)]
pub struct Letters {
    by_sink: Vec<(String, RunsBy)>,
    unreadable: usize,
    skipped: Vec<String>,
}

impl Letters {
    /// The numbers of a producer that a sink refused.
    pub fn of(&self, sink: &str, producer: &str) -> Runs {
        let found = self.by_sink.iter().find(|(name, _)| name == sink).and_then(|(_, by)| by.get(producer));
        found.cloned().unwrap_or_default()
    }

    /// What a reader should know of them.
    pub fn notes(&self) -> Vec<String> {
        let mut notes = Vec::new();
        for (sink, by) in &self.by_sink {
            let rows: u64 = by.values().map(Runs::count).sum();
            notes.push(format!(
                "{rows} numbers are in the dead letters of the {sink} sink: `tollgate dlq ls` tells why"
            ));
        }
        if self.unreadable > 0 {
            notes.push(format!(
                "{} dead letters cannot be decoded, and which numbers they hold is unknown",
                self.unreadable
            ));
        }
        notes.extend(self.skipped.iter().cloned());
        notes
    }
}

/// Reads the dead letters beside a journal.
pub fn dead_letters(journal: Option<&Path>) -> anyhow::Result<Letters> {
    let mut found = Letters::default();
    let Some(journal) = journal else { return Ok(found) };
    journal::journal(journal).context("--journal")?;
    let reading = || format!("--journal: reading the dead letters in {}", journal.display());
    for letter in letters::list(journal).with_context(reading)? {
        let payload = std::fs::read(&letter.payload).with_context(reading)?;
        let Ok(batch) = decode(&payload, &limits()) else {
            found.unreadable += 1;
            continue;
        };
        let at = match found.by_sink.iter().position(|(sink, _)| *sink == letter.sink) {
            Some(at) => at,
            None => {
                found.by_sink.push((letter.sink.clone(), RunsBy::new()));
                found.by_sink.len() - 1
            }
        };
        add(&mut found.by_sink[at].1, &batch);
    }
    for skipped in letters::skipped(journal).with_context(reading)? {
        found.skipped.push(format!(
            "the {} sink passed over positions {}..{} ({} records): {}",
            skipped.sink, skipped.from, skipped.to, skipped.rows, skipped.reason
        ));
    }
    Ok(found)
}

/// What the table lacks and these folders have; the table sink's own dead letters among them.
pub fn folders(folders: &[PathBuf], letters: &Letters) -> anyhow::Result<Aside> {
    let mut aside = Aside::default();
    if let Some((_, by)) = letters.by_sink.iter().find(|(sink, _)| sink == "table") {
        aside.0.push(("dead letters of the table sink".to_owned(), by.clone()));
    }
    for folder in folders {
        let mut by = RunsBy::new();
        walk(folder, DEPTH_MAX, &mut by).with_context(|| {
            format!(
                "--set-aside: {} cannot be read; give the folder of `records.spool.dir` or `records.quarantine_dir`",
                folder.display()
            )
        })?;
        aside.0.push((folder.display().to_string(), by));
    }
    Ok(aside)
}

fn walk(folder: &Path, depth: usize, by: &mut RunsBy) -> std::io::Result<()> {
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        let kind = entry.file_type()?;
        if kind.is_dir() && depth > 0 {
            walk(&entry.path(), depth - 1, by)?;
        } else if kind.is_file()
            && entry.metadata().is_ok_and(|metadata| metadata.len() <= limits().compressed_bytes_max as u64)
        {
            // A live proxy empties its spool while we look; and other files may lie there.
            let Ok(bytes) = std::fs::read(entry.path()) else { continue };
            if let Ok(batch) = decode(&bytes, &limits()) {
                add(by, &batch);
            }
        }
    }
    Ok(())
}

fn limits() -> DecodeLimits {
    DecodeLimits::default()
}

fn add(by: &mut RunsBy, batch: &Batch) {
    let rows = &batch.records;
    let run_of = |row: usize| {
        let first = number(rows, "seq", row)?;
        let more = number(rows, "gap_count", row).unwrap_or(1).max(1) - 1;
        Some(Run { first, last: first.saturating_add(more) })
    };
    let runs: Runs = (0..rows.num_rows()).filter_map(run_of).collect();
    let known = by.entry(batch.meta.producer.clone()).or_default();
    *known = known.union(&runs);
}

fn number(rows: &arrow::array::RecordBatch, name: &str, row: usize) -> Option<i64> {
    extract::i64_at(rows, tollgate_record::columns::index_of(name)?, row)
}
