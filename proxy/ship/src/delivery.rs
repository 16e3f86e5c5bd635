//! One batch on its way to a collector, until it is acknowledged, refused or handed back.

use std::time::Instant;

use bytes::Bytes;
use http::StatusCode;
use tollgate_clock::now_us;
use tollgate_record::vocabulary::GapReason;
use tollgate_retry::Backoff;

use crate::batch_file::BatchName;
use crate::link::PostOutcome;
use crate::quarantine::RefusalNote;
use crate::ring::HeldBatch;
use crate::shipper::{Shared, blocking};
use crate::spool::SpoolFile;

/// A batch with a poster.
pub(crate) enum QueuedBatch {
    Memory(HeldBatch),
    Disk(SpoolFile),
}

impl Shared {
    /// Takes the spool's oldest batch, else the ring's oldest, because the spool's batches are older. Batches of
    /// forbidden nodes are skipped.
    pub(crate) fn next(&self) -> Option<QueuedBatch> {
        let spooled = self.lock_spool().and_then(|mut spool| spool.take(|node| self.forbidden.must_wait(node)));
        spooled.map(QueuedBatch::Disk).or_else(|| {
            if self.forbidden.own_must_wait() {
                return None;
            }
            self.ring.take().map(QueuedBatch::Memory)
        })
    }

    /// Sends a batch until it is acknowledged, refused or forbidden, or until the shipper stops.
    pub(crate) async fn ship(&self, batch: QueuedBatch) {
        let Some(link) = &self.link else { return self.hand_back(batch) };
        let bytes = match &batch {
            QueuedBatch::Memory(held) => held.batch.bytes.clone(),
            QueuedBatch::Disk(file) => match self.read(file).await {
                Some(bytes) => bytes,
                None => return,
            },
        };
        let mut backoff = Backoff::new(self.backoff.0, self.backoff.1);
        loop {
            let began = Instant::now();
            let outcome = tokio::select! {
                outcome = link.post(bytes.clone()) => outcome,
                () = self.stop.cancelled() => return self.hand_back(batch),
            };
            self.metrics.ship_duration.observe(began.elapsed().as_secs_f64());
            match outcome {
                PostOutcome::Acknowledged => return self.acknowledged(&batch).await,
                PostOutcome::Refused { status, reason } => return self.refused(&batch, &bytes, status, reason).await,
                PostOutcome::Forbidden { reason } => return self.forbidden(batch, &reason),
                PostOutcome::Again { cause, after } => {
                    self.metrics.ship_errors.with_label_values(&[cause]).inc();
                    let ending = self.finish.is_cancelled();
                    let wait_max = if ending { self.backoff.0 } else { self.backoff.1 };
                    // A process that ends cannot obey a long Retry-After: the deadline of its end comes first.
                    let wait = match after {
                        Some(_) if !ending => backoff.next_wait_asked(after),
                        _ => backoff.next_wait_within(wait_max),
                    };
                    tokio::select! {
                        () = tokio::time::sleep(wait) => {}
                        () = self.finish.cancelled(), if !ending => {}
                        () = self.stop.cancelled() => return self.hand_back(batch),
                    }
                }
            }
        }
    }

    pub(crate) fn hand_back(&self, batch: QueuedBatch) {
        match batch {
            QueuedBatch::Memory(held) => self.ring.put_back(held),
            QueuedBatch::Disk(file) => {
                if let Some(mut spool) = self.lock_spool() {
                    spool.put_back(file);
                }
            }
        }
    }

    /// Keeps a batch whose node the certificate does not speak for: a person can correct that, and then it is
    /// delivered.
    fn forbidden(&self, batch: QueuedBatch, reason: &str) {
        self.metrics.ship_errors.with_label_values(&["status_403"]).inc();
        let node = self.node(&batch).to_owned();
        if self.forbidden.add(&node) {
            tracing::error!(
                node,
                reason,
                "the collector does not let this proxy speak for this node: its records wait"
            );
        }
        let trouble = format!("the collector does not let this proxy speak for node {node}: {reason}");
        self.ring.set_trouble("collector", Some(trouble));
        self.hand_back(batch);
    }

    fn node<'a>(&'a self, batch: &'a QueuedBatch) -> &'a str {
        match batch {
            QueuedBatch::Memory(_) => self.forbidden.own(),
            QueuedBatch::Disk(file) => &file.name.node,
        }
    }

    async fn acknowledged(&self, batch: &QueuedBatch) {
        if self.forbidden.remove(self.node(batch)) {
            self.ring.set_trouble("collector", None);
        }
        self.metrics.batches_acked.inc();
        match batch {
            QueuedBatch::Memory(held) => {
                self.metrics.records_acked.inc_by(held.records());
                self.ring.leave(held);
            }
            QueuedBatch::Disk(file) => {
                self.metrics.records_acked.inc_by(file.name.records);
                self.delete(file).await;
            }
        }
    }

    /// Moves a batch that the collector will never take into the quarantine, or drops it if there is none.
    async fn refused(&self, batch: &QueuedBatch, bytes: &Bytes, status: StatusCode, reason: String) {
        let status = status.as_u16();
        self.metrics.batches_refused.with_label_values(&[&status.to_string()]).inc();
        let kept = match self.quarantine.clone() {
            Some(quarantine) => {
                let bytes = bytes.clone();
                let name = match batch {
                    QueuedBatch::Memory(held) => BatchName::of(&held.batch, held.records()),
                    QueuedBatch::Disk(file) => Ok(file.name.clone()),
                };
                let refusal = RefusalNote { status, reason: reason.clone(), time_us: now_us() };
                blocking(move || quarantine.keep(&name?, &bytes, &refusal)).await
            }
            None => Ok(()),
        };
        match kept {
            Ok(()) => tracing::warn!(status, reason, "the collector refused a batch for good"),
            Err(error) => {
                tracing::error!(%error, status, reason, "a refused batch could not be kept in the quarantine folder");
            }
        }
        match batch {
            QueuedBatch::Memory(held) => self.ring.give_up(held, GapReason::Quarantined),
            QueuedBatch::Disk(file) => {
                let reason = GapReason::Quarantined.as_str();
                self.metrics.records_shed.with_label_values(&[reason]).inc_by(file.name.records);
                self.delete(file).await;
            }
        }
    }
}
