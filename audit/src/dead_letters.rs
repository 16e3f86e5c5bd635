//! A collector's dead letters: what its sinks refused for good.

use std::path::Path;

use tollgate_collector::dlq;
use tollgate_record::runs::Runs;
use tollgate_record::{DecodeLimits, decode};

use crate::error::AuditError;
use crate::observed::ByProducer;
use crate::set_aside::add_numbers;

/// Numbers in dead letters, by sink.
#[derive(Debug, Default)]
pub struct DeadLetters {
    by_sink: ByProducer<ByProducer<Runs>>,
    undecodable: usize,
    skipped: Vec<String>,
}

impl DeadLetters {
    /// Reads the dead letters beside a journal.
    ///
    /// # Errors
    /// There is no journal in the folder, or its dead letters cannot be read.
    pub fn read(journal: &Path) -> Result<Self, AuditError> {
        let unreadable = |source| AuditError::DeadLetters { folder: journal.to_owned(), source };
        tollgate_collector::journal_folder(journal).map_err(AuditError::NoJournal)?;
        let mut found = Self::default();
        for letter in dlq::list(journal).map_err(unreadable)? {
            let payload = std::fs::read(&letter.payload).map_err(unreadable)?;
            match decode(&payload, &DecodeLimits::default()) {
                Ok(batch) => add_numbers(found.by_sink.entry(letter.sink).or_default(), &batch),
                Err(_) => found.undecodable += 1,
            }
        }
        for skipped in dlq::skipped(journal).map_err(unreadable)? {
            found.skipped.push(format!(
                "the {} sink passed over positions {}..{} ({} records): {}",
                skipped.sink, skipped.from, skipped.to, skipped.rows, skipped.reason
            ));
        }
        Ok(found)
    }

    /// Adds numbers of a producer that a sink refused.
    pub fn add(&mut self, sink: &str, producer: &str, numbers: &Runs) {
        let known = self.by_sink.entry(sink.to_owned()).or_default().entry(producer.to_owned()).or_default();
        *known = known.union(numbers);
    }

    /// The numbers that a sink refused.
    pub(crate) fn of_sink(&self, sink: &str) -> Option<&ByProducer<Runs>> {
        self.by_sink.get(sink)
    }

    /// The numbers of a producer that a sink refused.
    pub(crate) fn of(&self, sink: &str, producer: &str) -> Runs {
        self.of_sink(sink).and_then(|by| by.get(producer)).cloned().unwrap_or_default()
    }

    /// What they mean for the verdicts, one sentence each.
    pub(crate) fn notes(&self) -> Vec<String> {
        let mut notes = Vec::new();
        for (sink, by) in &self.by_sink {
            let rows: u64 = by.values().map(Runs::count).sum();
            notes.push(format!(
                "{rows} numbers are in the dead letters of the {sink} sink: `tollgate dlq ls` tells why"
            ));
        }
        if self.undecodable > 0 {
            notes.push(format!(
                "{} dead letters cannot be decoded, and which numbers they hold is unknown",
                self.undecodable
            ));
        }
        notes.extend(self.skipped.iter().cloned());
        notes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_without_a_journal_is_most_often_a_wrong_path() {
        let dir = tempfile::tempdir().expect("folder");
        assert!(matches!(DeadLetters::read(dir.path()), Err(AuditError::NoJournal(_))));
    }

    #[test]
    fn a_letter_that_cannot_be_decoded_is_noted() {
        let dir = tempfile::tempdir().expect("folder");
        std::fs::write(dir.path().join("00000000000000000000.seg"), "").expect("segment");
        let kafka = dir.path().join("dlq/kafka");
        std::fs::create_dir_all(&kafka).expect("folder");
        std::fs::write(kafka.join("00000000000000000007.arrows.zst"), "no batch").expect("letter");
        let skipped = r#"{"from":3,"to":5,"frames":2,"rows":90,"at_us":1,"reason":"the journal was nearly full"}"#;
        std::fs::write(kafka.join("skipped.jsonl"), format!("{skipped}\n")).expect("skipped");
        assert_eq!(
            DeadLetters::read(dir.path()).expect("reads").notes(),
            [
                "1 dead letters cannot be decoded, and which numbers they hold is unknown",
                "the kafka sink passed over positions 3..5 (90 records): the journal was nearly full"
            ]
        );
    }
}
