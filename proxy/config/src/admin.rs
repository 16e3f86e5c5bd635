//! The admin endpoint.

use serde::{Deserialize, Serialize};
use tollgate_config::Spanned;

/// The admin endpoint.
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Admin {
    /// `ip:port` of the admin endpoint.
    pub address: Spanned<String>,
}

impl Default for Admin {
    fn default() -> Self {
        Self { address: Spanned::nowhere("127.0.0.1:9901".into()) }
    }
}
