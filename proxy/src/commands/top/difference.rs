//! The difference between two readings.

use std::collections::BTreeMap;

use tollgate_telemetry::Sample;

use super::reading::Reading;

/// The key of a time series.
type Named<'a> = (&'a str, &'a BTreeMap<String, String>);

/// Bounds of a histogram's buckets, with the observations up to each.
pub type Buckets = Vec<(Option<f64>, u64)>;

/// The growth of counters and the levels of gauges.
pub struct Difference<'a> {
    /// Empty if the process restarted: its counters began at 0.
    before: BTreeMap<Named<'a>, &'a Sample>,
    now: &'a [Sample],
    /// Time between the two readings.
    pub seconds: f64,
}

impl<'a> Difference<'a> {
    pub fn new(before: &'a Reading, now: &'a Reading) -> Self {
        let named: BTreeMap<Named<'a>, &Sample> =
            before.samples.iter().map(|sample| ((sample.name.as_str(), &sample.labels), sample)).collect();
        let fell = |sample: &Sample| {
            let before = named.get(&(sample.name.as_str(), &sample.labels));
            sample.name.ends_with("_total") && before.is_some_and(|before| before.value > sample.value)
        };
        Self {
            before: if now.samples.iter().any(fell) { BTreeMap::new() } else { named },
            now: &now.samples,
            seconds: now.at.duration_since(before.at).as_secs_f64().max(1e-3),
        }
    }

    /// The series of a metric, each with its growth.
    fn grown(&self, name: &'static str) -> impl Iterator<Item = (&'a Sample, f64)> {
        self.now.iter().filter(move |sample| sample.name == name).map(|sample| {
            let before = self.before.get(&(name, &sample.labels)).map_or(0.0, |before| before.value);
            (sample, (sample.value - before).max(0.0))
        })
    }

    /// Growth a second over all series of a metric.
    pub fn rate(&self, name: &'static str) -> f64 {
        sum(self.grown(name).map(|(_, grown)| grown)) / self.seconds
    }

    /// Growth a second by the value of a label, the fastest first. Values without growth are left out.
    pub fn rates(&self, name: &'static str, label: &str) -> Vec<(&'a str, f64)> {
        let mut rates: Vec<_> = self.rates_with(name, label, None).into_iter().collect();
        rates.sort_by(|a, b| b.1.total_cmp(&a.1));
        rates
    }

    /// Growth a second by the value of a label. If another label is given, only series with it count.
    pub fn rates_with(&self, name: &'static str, label: &str, with: Option<(&str, &str)>) -> BTreeMap<&'a str, f64> {
        let wanted = |sample: &Sample| with.is_none_or(|(label, value)| has(sample, label, value));
        let mut rates: BTreeMap<&str, f64> = BTreeMap::new();
        for (sample, grown) in self.grown(name).filter(|(sample, grown)| *grown > 0.0 && wanted(sample)) {
            if let Some(value) = sample.labels.get(label) {
                *rates.entry(value).or_default() += grown / self.seconds;
            }
        }
        rates
    }

    /// The sum of a gauge's series.
    pub fn level(&self, name: &str) -> f64 {
        sum(self.now.iter().filter(|sample| sample.name == name).map(|sample| sample.value))
    }

    /// The first value of a label.
    pub fn label(&self, name: &str, label: &str) -> &'a str {
        self.now
            .iter()
            .filter(|sample| sample.name == name)
            .find_map(|s| s.labels.get(label))
            .map_or("?", String::as_str)
    }

    /// Observations by a histogram since the reading before, for each value of a label.
    pub fn observed(&self, name: &'static str, label: &str) -> BTreeMap<&'a str, Buckets> {
        let mut observed = BTreeMap::new();
        for sample in self.now.iter().filter(|sample| sample.name == name) {
            let Some(value) = sample.labels.get(label) else { continue };
            let before = self.before.get(&(name, &sample.labels)).map_or(&[][..], |before| &before.buckets);
            let base = |nth: usize| before.get(nth).map_or(0, |(_, count)| *count);
            // A single series restarts at 0 if its service was removed and added again.
            let restarted =
                sample.buckets.last().map_or(0, |(_, count)| *count) < before.last().map_or(0, |(_, count)| *count);
            let grown = sample.buckets.iter().enumerate();
            let grown = grown.map(|(nth, (bound, count))| (*bound, if restarted { *count } else { count - base(nth) }));
            observed.insert(value.as_str(), grown.collect());
        }
        observed
    }
}

fn has(sample: &Sample, label: &str, value: &str) -> bool {
    sample.labels.get(label).is_some_and(|of| of == value)
}

/// Sums from 0.0: `Iterator::sum` of nothing is -0.0, which would be shown.
pub fn sum(values: impl Iterator<Item = f64>) -> f64 {
    values.fold(0.0, |sum, value| sum + value)
}

/// Adds up the buckets with the same bounds.
pub fn merged<'a>(all: impl Iterator<Item = &'a Buckets>) -> Buckets {
    let mut merged = Buckets::new();
    for buckets in all {
        merged.resize(merged.len().max(buckets.len()), (None, 0));
        for (sum, (bound, count)) in merged.iter_mut().zip(buckets) {
            *sum = (*bound, sum.1 + count);
        }
    }
    merged
}

pub fn count(buckets: &Buckets) -> u64 {
    buckets.last().map_or(0, |(_, count)| *count)
}
