//! A certificate with its key.

use serde::{Deserialize, Serialize};
use tollgate_config::{ConfigPath, Spanned};

/// A certificate chain and its key.
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct KeyPair {
    /// PEM file, leaf first.
    pub certificate: Spanned<ConfigPath>,
    /// PEM file.
    pub key: Spanned<ConfigPath>,
}
