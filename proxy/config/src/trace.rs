//! Distributed tracing.

use serde::{Deserialize, Serialize};
use tollgate_config::Spanned;

/// Distributed tracing.
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Trace {
    /// Share of requests without a traceparent for which a trace is begun, 0 to 1. A caller's traceparent is always
    /// continued.
    pub sampling: Spanned<f64>,
}

impl Default for Trace {
    fn default() -> Self {
        Self { sampling: Spanned::nowhere(0.0) }
    }
}
