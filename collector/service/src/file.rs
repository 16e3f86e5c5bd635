//! The configuration file: where in it each section stands, and what the sections say of each other.

use std::path::Path;

use serde::{Deserialize, Serialize};
use tollgate_collector::{AdminConfig, CollectorConfig, DeliveryConfig, IngestConfig, JournalConfig};
use tollgate_config::{ConfigError, Diagnostics, Loaded, load};
use tollgate_queries::QueriesConfig;
use tollgate_tls::{Identity, Roots};

use crate::sinks::Sinks;

/// The sink that cannot skip frames.
const TABLE_SINK: &str = "table";

/// The whole file.
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct CollectorFile {
    /// Where proxies send their batches.
    pub ingest: IngestConfig,
    /// Where batches are made durable.
    pub journal: JournalConfig,
    /// How sinks are served.
    #[serde(default)]
    pub delivery: DeliveryConfig,
    /// Metrics, health and state.
    #[serde(default)]
    pub admin: AdminConfig,
    /// Where records go from the journal.
    #[serde(default)]
    pub sinks: Sinks,
    /// Where questions are answered; needs `sinks.table`.
    #[serde(default)]
    pub queries: Option<QueriesConfig>,
}

/// Reads and validates a configuration. Binds, creates and connects nothing.
///
/// # Errors
/// Everything that is wrong with the file, each with its place, its key and the cure.
pub fn read(path: &Path) -> Result<Loaded<CollectorFile>, ConfigError> {
    load::<CollectorFile>(path)?.checked(CollectorFile::check)
}

impl CollectorFile {
    /// The collector's own part.
    pub fn collector(&self) -> CollectorConfig {
        CollectorConfig {
            ingest: self.ingest.clone(),
            journal: self.journal.clone(),
            delivery: self.delivery.clone(),
            admin: self.admin.clone(),
        }
    }

    /// Checks what types cannot express: within each section, and between them.
    pub(crate) fn check(&self, problems: &mut Diagnostics<'_>) {
        problems.section("", self.collector().check());
        self.check_skipping(problems);
        self.check_certificates(problems);
        self.sinks.check(problems);
        if let Some(queries) = &self.queries {
            if self.sinks.table.is_none() {
                problems.key("queries", "there is nothing to query without a table; add `sinks.table.dir`");
            }
            queries.check(problems);
        }
    }

    /// A sink that may skip must be there, and must not be the table's.
    fn check_skipping(&self, problems: &mut Diagnostics<'_>) {
        let present = self.sinks.names();
        for name in &self.delivery.skip_when_full {
            if !present.contains(&name.as_str()) {
                let problem = format!("there is no sink {name:?}; there are: {}", present.join(", "));
                problems.key("delivery.skip_when_full", problem);
            } else if name == TABLE_SINK {
                let problem = "`table` cannot skip: its frames stay in the journal for the hot rows, so skipping them would \
                               lose rows and free nothing; raise journal.high_water_bytes and journal.bytes_max instead";
                problems.key("delivery.skip_when_full", problem);
            }
        }
    }

    fn check_certificates(&self, problems: &mut Diagnostics<'_>) {
        let tls = &self.ingest.tls;
        if let Err(error) = Identity::load(&tls.certificate, &tls.key) {
            problems.key("ingest.tls.certificate", error.to_string());
        }
        if let Err(error) = Roots::load(&tls.client_ca) {
            problems.key("ingest.tls.client_ca", error.to_string());
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use serde_json::Value;

    use super::*;

    const DOCUMENT: &str = include_str!("../../../docs/collector.md");

    const SMALLEST: &str = "ingest: {tls: {certificate: c.pem, key: c.key, client_ca: ca.pem}}
journal: {dir: j}
sinks: {table: {dir: t}, metrics: {}, kafka: {brokers: [\"b:9092\"], tls: {}, sasl: {mechanism: PLAIN, username: u, password_file: p}}, spans: {endpoint: \"http://r:4318\"}}
queries: {}
";

    /// Calls `each` with the full name of every key that holds no further keys.
    fn leaves(value: &Value, name: &str, each: &mut impl FnMut(&str, &Value)) {
        match value {
            Value::Object(keys) if !keys.is_empty() => {
                for (key, value) in keys {
                    let name = if name.is_empty() { key.clone() } else { format!("{name}.{key}") };
                    leaves(value, &name, each);
                }
            }
            leaf => each(name, leaf),
        }
    }

    #[test]
    fn every_key_is_documented_with_its_default() {
        let file = tollgate_config::parse::<CollectorFile>(Path::new("c.yaml"), SMALLEST.into()).unwrap();
        let value = serde_json::to_value(&file.value).unwrap();
        leaves(&value, "", &mut |name, value| {
            let last = name.rsplit('.').next().unwrap();
            let rows: Vec<&str> = DOCUMENT
                .lines()
                .filter(|line| {
                    line.starts_with("| `")
                        && (line.contains(&format!("`{name}`")) || line.contains(&format!("`.{last}`")))
                })
                .collect();
            assert!(!rows.is_empty(), "docs/collector.md does not tell of `{name}`");
            let default = match value {
                Value::String(text) => text.clone(),
                Value::Number(number) => number.to_string(),
                _ => return,
            };
            let told = rows.iter().any(|row| {
                row.contains(&default)
                    || row.contains("required")
                    || row.contains("see `print-config`")
                    || row.contains("| off |")
                    || row.contains("| cores |")
            });
            assert!(told, "docs/collector.md gives another default than {default} for `{name}`: {rows:?}");
        });
    }
}
