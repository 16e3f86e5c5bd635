//! The configuration file of a query process.

use std::path::Path;

use serde::{Deserialize, Serialize};
use tollgate_collector::AdminConfig;
use tollgate_config::{ConfigDuration, ConfigError, ConfigPath, Diagnostics, Loaded, load};
use tollgate_queries::QueriesConfig;

/// The whole file.
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct QueryFile {
    /// The table that is read.
    pub table: ReadTable,
    /// Where questions are answered; the same section as in a collector's file.
    #[serde(default)]
    pub queries: QueriesConfig,
    /// Metrics and health.
    #[serde(default = "admin")]
    pub admin: AdminConfig,
}

/// The table that is read.
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct ReadTable {
    /// The table's folder: `sinks.table.dir` of the collector.
    pub dir: ConfigPath,
    /// How often its newest version is looked for.
    #[serde(default = "ReadTable::refresh_every")]
    pub refresh_every: ConfigDuration,
}

impl ReadTable {
    fn refresh_every() -> ConfigDuration {
        ConfigDuration::secs(1)
    }
}

/// Beside the collector's address, and not the same.
fn admin() -> AdminConfig {
    AdminConfig { address: std::net::SocketAddr::from(([127, 0, 0, 1], 9903)) }
}

/// Reads and validates a configuration. Binds, creates and connects nothing.
///
/// # Errors
/// Everything that is wrong with the file, each with its place, its key and the cure.
pub fn read(path: &Path) -> Result<Loaded<QueryFile>, ConfigError> {
    load::<QueryFile>(path)?.checked(QueryFile::check)
}

impl QueryFile {
    fn check(&self, problems: &mut Diagnostics<'_>) {
        if self.table.refresh_every.duration().is_zero() {
            problems.key("table.refresh_every", "it must be longer than 0; the default is 1s");
        }
        self.queries.check(problems);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DOCUMENT: &str = include_str!("../../../../docs/query-server.md");

    #[test]
    fn every_key_of_its_own_is_documented_with_its_default() {
        let file = tollgate_config::parse::<QueryFile>(Path::new("q.yaml"), "table: {dir: t}\n".into()).unwrap().value;
        let rows = [
            ("table.dir", "required".to_owned()),
            ("table.refresh_every", file.table.refresh_every.to_string()),
            ("admin.address", file.admin.address.to_string()),
        ];
        for (key, default) in rows {
            let row = DOCUMENT.lines().find(|line| line.starts_with(&format!("| `{key}`")));
            assert!(row.is_some_and(|row| row.contains(&default)), "{key}: {default} is not in {row:?}");
        }
        let value = serde_json::to_value(&file).unwrap();
        let keys = |name: &str| value[name].as_object().unwrap().len();
        assert_eq!((value.as_object().unwrap().len(), keys("table"), keys("admin")), (3, 2, 1), "a new key has a row");
    }

    #[test]
    fn mistakes_have_their_key() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("q.yaml");
        for (text, key) in [
            ("table: {}\n", "dir"),
            ("table: {dir: t, refresh_every: 0s}\n", "refresh_every"),
            ("table: {dir: t}\nqueries: {limits: {nice: 20}}\n", "nice"),
            ("table: {dir: t}\nsinks: {}\n", "sinks"),
        ] {
            std::fs::write(&path, text).unwrap();
            let error = read(&path).unwrap_err().to_string();
            assert!(error.contains(key), "{text}: {error}");
        }
    }
}
