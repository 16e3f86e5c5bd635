//! Metrics as data, for programs that do not parse the Prometheus text format.

use std::collections::BTreeMap;

use prometheus::Registry;
use prometheus::proto::{Metric, MetricType};
use serde::{Deserialize, Serialize};

/// The present value of one time series.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Sample {
    /// The metric.
    pub name: String,
    /// Its labels.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    /// The value of a counter or a gauge; of a histogram, the sum of its observations.
    pub value: f64,
    /// Only of a histogram: the number of observations up to each bound, by rising bounds; the last has no bound.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub buckets: Vec<(Option<f64>, u64)>,
}

/// Returns the counters, gauges and histograms of a registry; there are no other kinds.
#[must_use]
pub fn samples(registry: &Registry) -> Vec<Sample> {
    let mut samples = Vec::new();
    for family in registry.gather() {
        for metric in family.get_metric() {
            let (value, buckets) = match family.get_field_type() {
                MetricType::COUNTER => (metric.get_counter().get_value(), Vec::new()),
                MetricType::GAUGE => (metric.get_gauge().get_value(), Vec::new()),
                MetricType::HISTOGRAM => (metric.get_histogram().get_sample_sum(), buckets(metric)),
                MetricType::SUMMARY | MetricType::UNTYPED => continue,
            };
            let labels = metric.get_label().iter().map(|l| (l.name().to_owned(), l.value().to_owned())).collect();
            samples.push(Sample { name: family.name().to_owned(), labels, value, buckets });
        }
    }
    samples
}

fn buckets(metric: &Metric) -> Vec<(Option<f64>, u64)> {
    let histogram = metric.get_histogram();
    let bounded = histogram.get_bucket().iter().map(|b| (Some(b.upper_bound()), b.cumulative_count()));
    bounded.chain([(None, histogram.get_sample_count())]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{counter_vec, histogram, names};

    #[test]
    fn counters_and_histograms_are_told() {
        let registry = Registry::new();
        counter_vec(&registry, names::PROXY_ERRORS_TOTAL).unwrap().with_label_values(&["dns_failure"]).inc_by(3);
        let acks = histogram(&registry, names::INGEST_ACK_SECONDS).unwrap();
        acks.observe(0.5);
        acks.observe(1e6);
        let all = samples(&registry);
        let errors = all.iter().find(|sample| sample.name == names::PROXY_ERRORS_TOTAL).unwrap();
        assert_eq!((errors.value, errors.labels["error_class"].as_str()), (3.0, "dns_failure"));
        let acks = all.iter().find(|sample| sample.name == names::INGEST_ACK_SECONDS).unwrap();
        assert_eq!((acks.value, acks.buckets.last()), (1_000_000.5, Some(&(None, 2))));
        for (bound, count) in &acks.buckets {
            let expected = bound.map_or(2, |bound| u64::from(bound >= 0.5));
            assert_eq!(*count, expected, "{bound:?}");
        }
    }
}
