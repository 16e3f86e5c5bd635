//! Batches between the ring and the spool: written when the ring fills, read back, deleted once they are delivered.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tollgate_record::gap_batch;
use tollgate_record::vocabulary::GapReason;
use tollgate_storage::Storage;

use crate::batch_file;
use crate::delivery::QueuedBatch;
use crate::link::PostOutcome;
use crate::ring::{FinalGaps, HeldBatch, SpoolState};
use crate::shipper::{Shared, blocking};
use crate::spool::{self, SpoolFile};

/// Wait until the spool is tried again after the disk failed.
const SPOOL_RETRY: Duration = Duration::from_secs(1);

/// Time for the collector to take each last gap batch if there is no spool.
const FINAL_GAPS_MAX: Duration = Duration::from_secs(1);

impl Shared {
    pub(crate) async fn delete(&self, file: &SpoolFile) {
        let Some(storage) = self.storage() else { return };
        let name = file.name.to_string();
        if let Err(error) = blocking(move || storage.remove(&name)).await {
            // The batch is sent again after a restart, and the collector knows it as a duplicate.
            tracing::warn!(%error, name = %file.name, "a delivered batch could not be removed from the spool");
        }
        self.forget(file);
    }

    fn forget(&self, file: &SpoolFile) {
        if let Some(mut spool) = self.lock_spool() {
            spool.forget(file);
            self.metrics.spool_bytes.set(spool.bytes() as i64);
        }
        self.ring.spill.notify_one();
    }

    /// Reads a spooled batch. A damaged one is set aside and its records are shed; while the disk fails, the batch
    /// stays for a later try.
    pub(crate) async fn read(&self, file: &SpoolFile) -> Option<Bytes> {
        let (storage, name) = (self.storage()?, file.name.clone());
        let read = tokio::task::spawn_blocking(move || batch_file::read(&*storage, &name)).await;
        let error = match read.unwrap_or_else(|panicked| Err(io::Error::other(panicked).into())) {
            Ok(bytes) => return Some(bytes),
            Err(error) => error,
        };
        if error.may_pass() {
            tracing::warn!(%error, name = %file.name, "a spooled batch cannot be read for now");
            self.metrics.ship_errors.with_label_values(&["spool"]).inc();
            tokio::select! {
                () = tokio::time::sleep(SPOOL_RETRY) => {}
                () = self.stop.cancelled() => {}
            }
            self.hand_back(QueuedBatch::Disk(file.clone()));
            return None;
        }
        tracing::warn!(%error, name = %file.name, "a spooled batch cannot be read back and is set aside");
        let (storage, name) = (self.storage()?, file.name.to_string());
        if let Err(error) = blocking(move || spool::set_aside(&*storage, &name)).await {
            tracing::warn!(%error, name = %file.name, "a damaged batch could not be moved out of the spool");
        }
        self.metrics.records_shed.with_label_values(&[GapReason::Unreadable.as_str()]).inc_by(file.name.records);
        self.forget(file);
        None
    }

    /// Writes the ring's oldest batches to the spool while the ring is past its mark, or `all` of them, and the spool
    /// has room.
    pub(crate) async fn spill(&self, all: bool) {
        let Some(storage) = self.storage() else { return };
        while let Some(held) = self.ring.take_to_spill(all) {
            let size = held.batch.bytes.len() as u64;
            if !self.lock_spool().is_some_and(|spool| spool.fits(size)) {
                self.ring.set_spool(SpoolState::Full);
                self.ring.put_back(held);
                return;
            }
            match self.write(&storage, &held).await {
                Ok(file) => {
                    if let Some(mut spool) = self.lock_spool() {
                        spool.add(file);
                        self.metrics.spool_bytes.set(spool.bytes() as i64);
                    }
                    if self.ring.set_spool(SpoolState::Roomy) == SpoolState::Failing {
                        tracing::info!("the spool can be written again");
                        self.ring.set_trouble("spool", None);
                    }
                    self.ring.leave(&held);
                    self.ring.work.notify_one();
                }
                Err(error) => {
                    self.metrics.ship_errors.with_label_values(&["spool"]).inc();
                    if self.ring.set_spool(SpoolState::Failing) != SpoolState::Failing {
                        tracing::error!(%error, "the spool cannot be written: records are shed once the ring is full");
                        self.ring.set_trouble("spool", Some(format!("the spool cannot be written: {error}")));
                    }
                    self.ring.put_back(held);
                    if all {
                        return;
                    }
                    tokio::select! {
                        () = tokio::time::sleep(SPOOL_RETRY) => {}
                        () = self.stop.cancelled() => {}
                    }
                }
            }
            if !all && self.stop.is_cancelled() {
                return;
            }
        }
    }

    async fn write(&self, storage: &Arc<dyn Storage>, held: &HeldBatch) -> io::Result<SpoolFile> {
        let (storage, batch, records) = (storage.clone(), held.batch.clone(), held.records());
        match tokio::task::spawn_blocking(move || spool::write(&*storage, &batch, records)).await {
            Ok(written) => written,
            Err(panicked) => Err(io::Error::other(panicked)),
        }
    }

    /// Reports records that were shed after their workers had ended, under the workers' names: through the spool if
    /// there is one, where the next process finds the report, else to the collector at once.
    pub(crate) async fn report_final_gaps(&self) {
        for FinalGaps { worker, header, batch_seq, gaps } in self.ring.take_final_gaps() {
            let records: i64 = gaps.iter().map(|gap| gap.count).sum();
            let batch = match gap_batch(&header, batch_seq, &gaps) {
                Ok(batch) => batch,
                Err(error) => {
                    tracing::error!(%error, records, "shed records could not be reported");
                    continue;
                }
            };
            let kept = match (self.storage(), &self.link) {
                (Some(storage), _) => blocking(move || spool::write_last(&*storage, worker, &batch).map(drop)).await,
                (None, Some(link)) => match tokio::time::timeout(FINAL_GAPS_MAX, link.post(batch.bytes)).await {
                    Ok(PostOutcome::Acknowledged) => Ok(()),
                    _ => Err(io::Error::other("there is no spool, and the collector did not take the report")),
                },
                (None, None) => Ok(()),
            };
            if let Err(error) = kept {
                let untold = "shed records could not be reported: the audit will call them missing";
                tracing::error!(%error, records, "{untold}");
            }
        }
    }
}
