//! What an audit reads: the table and the collector over HTTP, and Kafka through the sink's own client.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, ensure};
use serde_json::json;
use tollgate_audit::{Answer, Consumed, Identity, SourceError, Status, StatusPage, Table, Topic};
use tollgate_sink_kafka::{KafkaConfig, consume_identities};

use crate::client::HttpClient;

/// Where the collector's admin endpoint is unless told otherwise.
const ADMIN_ADDRESS: &str = "http://127.0.0.1:9902";
/// Longest wait for it.
const ADMIN_TIMEOUT: Duration = Duration::from_secs(5);

impl Table for HttpClient {
    fn contents(&self) -> Result<Vec<u8>, SourceError> {
        Ok(self.get("/v1/table")?.body)
    }

    fn query(&self, sql: &str) -> Result<Answer, SourceError> {
        let answer = self.post("/v1/sql", &json!({ "sql": sql, "format": "arrow" }), Some(sql))?;
        Ok(Answer { rows: answer.body, warnings: answer.warnings })
    }
}

/// The collector's `/status`.
pub struct AdminPage {
    address: String,
    is_named: bool,
}

impl AdminPage {
    /// The page at an address, or at the usual one.
    pub fn new(address: Option<&str>) -> Self {
        let is_named = address.is_some();
        Self { address: address.unwrap_or(ADMIN_ADDRESS).trim_end_matches('/').to_owned(), is_named }
    }

    fn fetch(&self) -> anyhow::Result<Status> {
        let config =
            ureq::Agent::config_builder().timeout_global(Some(ADMIN_TIMEOUT)).http_status_as_error(false).build();
        let agent: ureq::Agent = config.into();
        let url = format!("{}/status", self.address);
        let mut response = agent
            .get(&url)
            .call()
            .with_context(|| format!("{url} does not answer: is this the admin address of a running collector?"))?;
        ensure!(
            response.status().is_success(),
            "{url} answers {}: is this the admin address of a collector?",
            response.status()
        );
        response
            .body_mut()
            .read_json()
            .with_context(|| format!("{url} answers something else than a collector's state"))
    }
}

impl StatusPage for AdminPage {
    fn address(&self) -> &str {
        &self.address
    }

    fn is_required(&self) -> bool {
        self.is_named
    }

    fn read(&self) -> Result<Status, SourceError> {
        Ok(self.fetch()?)
    }
}

/// The topic of the Kafka sink.
pub struct KafkaTopic(KafkaConfig);

impl KafkaTopic {
    /// Takes brokers as `host:port,…`, or a collector's configuration that says how they are reached.
    pub fn new(kafka: &str, topic: &str) -> anyhow::Result<Self> {
        let path = Path::new(kafka);
        if path.is_file() {
            let file = tollgate_collector_service::read(path).map_err(|error| anyhow::anyhow!("--kafka: {error}"))?;
            let config = file.value.sinks.kafka.with_context(|| format!("--kafka: {kafka} has no sinks.kafka"))?;
            return Ok(Self(config));
        }
        let looks_like_file = kafka.ends_with(".yaml") || kafka.ends_with(".yml") || kafka.contains('/');
        ensure!(
            !looks_like_file,
            "--kafka: there is no file {kafka}; give brokers as host:port, or a collector's configuration"
        );
        let brokers: Vec<&str> = kafka.split(',').map(str::trim).filter(|broker| !broker.is_empty()).collect();
        let fits = |broker: &&str| {
            broker.rsplit_once(':').is_some_and(|(host, port)| !host.is_empty() && port.parse::<u16>().is_ok())
        };
        ensure!(
            !brokers.is_empty() && brokers.iter().all(fits),
            "--kafka: `{kafka}` is no list of brokers such as kafka-1:9092,kafka-2:9092, and no configuration file"
        );
        Ok(Self(KafkaConfig { topic: topic.to_owned(), ..KafkaConfig::new(brokers) }))
    }
}

impl Topic for KafkaTopic {
    fn read(&self, from_ms: Option<i64>, each: &mut dyn FnMut(Identity<'_>)) -> Result<Consumed, SourceError> {
        let mut pass_on = |found: tollgate_sink_kafka::Identity<'_>| {
            each(Identity { producer: found.producer, seq: found.seq, time_ms: found.time_ms });
        };
        let consumed = consume_identities(&self.0, from_ms, &mut pass_on)
            .with_context(|| format!("reading topic {} of {}", self.0.topic, self.0.brokers.join(", ")))?;
        Ok(Consumed { messages: consumed.messages, without_identity: consumed.without_identity })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn brokers_are_told_from_files() {
        assert_eq!(KafkaTopic::new("a:9092, b:9093", "t").unwrap().0.brokers, ["a:9092", "b:9093"]);
        let said = |kafka: &str| KafkaTopic::new(kafka, "t").err().map(|error| error.to_string()).unwrap_or_default();
        assert!(said("collector.yaml").contains("there is no file collector.yaml"), "{}", said("collector.yaml"));
        assert!(said("kafka").contains("is no list of brokers"), "{}", said("kafka"));
    }
}
