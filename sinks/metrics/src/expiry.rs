//! When the certificates that clients present expire.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::{Duration, Instant};

use arrow_array::types::TimestampMicrosecondType;
use arrow_array::{Array, PrimitiveArray};
use prometheus::{Gauge, GaugeVec};

use crate::columns::{Dictionary, number};

/// Two half windows: what was seen in the present one and in the one before counts.
struct Subject {
    current_us: Option<i64>,
    previous_us: Option<i64>,
    gauge: Gauge,
}

impl Subject {
    fn earliest_us(&self) -> Option<i64> {
        self.current_us.into_iter().chain(self.previous_us).min()
    }
}

/// At most `subjects_max` subjects with their earliest expiry.
pub(crate) struct Expiries {
    subjects: HashMap<Arc<str>, Subject>,
    /// The same, by what their gauges show.
    order: BTreeSet<(i64, Arc<str>)>,
    gauges: GaugeVec,
    subjects_max: usize,
    half_window: Duration,
    rotated: Option<Instant>,
    /// Earliest expiry per value of the batch's dictionary.
    earliest_us: Vec<Option<i64>>,
}

impl Expiries {
    pub(crate) fn new(gauges: GaugeVec, subjects_max: usize, window: Duration) -> Self {
        Self {
            subjects: HashMap::new(),
            order: BTreeSet::new(),
            gauges,
            subjects_max,
            half_window: window / 2,
            rotated: None,
            earliest_us: Vec::new(),
        }
    }

    /// Notes the certificates of a batch.
    pub(crate) fn observe(&mut self, subjects: &Dictionary<'_>, not_after: &PrimitiveArray<TimestampMicrosecondType>) {
        if not_after.null_count() == not_after.len() {
            return;
        }
        self.earliest_us.clear();
        self.earliest_us.resize(subjects.values().len(), None);
        for row in 0..not_after.len() {
            if let (Some(key), Some(expiry_us)) = (subjects.key(row), number(not_after, row)) {
                let earliest = &mut self.earliest_us[key];
                *earliest = Some(earliest.map_or(expiry_us, |known| known.min(expiry_us)));
            }
        }
        for key in 0..self.earliest_us.len() {
            if let Some(expiry_us) = self.earliest_us[key] {
                self.note(subjects.values().value(key), expiry_us);
            }
        }
    }

    fn note(&mut self, name: &str, expiry_us: i64) {
        if let Some((name, subject)) = self.subjects.get_key_value(name) {
            let before = subject.earliest_us();
            let current = Some(subject.current_us.map_or(expiry_us, |known| known.min(expiry_us)));
            let name = Arc::clone(name);
            if let Some(subject) = self.subjects.get_mut(&name) {
                subject.current_us = current;
                Self::show(&mut self.order, &name, subject, before);
            }
        } else if self.make_room(expiry_us) {
            let name: Arc<str> = name.into();
            let gauge = self.gauges.with_label_values(&[&name]);
            let subject = Subject { current_us: Some(expiry_us), previous_us: None, gauge };
            Self::show(&mut self.order, &name, &subject, None);
            self.subjects.insert(name, subject);
        }
    }

    fn show(order: &mut BTreeSet<(i64, Arc<str>)>, name: &Arc<str>, subject: &Subject, before: Option<i64>) {
        let Some(earliest_us) = subject.earliest_us() else { return };
        if before == Some(earliest_us) {
            return;
        }
        if let Some(before) = before {
            order.remove(&(before, Arc::clone(name)));
        }
        order.insert((earliest_us, Arc::clone(name)));
        subject.gauge.set(earliest_us as f64 / 1_000_000.0);
    }

    /// Room for one more; at the cap the subject that expires last gives way, if it does so later than this.
    fn make_room(&mut self, expiry_us: i64) -> bool {
        if self.subjects.len() < self.subjects_max {
            return true;
        }
        match self.order.last() {
            Some((latest_us, name)) if *latest_us > expiry_us => {
                let name = Arc::clone(name);
                self.forget(&name);
                true
            }
            _ => false,
        }
    }

    fn forget(&mut self, name: &Arc<str>) {
        let Some(subject) = self.subjects.remove(name) else { return };
        if let Some(earliest_us) = subject.earliest_us() {
            self.order.remove(&(earliest_us, Arc::clone(name)));
        }
        // Fails only if there is no such series.
        let _ = self.gauges.remove_label_values(&[name]);
    }

    /// Begins the next half window when it is time, and forgets what was last seen before the one that ends.
    pub(crate) fn rotate(&mut self, now: Instant) {
        match self.rotated {
            Some(rotated) if now.saturating_duration_since(rotated) < self.half_window => return,
            None => {
                self.rotated = Some(now);
                return;
            }
            Some(_) => self.rotated = Some(now),
        }
        let mut unseen = Vec::new();
        for (name, subject) in &mut self.subjects {
            if subject.current_us.is_none() {
                unseen.push(Arc::clone(name));
                continue;
            }
            let before = subject.earliest_us();
            subject.previous_us = subject.current_us.take();
            Self::show(&mut self.order, name, subject, before);
        }
        for name in unseen {
            self.forget(&name);
        }
    }

    /// How many subjects have a series.
    pub(crate) fn len(&self) -> usize {
        self.subjects.len()
    }
}
