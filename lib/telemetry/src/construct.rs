//! Makes and registers the metrics of the registry, and no others.

use prometheus::{
    Gauge, GaugeVec, Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts,
    Registry,
};

use crate::names::{self, Kind, Metric};

/// Why a metric could not be made.
#[derive(Debug, thiserror::Error)]
pub enum MetricError {
    /// The name is not in the registry.
    #[error("metric `{0}` is not in the registry; declare it in tollgate_telemetry::names")]
    Unknown(String),
    /// The registry of names declares the metric with another type.
    #[error("metric `{name}` is a {is}, not a {asked}")]
    WrongKind {
        /// The metric.
        name: &'static str,
        /// Its type in the registry.
        is: &'static str,
        /// The type that was asked for.
        asked: &'static str,
    },
    /// The registry of names declares the metric with labels and the caller asks for none, or the reverse.
    #[error("metric `{name}` has the labels {labels:?}; use the constructor that {}", if labels.is_empty() { "takes none" } else { "ends in _vec" })]
    WrongLabels {
        /// The metric.
        name: &'static str,
        /// Its labels in the registry.
        labels: &'static [&'static str],
    },
    /// The metric was registered before, in the same process.
    #[error("metric `{name}` cannot be registered: {source}")]
    Register {
        /// The metric.
        name: &'static str,
        /// What Prometheus says.
        source: prometheus::Error,
    },
}

/// Makes a counter without labels.
///
/// # Errors
/// The registry of names does not declare such a metric, or it was made before.
pub fn counter(registry: &Registry, name: &str) -> Result<IntCounter, MetricError> {
    let metric = declared(name, "counter", false)?;
    register(registry, metric, IntCounter::with_opts(opts(metric)))
}

/// Makes a counter with the declared labels.
///
/// # Errors
/// The registry of names does not declare such a metric, or it was made before.
pub fn counter_vec(registry: &Registry, name: &str) -> Result<IntCounterVec, MetricError> {
    let metric = declared(name, "counter", true)?;
    register(registry, metric, IntCounterVec::new(opts(metric), metric.labels))
}

/// Makes a gauge of fractions without labels.
///
/// # Errors
/// The registry of names does not declare such a metric, or it was made before.
pub fn gauge(registry: &Registry, name: &str) -> Result<Gauge, MetricError> {
    let metric = declared(name, "gauge", false)?;
    register(registry, metric, Gauge::with_opts(opts(metric)))
}

/// Makes a gauge of fractions with the declared labels.
///
/// # Errors
/// The registry of names does not declare such a metric, or it was made before.
pub fn gauge_vec(registry: &Registry, name: &str) -> Result<GaugeVec, MetricError> {
    let metric = declared(name, "gauge", true)?;
    register(registry, metric, GaugeVec::new(opts(metric), metric.labels))
}

/// Makes a gauge of whole numbers without labels.
///
/// # Errors
/// The registry of names does not declare such a metric, or it was made before.
pub fn int_gauge(registry: &Registry, name: &str) -> Result<IntGauge, MetricError> {
    let metric = declared(name, "gauge", false)?;
    register(registry, metric, IntGauge::with_opts(opts(metric)))
}

/// Makes a gauge of whole numbers with the declared labels.
///
/// # Errors
/// The registry of names does not declare such a metric, or it was made before.
pub fn int_gauge_vec(registry: &Registry, name: &str) -> Result<IntGaugeVec, MetricError> {
    let metric = declared(name, "gauge", true)?;
    register(registry, metric, IntGaugeVec::new(opts(metric), metric.labels))
}

/// Makes a histogram without labels, with the declared buckets.
///
/// # Errors
/// The registry of names does not declare such a metric, or it was made before.
pub fn histogram(registry: &Registry, name: &str) -> Result<Histogram, MetricError> {
    let metric = declared(name, "histogram", false)?;
    register(registry, metric, Histogram::with_opts(histogram_opts(metric)))
}

/// Makes a histogram with the declared labels and buckets.
///
/// # Errors
/// The registry of names does not declare such a metric, or it was made before.
pub fn histogram_vec(registry: &Registry, name: &str) -> Result<HistogramVec, MetricError> {
    let metric = declared(name, "histogram", true)?;
    register(registry, metric, HistogramVec::new(histogram_opts(metric), metric.labels))
}

/// Registers `tollgate_build_info{version, binary} 1`.
///
/// # Errors
/// The metric was registered before.
pub fn register_build_info(registry: &Registry, version: &str, binary: &str) -> Result<(), MetricError> {
    int_gauge_vec(registry, names::BUILD_INFO)?.with_label_values(&[version, binary]).set(1);
    Ok(())
}

fn declared(name: &str, asked: &'static str, labelled: bool) -> Result<&'static Metric, MetricError> {
    let metric = names::metric(name).ok_or_else(|| MetricError::Unknown(name.to_owned()))?;
    if metric.kind.as_str() != asked {
        return Err(MetricError::WrongKind { name: metric.name, is: metric.kind.as_str(), asked });
    }
    if metric.labels.is_empty() == labelled {
        return Err(MetricError::WrongLabels { name: metric.name, labels: metric.labels });
    }
    Ok(metric)
}

fn opts(metric: &Metric) -> Opts {
    Opts::new(metric.name, metric.help)
}

fn histogram_opts(metric: &Metric) -> HistogramOpts {
    let buckets = match metric.kind {
        Kind::Histogram(buckets) => buckets.to_vec(),
        Kind::Counter | Kind::Gauge => Vec::new(),
    };
    HistogramOpts::new(metric.name, metric.help).buckets(buckets)
}

#[allow(
    clippy::disallowed_methods,
    reason = "the one place that registers: every metric comes here from the registry of names"
)]
fn register<C: prometheus::core::Collector + Clone + 'static>(
    registry: &Registry,
    metric: &Metric,
    made: prometheus::Result<C>,
) -> Result<C, MetricError> {
    let name = metric.name;
    let made = made.map_err(|source| MetricError::Register { name, source })?;
    registry.register(Box::new(made.clone())).map_err(|source| MetricError::Register { name, source })?;
    Ok(made)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{ALL, exposition};

    #[test]
    fn every_metric_of_the_registry_can_be_made() {
        let registry = Registry::new();
        for metric in ALL {
            let made = match (metric.kind, metric.labels.is_empty()) {
                (Kind::Counter, true) => counter(&registry, metric.name).map(drop),
                (Kind::Counter, false) => counter_vec(&registry, metric.name).map(drop),
                (Kind::Gauge, true) => int_gauge(&registry, metric.name).map(drop),
                (Kind::Gauge, false) => gauge_vec(&registry, metric.name).map(drop),
                (Kind::Histogram(_), true) => histogram(&registry, metric.name).map(drop),
                (Kind::Histogram(_), false) => histogram_vec(&registry, metric.name).map(drop),
            };
            made.unwrap_or_else(|error| panic!("{error}"));
        }
        assert!(exposition(&registry).contains("# TYPE tollgate_proxy_ship_duration_seconds histogram"));
    }

    #[test]
    fn what_is_not_in_the_registry_cannot_be_made() {
        let registry = Registry::new();
        let error = counter(&registry, "tollgate_surprise_total").unwrap_err();
        assert!(matches!(error, MetricError::Unknown(_)), "{error}");
        let error = int_gauge(&registry, names::INGEST_RECORDS_TOTAL).unwrap_err();
        assert_eq!(error.to_string(), "metric `tollgate_ingest_records_total` is a counter, not a gauge");
        let error = counter(&registry, names::PROXY_ERRORS_TOTAL).unwrap_err();
        assert!(error.to_string().contains("ends in _vec"), "{error}");
        let error = gauge_vec(&registry, names::PROXY_INFLIGHT).unwrap_err();
        assert!(error.to_string().contains("takes none"), "{error}");
    }

    #[test]
    fn a_second_registration_says_which_metric_it_was() {
        let registry = Registry::new();
        register_build_info(&registry, "0.1.0", "tollgate").unwrap();
        let error = register_build_info(&registry, "0.1.0", "tollgate").unwrap_err();
        assert!(matches!(error, MetricError::Register { name: "tollgate_build_info", .. }), "{error}");
    }
}
