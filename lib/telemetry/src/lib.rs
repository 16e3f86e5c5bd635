//! Metrics and logs of the processes.
//!
//! Every metric is one line of the registry in [`names`], with its type, labels, sentence and the process that shows
//! it. The constructors of this crate look a metric up by its name and refuse one that is not there, or that is asked
//! for with another type; so a dashboard or an alert can be checked against the registry, and `docs/metrics.md` is
//! written from it.
//!
//! ```
//! use tollgate_telemetry::{counter_vec, exposition, names};
//!
//! let registry = prometheus::Registry::new();
//! let errors = counter_vec(&registry, names::PROXY_ERRORS_TOTAL)?;
//! errors.with_label_values(&["connect_timeout"]).inc();
//! assert!(exposition(&registry).contains("tollgate_proxy_errors_total{error_class=\"connect_timeout\"} 1"));
//! # Ok::<(), tollgate_telemetry::MetricError>(())
//! ```
//!
//! A label whose values come from outside is capped with [`CappedLabels`]: past the cap everything counts as
//! [`OVERFLOW`]. Logs are for the operator of a process; a peer's behaviour is data in the record, never a log line.

mod capped;
mod construct;
mod document;
mod exposition;
mod logging;
pub mod names;
mod samples;

pub use capped::{CappedLabels, OVERFLOW};
pub use construct::{
    MetricError, counter, counter_vec, gauge, gauge_vec, histogram, histogram_vec, int_gauge, int_gauge_vec,
    register_build_info,
};
pub use document::metrics_document;
pub use exposition::{CONTENT_TYPE, exposition};
pub use logging::{LogError, init_logging, set_log_filter};
pub use names::{ALL, Kind, Metric, Process, metric};
pub use samples::{Sample, samples};
