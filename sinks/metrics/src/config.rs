//! What the configuration file says about metrics.

use serde::{Deserialize, Serialize};
use tollgate_config::{ConfigDuration, Diagnostic};

/// Bounds of the metrics that are derived from records: the `metrics` key under `sinks`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct MetricsConfig {
    /// Services with series of their own; the rest counts as `_other`. A service has about 25 series, and one more for each kind of error.
    #[serde(default = "default_services_max")]
    pub services_max: usize,
    /// Certificate subjects with a series of their own: those that expire soonest.
    #[serde(default = "default_subjects_max")]
    pub subjects_max: usize,
    /// Producers whose `seq` is followed at a time. A restarted proxy is a new producer for each of its workers.
    #[serde(default = "default_producers_max")]
    pub producers_max: usize,
    /// How old a hole in `seq` must be to count as missing: older than a transaction can get (the proxies' `timeouts.total`).
    #[serde(default = "default_missing_grace")]
    pub missing_grace: ConfigDuration,
    /// Holes kept of one producer.
    #[serde(default = "default_holes_max")]
    pub holes_max: usize,
    /// How long a producer may be silent before it is forgotten.
    #[serde(default = "default_producer_idle")]
    pub producer_idle: ConfigDuration,
    /// How long a certificate that was presented counts for the expiry of its subject.
    #[serde(default = "default_expiry_window")]
    pub expiry_window: ConfigDuration,
}

impl Default for MetricsConfig {
    fn default() -> Self {
        Self {
            services_max: default_services_max(),
            subjects_max: default_subjects_max(),
            producers_max: default_producers_max(),
            missing_grace: default_missing_grace(),
            holes_max: default_holes_max(),
            producer_idle: default_producer_idle(),
            expiry_window: default_expiry_window(),
        }
    }
}

impl MetricsConfig {
    /// Checks what types cannot express. There is nothing: every value can be used.
    pub fn check(&self) -> Vec<Diagnostic> {
        Vec::new()
    }
}

fn default_services_max() -> usize {
    2_000
}

fn default_subjects_max() -> usize {
    1_000
}

fn default_producers_max() -> usize {
    512
}

fn default_missing_grace() -> ConfigDuration {
    ConfigDuration::secs(11 * 60)
}

fn default_holes_max() -> usize {
    4_096
}

fn default_producer_idle() -> ConfigDuration {
    ConfigDuration::hours(1)
}

fn default_expiry_window() -> ConfigDuration {
    ConfigDuration::hours(24)
}
