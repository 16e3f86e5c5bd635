//! Rules by which targets of a service are skipped.

use serde::{Deserialize, Serialize};
use tollgate_config::{ConfigDuration, Spanned};

/// Rules by which targets are skipped.
#[derive(Debug, Clone, Default, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Health {
    /// Rules on failures of transactions.
    pub passive: Passive,
    /// Rules on failures of checks; default: no checks.
    pub active: Option<Active>,
    /// Behaviour when every target is out.
    pub all_out: AllOut,
}

/// Behaviour when every target of a service is out.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum AllOut {
    /// All targets are used as if none were out, so that a wrong check takes no API down.
    #[default]
    Serve,
    /// Requests are refused.
    Refuse,
}

/// Rules on failures of transactions.
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Passive {
    /// Failures in a row that put a target out; 0 = never.
    pub failures: u32,
    /// Time that a target is out the first time. It doubles while the target goes on failing.
    pub ejection: ConfigDuration,
    /// Longest time that a target is out.
    pub ejection_max: ConfigDuration,
    /// Percentage of the targets that may be out at one time.
    pub ejected_percent_max: Spanned<u32>,
}

impl Default for Passive {
    fn default() -> Self {
        Self {
            failures: 5,
            ejection: ConfigDuration::secs(10),
            ejection_max: ConfigDuration::mins(5),
            ejected_percent_max: Spanned::nowhere(50),
        }
    }
}

/// Checks of every target at intervals.
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Active {
    /// Path of a GET; without it the check only connects, with the TLS handshake.
    #[serde(default)]
    pub path: Option<Spanned<String>>,
    /// Time from one check to the next.
    #[serde(default = "default_interval")]
    pub interval: ConfigDuration,
    /// Time for one check.
    #[serde(default = "default_check_timeout")]
    pub timeout: ConfigDuration,
    /// Failed checks in a row that put a target out.
    #[serde(default = "default_unhealthy")]
    pub unhealthy: u32,
    /// Successful checks in a row that bring a target back.
    #[serde(default = "default_healthy")]
    pub healthy: u32,
    /// Statuses of a successful check; default: 200 to 399.
    #[serde(default)]
    pub statuses: Vec<u16>,
}

fn default_interval() -> ConfigDuration {
    ConfigDuration::secs(10)
}
fn default_check_timeout() -> ConfigDuration {
    ConfigDuration::secs(2)
}
fn default_unhealthy() -> u32 {
    3
}
fn default_healthy() -> u32 {
    2
}
