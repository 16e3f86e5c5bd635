//! Reads back the records that a proxy has spooled.

use std::path::Path;

use anyhow::Context;
use serde_json::Value;
use tollgate_record::{DecodeLimits, decode, json};

/// Every record of the batches in `spool`, in the order of `seq`.
///
/// # Errors
/// When a batch cannot be read.
pub fn read(spool: &Path) -> anyhow::Result<Vec<Value>> {
    let mut rows: Vec<Value> = Vec::new();
    for entry in std::fs::read_dir(spool)? {
        let path = entry?.path();
        if !path.to_string_lossy().ends_with(".arrows.zst") {
            continue;
        }
        let batch = decode(&std::fs::read(&path)?, &DecodeLimits::default())
            .with_context(|| format!("the batch {}", path.display()))?;
        let mut written = json::Rows::of(&batch.records, &batch.meta);
        for row in 0..batch.records.num_rows() {
            let mut text = Vec::new();
            written.write(row, &mut text);
            rows.push(serde_json::from_slice(&text)?);
        }
    }
    rows.sort_by_key(|row| row["tollgate.seq"].as_i64());
    Ok(rows)
}

/// Status and error class of a record, as cases write them: `200`, `400 bad_request`, `none bad_request`.
#[must_use]
pub fn summary(row: &Value) -> String {
    let status =
        row["http.response.status_code"].as_i64().map_or_else(|| "none".to_owned(), |status| status.to_string());
    match row["error.type"].as_str() {
        Some(class) => format!("{status} {class}"),
        None => status,
    }
}
