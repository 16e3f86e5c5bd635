//! Batches as a proxy would post them, with the numbers that a test wants: a loss, a double or a gap is a choice of them.

use std::path::Path;

use anyhow::ensure;
use tollgate_record::id::ProducerName;
use tollgate_record::vocabulary::GapReason;
use tollgate_record::{BatchBuilder, BatchHeader, Gap, Record, SealLimits, SealedBatch, gap_batch};

use crate::client::curl;

/// Node of the test's proxy, for which its certificate speaks.
pub const NODE: &str = "edge-1";

/// A producer of which every record is made here.
#[derive(Debug)]
pub struct Producer {
    /// Its name.
    pub name: String,
    header: BatchHeader,
    next_batch: u64,
}

impl Producer {
    /// A worker of a process of [`NODE`] that started at a time, in microseconds since 1970.
    #[must_use]
    pub fn new(start_us: i64, worker: u32) -> Self {
        let name = ProducerName { node_id: NODE.to_owned(), start_us, worker }.to_string();
        let header = BatchHeader { producer: name.clone(), node_id: NODE.to_owned(), ..BatchHeader::default() };
        Self { name, header, next_batch: 1 }
    }

    /// A batch of records with these numbers, received a millisecond apart from `time_us` on.
    ///
    /// # Errors
    /// When it cannot be encoded.
    pub fn batch(&mut self, seqs: impl IntoIterator<Item = i64>, time_us: i64) -> anyhow::Result<SealedBatch> {
        self.batch_with(seqs, time_us, "/")
    }

    /// The same, with a path: it decides how large the records are.
    ///
    /// # Errors
    /// When it cannot be encoded.
    pub fn batch_with(
        &mut self,
        seqs: impl IntoIterator<Item = i64>,
        time_us: i64,
        path: &str,
    ) -> anyhow::Result<SealedBatch> {
        let mut builder = BatchBuilder::new(self.header.clone(), SealLimits::default());
        for (row, seq) in (0..).zip(seqs) {
            let time_us = time_us + row * 1_000;
            builder.append(&Record { time_us, seq, status: Some(200), path: Some(path), ..Record::default() });
        }
        for _ in 1..self.number() {
            builder.take_batch_seq();
        }
        Ok(builder.seal(1)?)
    }

    /// A batch that says that `count` numbers from `seq` on were shed.
    ///
    /// # Errors
    /// When it cannot be encoded.
    pub fn gap(&mut self, seq: i64, count: i64, time_us: i64) -> anyhow::Result<SealedBatch> {
        let gap = Gap { time_us, seq, count, reason: GapReason::SpoolFull };
        let number = self.number();
        Ok(gap_batch(&self.header, number, &[gap])?)
    }

    fn number(&mut self) -> u64 {
        self.next_batch += 1;
        self.next_batch - 1
    }
}

/// Posts a batch to a collector on this machine, with the certificates in `tls`.
///
/// # Errors
/// When the collector does not take it.
pub fn post(tls: &Path, ingest_port: u16, batch: &SealedBatch) -> anyhow::Result<()> {
    let file = tempfile::NamedTempFile::new()?;
    std::fs::write(file.path(), &batch.bytes)?;
    let path = |name: &str| tls.join(name).display().to_string();
    let got = curl(&[
        "--http2",
        "--cacert",
        &path("ca.pem"),
        "--cert",
        &path("edge-1.pem"),
        "--key",
        &path("edge-1.key"),
        "-H",
        "content-type: application/vnd.apache.arrow.stream",
        "-H",
        "content-encoding: zstd",
        "--data-binary",
        &format!("@{}", file.path().display()),
        &format!("https://localhost:{ingest_port}/v1/batches"),
    ])?;
    ensure!(got.status == 200, "the collector answers {}: {}", got.status, String::from_utf8_lossy(&got.body));
    Ok(())
}
