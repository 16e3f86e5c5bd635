//! What every sink passes: the contract as tests, run against the real destination of each.
//!
//! A sink's own tests implement [`Destination`] (how to open the sink, how to look at the destination behind its back) and call
//! [`passes`]. Each check gets a destination of its own:
//!
//! | check | what must hold |
//! |---|---|
//! | [`positions`] | answers ascend, are never past what was given, nor ahead of what the destination holds; `close` stores the rest |
//! | [`restart`] | what was held when the process died comes again, and is then stored |
//! | [`polls`] | calls without frames store what is held; before any frame they claim nothing |
//! | [`refusal`] | the frame that cannot be stored is the one that is named; all others are stored |
//! | [`again`] | frames that are offered twice move nothing back; nothing is doubled where that is promised |
//! | [`failure`] | while the destination fails nothing is claimed; the same frames are stored once it is back |
//! | [`cancellation`] | a delivery that is dropped at any point, and made again, stores its frames |
//! | [`dead_letter`] | a frame from the dead letters is stored though its position is long past, and twice is no more than once |

mod checks;
mod driver;
mod memory;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use tollgate_record::{Batch, BatchBuilder, BatchHeader, DecodeLimits, Record, SealLimits, decode};

pub use checks::{again, cancellation, dead_letter, failure, polls, positions, refusal, restart};
pub use driver::Driver;
pub use memory::{MemoryDestination, MemorySink, Store};

use crate::{Delivery, Position, Sink};

/// The contents of a destination.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Stored {
    /// How often each record is there, by (producer, seq).
    Records(BTreeMap<(String, i64), u64>),
    /// A number of records: the destination does not say which.
    Count(u64),
}

/// How often a sink stores a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Promise {
    /// A record may be there more than once after a failure.
    AtLeastOnce,
    /// A record is there once.
    ExactlyOnce,
}

/// A destination, as a sink's test sees it.
#[async_trait]
pub trait Destination: Send {
    /// A sink on this destination, not recovered yet. The one before is gone, as after a restart of the process.
    async fn open(&mut self) -> Box<dyn Sink>;

    /// Reads the destination by other means than the sink's.
    async fn stored(&mut self) -> Stored;

    /// How often the sink stores a record.
    fn promise(&self) -> Promise;

    /// Makes the destination fail, or work again; `false` where a test cannot do that.
    async fn set_failing(&mut self, _failing: bool) -> bool {
        false
    }

    /// A frame like `frame` that the sink refuses for good: by default one that lacks columns.
    fn refused(&self, frame: &Delivery) -> Delivery {
        let Batch { meta, records } = &*frame.batch;
        let records = records.project(&[0, 1, 2]).unwrap_or_else(|_| records.clone());
        Delivery { batch: Arc::new(Batch { meta: meta.clone(), records }), ..frame.clone() }
    }
}

/// Runs every check, each on a destination of its own that `make` answers.
///
/// # Errors
/// Names the check and what did not hold.
pub async fn passes<P: Destination>(mut make: impl AsyncFnMut() -> P) -> Result<(), String> {
    positions(&mut make().await).await.map_err(|problem| format!("positions: {problem}"))?;
    restart(&mut make().await).await.map_err(|problem| format!("restart: {problem}"))?;
    polls(&mut make().await).await.map_err(|problem| format!("polls: {problem}"))?;
    refusal(&mut make().await).await.map_err(|problem| format!("refusal: {problem}"))?;
    again(&mut make().await).await.map_err(|problem| format!("again: {problem}"))?;
    failure(&mut make().await).await.map_err(|problem| format!("failure: {problem}"))?;
    cancellation(&mut make().await).await.map_err(|problem| format!("cancellation: {problem}"))?;
    dead_letter(&mut make().await).await.map_err(|problem| format!("letter: {problem}"))
}

/// Frames of one producer at the positions 0, 1, 2 … with so many records each, numbered through from 1.
pub fn frames(count: usize, rows: usize) -> Vec<Delivery> {
    let header = BatchHeader {
        producer: "gate-1/6441d2f3a7c00/0".to_owned(),
        node_id: "gate-1".to_owned(),
        ..BatchHeader::default()
    };
    let mut builder = BatchBuilder::new(header, SealLimits::default());
    let mut seq: i64 = 0;
    let frame = |position| {
        for _ in 0..rows {
            seq += 1;
            // 2026-01-02T03:04:05Z and a millisecond for each.
            let time_us = 1_767_323_045_000_000 + seq * 1_000;
            // A span for those who export them, its id told from the number.
            let span_id = seq.to_be_bytes();
            builder.append(&Record {
                time_us,
                seq,
                trace_id: Some(&[7; 16]),
                span_id: Some(&span_id),
                trace_sampled: Some(true),
                service: Some("members"),
                path: Some("/members/{id}"),
                status: Some(200),
                ..Record::default()
            });
        }
        let sealed = builder.seal(1).expect("rows were appended");
        let batch = decode(&sealed.bytes, &DecodeLimits::default()).expect("a sealed batch decodes");
        Delivery { position, received_us: 1_767_323_046_000_000, batch: Arc::new(batch) }
    };
    (0..count as Position).map(frame).collect()
}
