//! What the parts do together, on a real folder.

mod consistency;
mod doubles;
mod evolution;
mod kill;
mod layout;
mod maintenance;
mod readers;
mod recovery;
mod sidecars;

use std::collections::BTreeSet;
use std::fs::File;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicI64;

use arrow_array::cast::AsArray as _;
use arrow_array::types::Int64Type;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use tollgate_config::ConfigDuration;
use tollgate_record::vocabulary::ErrorClass;
use tollgate_record::{Batch, BatchBuilder, BatchHeader, DecodeLimits, Record, SealLimits, decode};

use crate::clock::Clock;
use crate::compaction::{Limits, Pace};
use crate::snapshot::DataFile;
use crate::writer::WriterLock;
use crate::{Position, Table, TableConfig, TableError, TableWriter};

/// 2026-11-23T09:00:00Z.
pub(crate) const T0: i64 = 1_795_424_400_000_000;
pub(crate) const SECOND: i64 = 1_000_000;
pub(crate) const JOURNAL: &str = "default";

/// Commits what it gets in one delivery at once, and does no maintenance by itself.
pub(crate) fn config(dir: &Path) -> TableConfig {
    TableConfig {
        commit_every: ConfigDuration::default(),
        checkpoint_commits: u64::MAX,
        merge_every: None,
        ..TableConfig::new(dir)
    }
}

/// Opens the table under one journal name.
pub(crate) async fn open(config: TableConfig) -> Result<(TableWriter, Arc<Table>), TableError> {
    crate::open(config, JOURNAL).await
}

/// As [`open`], with a clock that stands still where it is set.
pub(crate) async fn open_at(
    config: TableConfig,
    now_us: &Arc<AtomicI64>,
) -> Result<(TableWriter, Arc<Table>), TableError> {
    let lock = WriterLock::acquire(&config.dir, JOURNAL).await?;
    let table = Arc::new(Table::open(&config, Clock::standing(now_us), JOURNAL).await?);
    Ok((TableWriter::new(config, Arc::clone(&table), lock), table))
}

/// A frame of the journal.
#[derive(Clone)]
pub(crate) struct Frame {
    pub(crate) position: Position,
    pub(crate) batch: Arc<Batch>,
}

impl TableWriter {
    /// Appends frames and commits what is due, as the sink does.
    pub(crate) async fn deliver(&mut self, frames: &[Frame]) -> Result<Option<Position>, TableError> {
        for frame in frames {
            self.append(frame.position, &frame.batch).await?;
        }
        self.commit_if_due().await
    }
}

impl Table {
    /// Merges what is due at this time; answers how many files went.
    pub(crate) async fn compact_by(&self, now_us: i64) -> Result<u64, TableError> {
        let run = self.compact_at(now_us, &Limits::default(), &Pace::default()).await?;
        Ok(run.files_in)
    }

    /// Shows a frame as hot rows.
    pub(crate) fn show(&self, frame: &Frame) {
        self.show_hot(frame.position, &frame.batch);
    }
}

/// Makes batches as a proxy would.
pub(crate) struct Feed {
    builder: BatchBuilder,
    position: Position,
    seq: i64,
    time_us: i64,
}

impl Feed {
    pub(crate) fn new() -> Self {
        Self::named("gate-1")
    }

    pub(crate) fn named(node: &str) -> Self {
        let header = BatchHeader {
            producer: format!("{node}/6441d2f3a7c00/0"),
            node_id: node.to_owned(),
            gateway_version: "0.1.0".to_owned(),
            ..BatchHeader::default()
        };
        let builder = BatchBuilder::new(header, SealLimits::default());
        Self { builder, position: 0, seq: 0, time_us: T0 + 10 * SECOND }
    }

    pub(crate) fn at(mut self, time_us: i64) -> Self {
        self.time_us = time_us;
        self
    }

    pub(crate) fn skip_to(&mut self, time_us: i64) {
        self.time_us = time_us;
    }

    /// The next frame of the journal, with so many rows a millisecond apart.
    pub(crate) fn frame(&mut self, rows: usize) -> Frame {
        for _ in 0..rows {
            self.seq += 1;
            self.time_us += 1_000;
            self.append();
        }
        let sealed = self.builder.seal(1).unwrap();
        let batch = Arc::new(decode(&sealed.bytes, &DecodeLimits::default()).unwrap());
        let position = self.position;
        self.position += 1;
        Frame { position, batch }
    }

    pub(crate) fn frames(&mut self, frames: usize, rows: usize) -> Vec<Frame> {
        (0..frames).map(|_| self.frame(rows)).collect()
    }

    fn append(&mut self) {
        let seq = self.seq;
        // Any fixed scatter will do.
        let scatter = (seq as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let mut trace_id = [0; 16];
        trace_id[..8].copy_from_slice(&scatter.to_be_bytes());
        trace_id[8..].copy_from_slice(&seq.to_be_bytes());
        let failed = seq % 50 == 7;
        let service = ["members", "claims", "eligibility", "pharmacy"][scatter as usize % 4];
        let path = format!("/{service}/v1/{{id}}/{}", scatter % 97);
        let client_ip = format!("10.1.{}.{}", scatter % 13, scatter % 251);
        self.builder.append(&Record {
            // Out of order, as transactions end in another order than they start.
            time_us: self.time_us - (scatter % 5_000) as i64,
            seq,
            trace_id: Some(&trace_id),
            service: Some(service),
            route: Some("default"),
            method: Some("GET"),
            path: Some(&path),
            client_ip: Some(&client_ip),
            client_port: Some((scatter % 60_000) as i32 + 1_024),
            status: Some(if failed { 502 } else { 200 }),
            error_class: failed.then_some(ErrorClass::ConnectRefused),
            auth_groups: &["staff", "claims-readers"],
            waf_rule_ids: if failed { &[942_100] } else { &[] },
            total_us: Some((scatter % 100_000) as i64),
            gateway_us: Some((scatter % 700) as i64),
            request_bytes: Some((scatter % 4_000) as i64),
            response_bytes: Some((scatter % 40_000) as i64),
            ..Record::default()
        });
    }
}

/// The `seq`s in a data file, in its order.
pub(crate) fn seqs_of(root: &Path, file: &DataFile) -> Vec<i64> {
    let reader = File::open(root.join(&file.path)).unwrap();
    let reader = ParquetRecordBatchReaderBuilder::try_new(reader).unwrap().build().unwrap();
    let batches = reader.map(|batch| batch.unwrap());
    batches
        .flat_map(|batch| {
            let seqs = batch.column_by_name("seq").unwrap().as_primitive::<Int64Type>();
            seqs.values().to_vec()
        })
        .collect()
}

/// All `seq`s in the table's files. Fails if one is there twice.
pub(crate) fn stored_seqs(table: &Table) -> BTreeSet<i64> {
    let mut all = BTreeSet::new();
    for file in table.snapshot().files.iter() {
        let seqs = seqs_of(table.root(), file);
        assert_eq!(seqs.len() as u64, file.rows, "{}", file.path);
        for seq in seqs {
            assert!((file.min_seq..=file.max_seq).contains(&seq));
            assert!(all.insert(seq), "seq {seq} is stored twice");
        }
    }
    all
}

fn entry_name(path: &Path) -> String {
    path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
}

/// Data files on disk, whether a commit names them or not.
pub(crate) fn files_on_disk(root: &Path) -> usize {
    let mut count = 0;
    for entry in std::fs::read_dir(root).unwrap() {
        let path = entry.unwrap().path();
        let hidden = entry_name(&path).starts_with('_');
        if path.is_dir() && !hidden {
            count += std::fs::read_dir(path).unwrap().count();
        }
    }
    count
}
