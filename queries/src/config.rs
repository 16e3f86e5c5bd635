//! The queries' section of a configuration file: the query servers, and what queries may use.

use std::net::SocketAddr;
use std::path::Path;

use serde::{Deserialize, Serialize};
use tollgate_config::{ConfigPath, Diagnostics, Spanned};
use tollgate_record::redact::TokenHasher;

use crate::engine::NICE_MAX;
use crate::http::HttpServer;
use crate::limits::{Limits, QueryLimits};
use crate::postgres::PgServer;
use crate::service::QueryService;

/// Where queries are answered, and what they may use.
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct QueriesConfig {
    /// The PostgreSQL wire protocol.
    pub postgres: ServerConfig,
    /// HTTP and JSON.
    pub http: ServerConfig,
    /// Whether a GROUP BY may be answered from the roll-ups beside the table's files. The answers are the same without them.
    pub rollups: bool,
    /// Bounds of one query, and of all together.
    pub limits: QueryLimits,
    /// The key behind `token_hmac` in SQL; without it that function says what it lacks.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub token_hmac: Option<TokenHmacKey>,
}

/// The key of the gateways' `hmac`: the same file, or a copy.
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct TokenHmacKey {
    /// File with the secret, at least 32 bytes. Surrounding whitespace is removed.
    pub key_file: Spanned<ConfigPath>,
    /// Names the secret, as in the gateways' configuration.
    pub key_id: String,
}

impl TokenHmacKey {
    /// Reads the key.
    ///
    /// # Errors
    /// What is wrong with the file.
    pub fn load(&self) -> Result<TokenHasher, String> {
        let file: &Path = &self.key_file;
        let secret = std::fs::read(file)
            .map_err(|error| format!("{}: {error}; copy the `hmac.key_file` of the gateways there", file.display()))?;
        TokenHasher::new(&self.key_id, secret.trim_ascii()).map_err(|error| error.to_string())
    }
}

impl Default for QueriesConfig {
    fn default() -> Self {
        Self {
            postgres: ServerConfig::at("127.0.0.1:15432"),
            http: ServerConfig::at("127.0.0.1:8088"),
            rollups: true,
            limits: QueryLimits::default(),
            token_hmac: None,
        }
    }
}

impl QueriesConfig {
    /// Checks what no type can say.
    pub fn check(&self, diagnostics: &mut Diagnostics<'_>) {
        for server in [&self.postgres, &self.http] {
            if server.socket_address().is_none() {
                let address = &server.address;
                diagnostics.at(address, format!("`{}` is no address; write it as 127.0.0.1:8088", **address));
            }
        }
        if self.limits.nice > NICE_MAX {
            diagnostics.key("queries.limits.nice", format!("0 is the process's own priority, {NICE_MAX} the lowest"));
        }
        if let Some(key) = &self.token_hmac
            && let Err(problem) = key.load()
        {
            diagnostics.at(&key.key_file, problem);
        }
    }

    /// The key behind `token_hmac`, if there is one. One that [`QueriesConfig::check`] refuses is left out.
    pub fn token_hasher(&self) -> Option<TokenHasher> {
        self.token_hmac.as_ref().and_then(|key| key.load().ok())
    }

    /// The bounds of an engine.
    pub fn engine_limits(&self) -> Limits {
        Limits { rollups: self.rollups, ..Limits::from(&self.limits) }
    }

    /// The query servers, in the order in which they are started. One whose address [`QueriesConfig::check`] refuses is
    /// left out.
    pub fn services(&self) -> Vec<Box<dyn QueryService>> {
        let postgres = self.postgres.socket_address().map(|address| Box::new(PgServer { address }) as _);
        let http = self.http.socket_address().map(|address| Box::new(HttpServer { address }) as _);
        [postgres, http].into_iter().flatten().collect()
    }
}

/// One query server.
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct ServerConfig {
    /// `ip:port`. The query servers authenticate nobody: keep them on the loopback interface, or behind something that does.
    pub address: Spanned<String>,
}

impl ServerConfig {
    fn at(address: &str) -> Self {
        Self { address: Spanned::nowhere(address.into()) }
    }

    fn socket_address(&self) -> Option<SocketAddr> {
        self.address.parse().ok()
    }
}
