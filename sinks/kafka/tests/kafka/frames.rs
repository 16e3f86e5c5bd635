//! Frames to deliver, and a collector that delivers them.

use std::sync::Arc;
use std::time::Duration;

use tollgate_record::vocabulary::{ErrorClass, Kind};
use tollgate_record::{BatchBuilder, BatchHeader, DecodeLimits, Record, SealLimits, decode};
use tollgate_sink::{Delivery, Sink, SinkError};

/// 2026-01-02T03:04:05Z, in microseconds.
pub const START_US: i64 = 1_767_323_045_000_000;

pub fn header() -> BatchHeader {
    BatchHeader {
        producer: "gate-1/63a7b2c4d5e6f/0".into(),
        node_id: "gate-1".into(),
        environment: "test".into(),
        ..BatchHeader::default()
    }
}

/// `count` frames of `rows` rows each, numbered through, from position 10 on.
pub fn frames(count: usize, rows: usize) -> Vec<Delivery> {
    frames_with(count, rows, |_, record| record)
}

/// The same, with every record changed by `change`, which gets its `seq`.
pub fn frames_with<'a>(count: usize, rows: usize, change: impl Fn(i64, Record<'a>) -> Record<'a>) -> Vec<Delivery> {
    const SERVICES: [&str; 4] = ["orders", "billing", "search", "claims"];
    let mut builder = BatchBuilder::new(header(), SealLimits::default());
    let mut seq = 0;
    let frame = |index| {
        for _ in 0..rows {
            seq += 1;
            let failed = seq % 7 == 0;
            let record = Record {
                time_us: START_US + seq * 1_000,
                seq,
                kind: if failed { Kind::HandshakeFailed } else { Kind::Transaction },
                service: (!failed).then(|| SERVICES[seq as usize % SERVICES.len()]),
                error_class: failed.then_some(ErrorClass::TlsHandshake),
                method: Some("GET"),
                path: Some("/v1/ümläute/\"quoted\""),
                status: (!failed).then_some(200),
                total_us: Some(seq * 10),
                ..Record::default()
            };
            builder.append(&change(seq, record));
        }
        let sealed = builder.seal(1).expect("the batch is sealed");
        let batch = decode(&sealed.bytes, &DecodeLimits::default()).expect("the batch decodes");
        Delivery { position: 10 + index as u64, received_us: START_US + 3_600_000_000, batch: Arc::new(batch) }
    };
    (0..count).map(frame).collect()
}

/// What a collector saw while it delivered.
#[derive(Debug, Default)]
pub struct Journey {
    pub retries: usize,
    pub rebuilds: usize,
    pub rejected: Vec<u64>,
    pub rejected_rows: Vec<(u64, Vec<usize>)>,
    pub through: Option<u64>,
}

impl Journey {
    /// Whether a frame needs no more deliveries.
    fn is_done(&self, frame: &Delivery) -> bool {
        let position = frame.position;
        self.through.is_some_and(|through| position <= through)
            || self.rejected.contains(&position)
            || self.rejected_rows.iter().any(|(rejected, _)| *rejected == position)
    }
}

/// Delivers everything, a few frames at a time, as the collector does: the cursor moves on answers only, and what the sink
/// holds when it is rebuilt comes again. `between` is called after every delivery that went well, with the number of frames
/// that are done.
pub async fn deliver_all(
    sink: &mut dyn Sink,
    frames: &[Delivery],
    at_a_time: usize,
    mut between: impl FnMut(usize),
) -> Journey {
    let mut journey = Journey::default();
    let mut next = 0;
    while !frames.iter().all(|frame| journey.is_done(frame)) {
        let is_open = |frame: &&Delivery| frame.position >= next && !journey.is_done(frame);
        let open: Vec<Delivery> = frames.iter().filter(is_open).take(at_a_time).cloned().collect();
        match sink.deliver(&open).await {
            Ok(through) => {
                next = open.last().map_or(next, |last| last.position + 1);
                assert!(through.is_none_or(|through| through < next), "{through:?} is past what was given");
                journey.through = journey.through.max(through);
                between(frames.iter().filter(|frame| journey.is_done(frame)).count());
            }
            Err(SinkError::Retry { .. }) => {
                journey.retries += 1;
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
            Err(SinkError::Rebuild { .. }) => {
                journey.rebuilds += 1;
                while sink.recover().await.is_err() {
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
                next = journey.through.map_or(0, |through| through + 1);
            }
            Err(SinkError::Reject { position, .. }) => journey.rejected.push(position),
            Err(SinkError::RejectRows { position, rows, .. }) => journey.rejected_rows.push((position, rows)),
        }
    }
    journey
}
