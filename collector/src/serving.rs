//! Makes the parts that run from what was opened: a runner for each sink, the retention, the ingest.

use std::sync::Arc;

use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tollgate_record::DecodeLimits;
use tollgate_sink::Sink;

use crate::config::CollectorConfig;
use crate::delivery::cursor::Cursor;
use crate::delivery::runner::Runner;
use crate::delivery::sink_state::SinkState;
use crate::delivery::source::{Portion, Source};
use crate::dlq::store::DeadLetters;
use crate::ingest::intake::{Intake, IntakeState};
use crate::ingest::refused::RefusedPosts;
use crate::ingest::{Budget, IngestService};
use crate::metrics::Metrics;
use crate::retention::Retention;
use crate::store::committed::Committed;
use crate::store::open::Store;

/// The sink whose rows the tail shows until it has stored them: the journal keeps every frame that either of them needs.
pub(crate) const TAIL_SINK: &str = "table";

/// What the parts that run are made from.
pub(crate) struct Serving<'a> {
    pub config: &'a CollectorConfig,
    pub store: &'a Store,
    pub intake: &'a Arc<IntakeState>,
    pub committed: &'a Arc<Committed>,
    pub metrics: &'a Metrics,
    pub limits: &'a DecodeLimits,
}

impl Serving<'_> {
    pub(crate) fn run_sinks(
        &self,
        sinks: Vec<Box<dyn Sink>>,
        stop: &CancellationToken,
        tasks: &mut JoinSet<()>,
    ) -> Vec<Arc<SinkState>> {
        let data = self.config.journal.dir.as_path();
        let delivery = &self.config.delivery;
        let portion = Portion { frames_max: delivery.frames_max, rows_max: delivery.rows_max };
        let has_tail = self.committed.tail.is_some();
        let mut states = Vec::new();
        for (sink, (file, position)) in sinks.into_iter().zip(self.store.cursors.clone()) {
            let name = sink.name();
            let state = Arc::new(SinkState::new(name, position));
            states.push(Arc::clone(&state));
            let (committed, journal) = (Arc::clone(self.committed), Arc::clone(&self.store.journal));
            let runner = Runner {
                sink,
                state,
                cursor: Cursor::new(file, position),
                source: Source::new(Arc::clone(&committed), journal, portion),
                letters: DeadLetters::of(data, name),
                committed,
                metrics: self.metrics.clone(),
                config: delivery.clone(),
                stop: stop.clone(),
                stores_tail: has_tail && name == TAIL_SINK,
                next: position,
                passed: Vec::new(),
                replayed_at: None,
            };
            tasks.spawn(runner.run());
        }
        states
    }

    pub(crate) fn retention(&self, sinks: Vec<Arc<SinkState>>) -> Retention {
        let journal = &self.config.journal;
        // Before the first post is refused: a segment below the high water, or a tenth where segments are large.
        let high_water = journal.high_water_bytes.bytes();
        let margin = journal.segment_bytes.bytes().min(high_water / 10);
        Retention {
            journal: Arc::clone(&self.store.journal),
            intake: Arc::clone(self.intake),
            committed: Arc::clone(self.committed),
            sinks,
            data: journal.dir.as_path().to_owned(),
            skipping: self.config.delivery.skip_when_full.clone(),
            pressure_bytes: high_water - margin,
            remember: journal.remember_batches.duration(),
        }
    }

    pub(crate) fn ingest_service(&self, intake: Intake, refused: Arc<RefusedPosts>) -> IngestService {
        let config = self.config.ingest.clone();
        IngestService {
            intake,
            metrics: self.metrics.clone(),
            limits: *self.limits,
            budget: Budget::new(config.inflight_bytes_max.bytes()),
            decoders: Arc::new(Semaphore::new(config.decoders_max)),
            refused,
            config,
        }
    }
}
