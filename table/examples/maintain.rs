//! One step of a table's life per run, so that other readers can look at the table after each.
//!
//! ```text
//! cargo run -p tollgate-table --example maintain DIR commit ROWS FIRST     appends made-up records, in a few commits
//! cargo run -p tollgate-table --example maintain DIR compact | checkpoint | vacuum
//! ```
//! Prints the rows and the files that the table has then. `make test-readers` runs it.

use std::path::Path;
use std::sync::Arc;

use tollgate_config::ConfigDuration;
use tollgate_load::{Producers, Traffic, World};
use tollgate_record::{DecodeLimits, decode};
use tollgate_table::{TableConfig, open};

type Failure = Box<dyn std::error::Error>;

/// Commits of one `commit` step.
const COMMITS: u64 = 12;
/// Records of a batch.
const BATCH_RECORDS: usize = 256;
/// 2026-09-21T06:00:00Z: every compaction's grace is over.
const START_US: i64 = 1_789_970_400_000_000;

#[tokio::main]
async fn main() -> Result<(), Failure> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [dir, step, more @ ..] = arguments.as_slice() else { return Err("DIR STEP".into()) };
    let rows: u64 = more.first().map_or(Ok(0), |text| text.parse())?;
    let first: u64 = more.get(1).map_or(Ok(0), |text| text.parse())?;
    let config = TableConfig {
        commit_every: ConfigDuration::hours(1),
        commit_rows_max: usize::try_from((rows / COMMITS).max(1))?,
        merge_every: None,
        ..TableConfig::new(Path::new(dir))
    };
    let (mut writer, table) = open(config, "maintain").await?;
    let next = writer.recover().await?.map_or(0, |last| last + 1);
    match step.as_str() {
        "commit" => {
            let batches = batches(rows, first)?;
            for (position, batch) in (next..).zip(&batches) {
                table.show_hot(position, batch);
                writer.append(position, batch).await?;
                writer.commit_if_due().await?;
            }
            writer.close().await?;
        }
        "compact" => drop(table.compact().await?),
        "checkpoint" => table.checkpoint().await?,
        "vacuum" => drop(table.vacuum().await?),
        other => return Err(format!("{other}: there are commit, compact, checkpoint and vacuum").into()),
    }
    table.refresh().await?;
    let snapshot = table.snapshot();
    println!("{{\"rows\": {}, \"files\": {}}}", snapshot.rows(), snapshot.files.len());
    Ok(())
}

/// Made-up records, whose producers begin at a time of their own: `first` tells one step's from another's.
fn batches(rows: u64, first: u64) -> Result<Vec<tollgate_record::Batch>, Failure> {
    let traffic = Traffic {
        records: rows,
        rate: 20.0,
        start_us: START_US + i64::try_from(first)? * 60_000_000,
        batch_records: BATCH_RECORDS,
        services: 200,
        workers: 2,
        ..Traffic::default()
    };
    traffic.check()?;
    let mut producers = Producers::of(&traffic, &Arc::new(World::of(&traffic)));
    let mut batches = Vec::new();
    while let Some(batch) = producers.next_batch()? {
        batches.push(decode(&batch.sealed.bytes, &DecodeLimits::default())?);
    }
    Ok(batches)
}
