//! How the client proves to the brokers who it is, and they to it.

use serde::{Deserialize, Serialize};
use tollgate_config::{ConfigPath, Diagnostic};

/// Encryption of the connections to the brokers. All files are PEM.
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct TlsConfig {
    /// Certificate authorities that sign the brokers' certificates; absent = those of the system.
    #[serde(default)]
    pub ca: Option<ConfigPath>,
    /// The client's certificate chain, for brokers that ask for one.
    #[serde(default)]
    pub certificate: Option<ConfigPath>,
    /// The key of `certificate`.
    #[serde(default)]
    pub key: Option<ConfigPath>,
    /// Whether the brokers' certificates and names are checked. `false` is for trials only.
    #[serde(default = "default_verify")]
    pub verify: bool,
}

/// A name and a password for the brokers.
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct SaslConfig {
    /// How the password is proved.
    #[serde(default)]
    pub mechanism: Mechanism,
    /// The name.
    pub username: String,
    /// The file that holds the password and nothing else; a line end after it does not count. It is read again at
    /// every reconnect of the sink, so that a password can be changed without a restart.
    pub password_file: ConfigPath,
}

/// How a SASL password is proved to the brokers.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, Serialize)]
pub enum Mechanism {
    /// The password itself; use it with TLS only.
    #[serde(rename = "PLAIN")]
    Plain,
    /// Salted challenge and response over SHA-256.
    #[serde(rename = "SCRAM-SHA-256")]
    ScramSha256,
    /// Salted challenge and response over SHA-512.
    #[default]
    #[serde(rename = "SCRAM-SHA-512")]
    ScramSha512,
}

impl SaslConfig {
    pub(super) fn password(&self) -> Result<String, Diagnostic> {
        let text = std::fs::read_to_string(&self.password_file).map_err(|error| {
            let problem = format!("{} cannot be read: {error}", self.password_file.display());
            Diagnostic::of_key("sasl.password_file", problem)
        })?;
        Ok(text.trim_end_matches(['\r', '\n']).to_owned())
    }
}

impl Mechanism {
    /// The name that SASL knows it by.
    pub fn name(self) -> &'static str {
        match self {
            Self::Plain => "PLAIN",
            Self::ScramSha256 => "SCRAM-SHA-256",
            Self::ScramSha512 => "SCRAM-SHA-512",
        }
    }
}

fn default_verify() -> bool {
    true
}
