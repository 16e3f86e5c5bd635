//! Batches in folders: a proxy's spool or quarantine. What lies there is not missing.

use std::io;
use std::path::{Path, PathBuf};

use arrow::array::RecordBatch;
use tollgate_record::runs::{Run, Runs};
use tollgate_record::{Batch, DecodeLimits, columns, decode, extract};

use crate::error::AuditError;
use crate::observed::ByProducer;

/// Deepest folder below one that is looked into.
const DEPTH_MAX: usize = 4;

/// Numbers found in folders, by place.
#[derive(Debug, Default)]
pub struct SetAsideFolders(Vec<(String, ByProducer<Runs>)>);

impl SetAsideFolders {
    /// Reads what these folders hold. `refused` are the dead letters of the table sink: the table lacks those for good, too.
    ///
    /// # Errors
    /// A folder cannot be read.
    pub fn read(folders: &[PathBuf], refused: Option<&ByProducer<Runs>>) -> Result<Self, AuditError> {
        let mut found = Self::default();
        if let Some(by) = refused {
            found.add("dead letters of the table sink", by.clone());
        }
        for folder in folders {
            let mut by = ByProducer::new();
            walk(folder, DEPTH_MAX, &mut by)
                .map_err(|source| AuditError::SetAside { folder: folder.clone(), source })?;
            found.add(folder.display().to_string(), by);
        }
        Ok(found)
    }

    /// Adds what was found at a place.
    pub fn add(&mut self, place: impl Into<String>, numbers: ByProducer<Runs>) {
        self.0.push((place.into(), numbers));
    }

    /// What was found of one producer, by place.
    pub fn of(&self, producer: &str) -> Vec<(String, Runs)> {
        self.0.iter().filter_map(|(place, by)| Some((place.clone(), by.get(producer)?.clone()))).collect()
    }
}

fn walk(folder: &Path, depth: usize, by: &mut ByProducer<Runs>) -> io::Result<()> {
    let bytes_max = DecodeLimits::default().compressed_bytes_max as u64;
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        let kind = entry.file_type()?;
        if kind.is_dir() && depth > 0 {
            walk(&entry.path(), depth - 1, by)?;
        } else if kind.is_file() && entry.metadata().is_ok_and(|metadata| metadata.len() <= bytes_max) {
            // A live proxy empties its spool meanwhile; and other files may lie there.
            let Ok(bytes) = std::fs::read(entry.path()) else { continue };
            if let Ok(batch) = decode(&bytes, &DecodeLimits::default()) {
                add_numbers(by, &batch);
            }
        }
    }
    Ok(())
}

/// Adds the numbers that a batch's rows cover.
pub(crate) fn add_numbers(by: &mut ByProducer<Runs>, batch: &Batch) {
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

fn number(rows: &RecordBatch, name: &str, row: usize) -> Option<i64> {
    extract::i64_at(rows, columns::index_of(name)?, row)
}

#[cfg(test)]
mod tests {
    use tollgate_record::{BatchBuilder, BatchHeader, Record, SealLimits};

    use super::*;

    const NAME: &str = "edge-1/65f/0";

    fn batch(numbers: std::ops::RangeInclusive<i64>) -> Vec<u8> {
        let header = BatchHeader {
            producer: NAME.to_owned(),
            node_id: "edge-1".to_owned(),
            gateway_version: "0.1.0".to_owned(),
            environment: "test".to_owned(),
            zone: "here".to_owned(),
            redaction_policy: "default".to_owned(),
            hmac_key_id: "none".to_owned(),
        };
        let mut builder = BatchBuilder::new(header, SealLimits::default());
        for seq in numbers {
            builder.append(&Record { time_us: seq, seq, ..Record::default() });
        }
        builder.seal(1).expect("seals").bytes.to_vec()
    }

    #[test]
    fn batches_are_found_in_folders_below_and_other_files_are_passed_over() {
        let dir = tempfile::tempdir().expect("folder");
        let below = dir.path().join("worker-0");
        std::fs::create_dir(&below).expect("folder");
        std::fs::write(dir.path().join("1.arrows.zst"), batch(1..=3)).expect("written");
        std::fs::write(below.join("2.arrows.zst"), batch(7..=9)).expect("written");
        std::fs::write(below.join("README"), "not a batch").expect("written");
        let found = SetAsideFolders::read(&[dir.path().to_owned()], None).expect("reads");
        let [(place, numbers)] = found.of(NAME).try_into().expect("one place");
        assert_eq!((place, numbers.to_string()), (dir.path().display().to_string(), "1..3, 7..9".to_owned()));
        assert!(found.of("edge-2/65f/0").is_empty());
    }

    #[test]
    fn a_folder_that_is_not_there_is_an_error() {
        let error = SetAsideFolders::read(&["/no/such/folder".into()], None);
        assert!(error.expect_err("absent").to_string().starts_with("--set-aside: /no/such/folder cannot be read"));
    }
}
