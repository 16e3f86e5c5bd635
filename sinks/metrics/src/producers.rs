//! The producers whose numbers are followed.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use arrow_array::Array;
use prometheus::{IntCounter, IntGauge, IntGaugeVec};
use tollgate_record::BatchMeta;
use tollgate_record::runs::Run;
use tollgate_record::vocabulary::Kind;

use crate::columns::Columns;
use crate::config::MetricsConfig;
use crate::sequence::Sequence;

/// How often the gauges are brought up to date.
const SWEEP_EVERY: Duration = Duration::from_secs(1);

struct Followed {
    sequence: Sequence,
    heard: Instant,
    missing: IntGauge,
}

/// Numbers that follow each other, of records or declared by one gap.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Covered {
    run: Run,
    is_gap: bool,
}

/// At most `producers_max` producers, with the missing numbers of each.
pub(crate) struct Producers {
    followed: HashMap<String, Followed>,
    gauges: IntGaugeVec,
    doubled: IntCounter,
    producers_max: usize,
    holes_max: usize,
    grace: Duration,
    idle: Duration,
    swept: Option<Instant>,
    /// The numbers of the batch at hand; kept for its memory.
    covered: Vec<Covered>,
}

impl Producers {
    pub(crate) fn new(config: &MetricsConfig, gauges: IntGaugeVec, doubled: IntCounter) -> Self {
        Self {
            followed: HashMap::new(),
            gauges,
            doubled,
            producers_max: config.producers_max,
            holes_max: config.holes_max,
            grace: config.missing_grace.duration(),
            idle: config.producer_idle.duration(),
            swept: None,
            covered: Vec::new(),
        }
    }

    /// Notes the numbers of a batch. `false` = there is no room for its producer.
    pub(crate) fn observe(&mut self, meta: &BatchMeta, columns: &Columns<'_>, now: Instant) -> bool {
        if columns.rows == 0 {
            return true;
        }
        self.collect(columns);
        let first = if meta.batch_seq == 1 { 1 } else { self.covered.first().map_or(1, |covered| covered.run.first) };
        if !self.followed.contains_key(&meta.producer) && !self.follow(&meta.producer, first, now) {
            return false;
        }
        let Some(producer) = self.followed.get_mut(&meta.producer) else { return false };
        producer.heard = now;
        if meta.batch_seq == 1 {
            producer.sequence.begins_at_one(now);
        }
        for Covered { run, is_gap } in &self.covered {
            let again = producer.sequence.cover(*run, now);
            // A gap may declare what arrived all the same, when its acknowledgement was lost: that is no double.
            if !is_gap {
                self.doubled.inc_by(again.max(0) as u64);
            }
        }
        true
    }

    /// Collects the batch's numbers as ascending runs; a gap row stands for all the numbers that it covers.
    fn collect(&mut self, columns: &Columns<'_>) {
        let gaps = columns.gap_count;
        let no_gaps = gaps.null_count() == gaps.len();
        let covered = |row: usize, first: i64| {
            let is_gap = !no_gaps && gaps.is_valid(row) && columns.kind.text(row) == Some(Kind::Gap.as_str());
            let count = if is_gap { gaps.value(row).max(1) } else { 1 };
            Covered { run: Run { first, last: first.saturating_add(count - 1) }, is_gap }
        };
        self.covered.clear();
        for (row, seq) in columns.seq.values().iter().enumerate() {
            let next = covered(row, *seq);
            let same_kind = self.covered.last_mut().filter(|before| before.is_gap == next.is_gap);
            if !same_kind.is_some_and(|before| before.run.append(next.run)) {
                self.covered.push(next);
            }
        }
        self.covered.sort_unstable();
    }

    fn follow(&mut self, producer: &str, first: i64, now: Instant) -> bool {
        if self.followed.len() >= self.producers_max && !self.forget_silent(now) {
            return false;
        }
        let missing = self.gauges.with_label_values(&[producer]);
        missing.set(0);
        let sequence = Sequence::from(first, self.holes_max);
        self.followed.insert(producer.to_owned(), Followed { sequence, heard: now, missing });
        true
    }

    /// Forgets the producer that has been silent longest, if that is longer than the grace period.
    fn forget_silent(&mut self, now: Instant) -> bool {
        let Some((name, silent)) = self.followed.iter().min_by_key(|(_, producer)| producer.heard) else {
            return false;
        };
        if now.saturating_duration_since(silent.heard) <= self.grace {
            return false;
        }
        let name = name.clone();
        self.forget(&name);
        true
    }

    fn forget(&mut self, name: &str) {
        self.followed.remove(name);
        // Fails only if there is no such series.
        let _ = self.gauges.remove_label_values(&[name]);
    }

    /// Brings the gauges up to date and forgets who has been silent for long; at most once a second.
    pub(crate) fn sweep(&mut self, now: Instant) {
        if self.swept.is_some_and(|swept| now.saturating_duration_since(swept) < SWEEP_EVERY) {
            return;
        }
        self.swept = Some(now);
        let mut silent = Vec::new();
        for (name, producer) in &self.followed {
            producer.missing.set(producer.sequence.missing(now, self.grace));
            if now.saturating_duration_since(producer.heard) >= self.idle {
                silent.push(name.clone());
            }
        }
        for name in silent {
            self.forget(&name);
        }
    }

    /// How many producers are followed.
    pub(crate) fn len(&self) -> usize {
        self.followed.len()
    }

    /// How many numbers are missing in all.
    pub(crate) fn missing(&self, now: Instant) -> i64 {
        let missing = self.followed.values().map(|producer| producer.sequence.missing(now, self.grace));
        missing.fold(0, i64::saturating_add)
    }
}
