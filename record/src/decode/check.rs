//! The rows against what their batch says.

use arrow_array::RecordBatch;
use arrow_array::cast::AsArray;
use arrow_array::types::{Int32Type, Int64Type};

use super::DecodeError;
use crate::batch::BatchMeta;
use crate::columns::index_of;
use crate::extract;
use crate::vocabulary::Kind;

const NODE_ID: usize = index_of("node_id").unwrap();
const PRODUCER: usize = index_of("producer").unwrap();
const SEQ: usize = index_of("seq").unwrap();
const KIND: usize = index_of("kind").unwrap();
const GAP_COUNT: usize = index_of("gap_count").unwrap();

/// Checks that canonical `records` agree with `meta`.
pub(super) fn check(meta: &BatchMeta, records: &RecordBatch) -> Result<(), DecodeError> {
    if records.num_rows() == 0 {
        return Err(DecodeError::Inconsistent("it has no rows".to_owned()));
    }
    check_same(records, NODE_ID, &meta.node_id)?;
    check_same(records, PRODUCER, &meta.producer)?;
    check_seqs(meta, records)
}

/// Every row of a dictionary column must hold `text`.
fn check_same(records: &RecordBatch, column: usize, text: &str) -> Result<(), DecodeError> {
    let dictionary = records.column(column).as_dictionary::<Int32Type>();
    let same: Vec<bool> = dictionary.values().as_string::<i32>().iter().map(|value| value == Some(text)).collect();
    let is_same = |key: &i32| same.get(*key as usize).copied().unwrap_or(false);
    if dictionary.keys().values().iter().all(is_same) {
        return Ok(());
    }
    let name = crate::columns::COLUMNS[column].name;
    Err(DecodeError::Inconsistent(format!("column `{name}` differs from schema metadata `tollgate.{name}`")))
}

/// Each `seq` is covered once, within the range that the batch states; a gap row covers all that were shed.
fn check_seqs(meta: &BatchMeta, records: &RecordBatch) -> Result<(), DecodeError> {
    let seqs = records.column(SEQ).as_primitive::<Int64Type>();
    let mut runs = Vec::with_capacity(seqs.len());
    for (row, &seq) in seqs.values().iter().enumerate() {
        let mut last = Some(seq);
        if extract::str_at(records, KIND, row) == Some(Kind::Gap.as_str()) {
            let count = extract::i64_at(records, GAP_COUNT, row).unwrap_or(0);
            if count < 1 {
                return Err(DecodeError::Inconsistent(format!("the gap at seq {seq} needs a gap_count of 1 or more")));
            }
            last = seq.checked_add(count - 1);
        }
        match last {
            Some(last) if seq >= meta.first_seq && last <= meta.last_seq => runs.push((seq, last)),
            _ => {
                return Err(DecodeError::Inconsistent(format!(
                    "seq {seq} lies outside of {} to {}",
                    meta.first_seq, meta.last_seq
                )));
            }
        }
    }
    runs.sort_unstable();
    match runs.windows(2).find(|pair| pair[1].0 <= pair[0].1) {
        Some(pair) => Err(DecodeError::Inconsistent(format!("seq {} occurs twice", pair[1].0))),
        None => Ok(()),
    }
}
