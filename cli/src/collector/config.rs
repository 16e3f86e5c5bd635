//! The configuration file of `tollgate collector`.

use serde::{Deserialize, Serialize};
use tollgate_collector::{AdminConfig, CollectorConfig, DeliveryConfig, IngestConfig, JournalConfig};
use tollgate_config::{ByteSize, ConfigDuration, ConfigPath, Diagnostics, Spanned};
use tollgate_queries::Limits;
use tollgate_sink_kafka::KafkaConfig;
use tollgate_sink_metrics::MetricsConfig;
use tollgate_sink_spans::SpansConfig;
use tollgate_sink_table::TableConfig;
use tollgate_tls::{Identity, Roots};

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
    pub queries: Option<Queries>,
}

/// Where records go from the journal. A sink that is absent is off.
#[derive(Debug, Clone, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Sinks {
    /// The Delta Lake table, and the hot rows in front of it.
    #[serde(default)]
    pub table: Option<TableSection>,
    /// Apache Kafka.
    #[serde(default)]
    pub kafka: Option<KafkaConfig>,
    /// Metrics derived from records.
    #[serde(default)]
    pub metrics: Option<MetricsConfig>,
    /// Transactions as spans, over OTLP.
    #[serde(default)]
    pub spans: Option<SpansConfig>,
}

/// The table.
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct TableSection {
    /// The table's folder; created if absent.
    pub dir: ConfigPath,
    /// The longest that rows are held back to make larger commits; they are queryable all the while.
    #[serde(default = "TableSection::commit_every")]
    pub commit_every: ConfigDuration,
    /// Rows held at which a commit is made at once.
    #[serde(default = "TableSection::commit_rows_max")]
    pub commit_rows_max: usize,
    /// Memory of the rows that are not in the table yet; past it the oldest cannot be queried until they are.
    #[serde(default = "TableSection::hot_bytes_max")]
    pub hot_bytes_max: ByteSize,
    /// How often the small files of finished hours are merged; `null` = never.
    #[serde(default = "TableSection::compact_every")]
    pub compact_every: Option<ConfigDuration>,
    /// Days of records that are kept, today among them; absent = all.
    #[serde(default)]
    pub keep_days: Option<u32>,
}

impl TableSection {
    fn defaults() -> TableConfig {
        TableConfig::new("")
    }

    fn commit_every() -> ConfigDuration {
        ConfigDuration(Self::defaults().commit_every)
    }

    fn commit_rows_max() -> usize {
        Self::defaults().commit_rows_max
    }

    fn hot_bytes_max() -> ByteSize {
        ByteSize(Self::defaults().hot_bytes_max as u64)
    }

    fn compact_every() -> Option<ConfigDuration> {
        Self::defaults().compact_every.map(ConfigDuration)
    }

    /// The table's own configuration, fed by this journal.
    pub fn table(&self, journal: String) -> TableConfig {
        TableConfig {
            journal,
            commit_every: self.commit_every.0,
            commit_rows_max: self.commit_rows_max,
            hot_bytes_max: usize::try_from(self.hot_bytes_max.0).unwrap_or(usize::MAX),
            compact_every: self.compact_every.map(|span| span.0),
            keep_days: self.keep_days,
            ..TableConfig::new(self.dir.as_path())
        }
    }
}

/// The query doors.
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Queries {
    /// The PostgreSQL wire protocol.
    #[serde(default = "Queries::postgres")]
    pub postgres: DoorConfig,
    /// HTTP and JSON.
    #[serde(default = "Queries::http")]
    pub http: DoorConfig,
    /// What one query, and all together, may use.
    #[serde(default)]
    pub limits: QueryLimits,
}

impl Queries {
    fn postgres() -> DoorConfig {
        DoorConfig { address: Spanned::nowhere("127.0.0.1:15432".into()) }
    }

    fn http() -> DoorConfig {
        DoorConfig { address: Spanned::nowhere("127.0.0.1:8088".into()) }
    }
}

/// One door.
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct DoorConfig {
    /// `ip:port`. The doors ask nobody who they are: keep them on the loopback interface, or behind something that asks.
    pub address: Spanned<String>,
}

/// What one query, and all together, may use.
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct QueryLimits {
    /// Longest that one query may run.
    pub time_max: ConfigDuration,
    /// Memory of all running queries.
    pub memory_bytes_max: ByteSize,
    /// Rows in one answer.
    pub rows_max: usize,
    /// Queries that run at the same time.
    pub concurrent_max: usize,
    /// Queries that wait for their turn; past it they are refused.
    pub queued_max: usize,
}

impl Default for QueryLimits {
    fn default() -> Self {
        let limits = Limits::default();
        Self {
            time_max: ConfigDuration(limits.time_max),
            memory_bytes_max: ByteSize(limits.memory_bytes_max as u64),
            rows_max: limits.rows_max,
            concurrent_max: limits.concurrent_max,
            queued_max: limits.queued_max,
        }
    }
}

impl QueryLimits {
    /// The engine's own limits.
    pub fn engine(&self) -> Limits {
        Limits {
            time_max: self.time_max.0,
            memory_bytes_max: usize::try_from(self.memory_bytes_max.0).unwrap_or(usize::MAX),
            rows_max: self.rows_max,
            concurrent_max: self.concurrent_max,
            queued_max: self.queued_max,
            ..Limits::default()
        }
    }
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

    /// Checks what no type can say.
    pub fn check(&self, problems: &mut Diagnostics<'_>) {
        problems.section("", self.collector().validate());
        let sinks = [
            ("table", self.sinks.table.is_some()),
            ("kafka", self.sinks.kafka.is_some()),
            ("metrics", self.sinks.metrics.is_some()),
            ("spans", self.sinks.spans.is_some()),
        ];
        let present: Vec<&str> = sinks.iter().filter(|(_, is_on)| *is_on).map(|(name, _)| *name).collect();
        for name in &self.delivery.skip_when_full {
            if !present.contains(&name.as_str()) {
                let problem = format!("there is no sink {name:?}; there are: {}", present.join(", "));
                problems.key("delivery.skip_when_full", problem);
            } else if name == "table" {
                let problem = "`table` cannot skip: its frames stay in the journal for the hot rows, so skipping them would \
                               lose rows and free nothing; raise journal.high_water_bytes and journal.bytes_max instead";
                problems.key("delivery.skip_when_full", problem);
            }
        }
        let tls = &self.ingest.tls;
        if let Err(error) = Identity::load(&tls.certificate, &tls.key) {
            problems.key("ingest.tls.certificate", error.to_string());
        }
        if let Err(error) = Roots::load(&tls.client_ca) {
            problems.key("ingest.tls.client_ca", error.to_string());
        }
        if let Some(queries) = &self.queries {
            if self.sinks.table.is_none() {
                problems.key("queries", "there is nothing to query without a table; add `sinks.table.dir`");
            }
            for door in [&queries.postgres, &queries.http] {
                if door.address.parse::<std::net::SocketAddr>().is_err() {
                    problems
                        .at(&door.address, format!("`{}` is no address; write it as 127.0.0.1:8088", *door.address));
                }
            }
        }
        problems.section("sinks.kafka", self.sinks.kafka.iter().filter_map(|kafka| kafka.check().err()));
        problems.section("sinks.spans", self.sinks.spans.iter().filter_map(|spans| spans.check().err()));
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
