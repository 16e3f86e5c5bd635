//! Producers: workers of made-up nodes, each with its own numbers.

use std::sync::Arc;

use tollgate_record::id::ProducerName;
use tollgate_record::{BatchBuilder, BatchHeader, EncodeError, SealLimits, SealedBatch};

use crate::curve::Curve;
use crate::facts::Facts;
use crate::traffic::Traffic;
use crate::world::World;

/// Level of zstd at which proxies seal.
const ZSTD_LEVEL: i32 = 1;

/// A batch, and when its last record happened.
#[derive(Debug, Clone)]
pub struct GeneratedBatch {
    /// As a proxy would send it.
    pub sealed: SealedBatch,
    /// Time of its last record, in microseconds since the Unix epoch.
    pub last_us: i64,
}

/// Makes the batches of one producer.
pub struct Producer {
    world: Arc<World>,
    curve: Arc<Curve>,
    builder: BatchBuilder,
    facts: Facts,
    seq: i64,
    /// The number of its next record, over all producers.
    next: u64,
    step: u64,
    records: u64,
    batch_records: usize,
}

impl Producer {
    /// The next batch, or `None` at the end.
    ///
    /// # Errors
    /// The batch cannot be encoded: a name of a node is too long.
    pub fn next_batch(&mut self) -> Result<Option<GeneratedBatch>, EncodeError> {
        let mut last_us = 0;
        while self.builder.len() < self.batch_records && self.next < self.records {
            let time_us = self.curve.time_us(self.next);
            self.facts.draw(&self.world, self.next, time_us, self.seq);
            self.builder.append(&self.facts.record(&self.world));
            self.seq += self.facts.numbers();
            self.next += self.step;
            last_us = last_us.max(self.facts.time_us());
        }
        if self.builder.is_empty() {
            return Ok(None);
        }
        Ok(Some(GeneratedBatch { sealed: self.builder.seal(ZSTD_LEVEL)?, last_us }))
    }
}

/// All producers, which take turns.
pub struct Producers {
    producers: Vec<Producer>,
    turn: usize,
}

impl Producers {
    /// The producers of these settings, which were checked.
    pub fn of(traffic: &Traffic, world: &Arc<World>) -> Self {
        let curve = Arc::new(Curve::new(traffic.start_us, traffic.rate, traffic.diurnal));
        let step = traffic.producers() as u64;
        let workers = traffic.nodes.iter().flat_map(|node| (0..traffic.workers).map(move |worker| (node, worker)));
        let producers = workers.enumerate().map(|(index, (node, worker))| Producer {
            world: Arc::clone(world),
            curve: Arc::clone(&curve),
            builder: BatchBuilder::new(header(node, worker, traffic.start_us), SealLimits::default()),
            facts: Facts::default(),
            seq: 1,
            next: index as u64,
            step,
            records: traffic.records,
            batch_records: traffic.batch_records,
        });
        Self { producers: producers.collect(), turn: 0 }
    }

    /// The next batch of the producer whose turn it is; `None` at the end.
    ///
    /// # Errors
    /// As [`Producer::next_batch`].
    pub fn next_batch(&mut self) -> Result<Option<GeneratedBatch>, EncodeError> {
        let turn = self.turn;
        self.turn = (turn + 1) % self.producers.len().max(1);
        // Their shares differ by one record at most: if this one has none left, no other has.
        match self.producers.get_mut(turn) {
            Some(producer) => producer.next_batch(),
            None => Ok(None),
        }
    }
}

fn header(node: &str, worker: u32, start_us: i64) -> BatchHeader {
    BatchHeader {
        producer: ProducerName { node_id: node.to_owned(), start_us, worker }.to_string(),
        node_id: node.to_owned(),
        gateway_version: env!("CARGO_PKG_VERSION").to_owned(),
        environment: "load-test".to_owned(),
        zone: "local".to_owned(),
        redaction_policy: "default-1".to_owned(),
        hmac_key_id: "load-test".to_owned(),
    }
}
