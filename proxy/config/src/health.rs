//! When targets of a service are passed over.

use serde::{Deserialize, Serialize};
use tollgate_config::{ConfigDuration, Spanned};

/// When targets are passed over.
#[derive(Debug, Clone, Default, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Health {
    /// By what transactions see.
    pub passive: Passive,
    /// By asking; default: nobody asks.
    pub active: Option<Active>,
    /// What happens when every target is out.
    pub all_out: AllOut,
}

/// What happens when every target of a service is out.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum AllOut {
    /// All are used as if none were out: a check that is wrong takes no API down.
    #[default]
    Serve,
    /// Requests are refused.
    Refuse,
}

/// Passing targets over by what transactions see.
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Passive {
    /// Failures in a row that put a target out; 0 = never.
    pub failures: u32,
    /// How long it is out the first time; doubles while it goes on failing.
    pub ejection: ConfigDuration,
    /// How long it is out at most.
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

/// Asking targets whether they are well.
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Active {
    /// What to GET; without it, a connection (with its TLS handshake) is enough.
    #[serde(default)]
    pub path: Option<Spanned<String>>,
    /// From one check to the next.
    #[serde(default = "default_interval")]
    pub interval: ConfigDuration,
    /// For one check.
    #[serde(default = "default_check_timeout")]
    pub timeout: ConfigDuration,
    /// Failed checks in a row that put a target out.
    #[serde(default = "default_unhealthy")]
    pub unhealthy: u32,
    /// Good checks in a row that bring it back.
    #[serde(default = "default_healthy")]
    pub healthy: u32,
    /// Statuses that are good; default: 200 to 399.
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
