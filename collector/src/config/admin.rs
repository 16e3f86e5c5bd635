//! Metrics, health and status: the section `admin`.

use std::net::SocketAddr;

use serde::{Deserialize, Serialize};

/// Metrics, health and status.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct AdminConfig {
    /// Address of `/metrics`, `/healthz`, `/readyz` and `/status`.
    pub address: SocketAddr,
}

impl Default for AdminConfig {
    fn default() -> Self {
        Self { address: SocketAddr::from(([127, 0, 0, 1], 9902)) }
    }
}
