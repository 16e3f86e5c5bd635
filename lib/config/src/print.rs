//! From a typed value back to text.

use serde::Serialize;

/// Prints an effective configuration as YAML that [`load`](crate::load) accepts.
///
/// # Errors
/// A value that YAML cannot express, such as a map with structured keys.
pub fn to_yaml(value: &impl Serialize) -> Result<String, PrintError> {
    serde_saphyr::to_string(value).map_err(|error| PrintError(error.to_string()))
}

/// A configuration that cannot be written as YAML.
#[derive(Debug, thiserror::Error)]
#[error("the configuration cannot be printed as YAML: {0}")]
pub struct PrintError(String);
