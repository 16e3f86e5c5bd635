//! The keyed hash of presented credentials.

use serde::{Deserialize, Serialize};
use tollgate_config::{ConfigPath, Spanned};

/// Keyed hash of presented credentials.
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Hmac {
    /// File with the secret, at least 32 bytes (`openssl rand -hex 32`). Surrounding whitespace is removed.
    pub key_file: Spanned<ConfigPath>,
    /// Names the secret in each batch, so that it can be rotated.
    pub key_id: String,
    /// Headers that carry an API key.
    #[serde(default = "default_api_key_headers")]
    pub api_key_headers: Vec<Spanned<String>>,
}

fn default_api_key_headers() -> Vec<Spanned<String>> {
    vec![Spanned::nowhere("x-api-key".into()), Spanned::nowhere("apikey".into())]
}
