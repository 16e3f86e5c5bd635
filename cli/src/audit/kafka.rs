//! What Kafka has: the identities in the headers of a range of messages, held against the table.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::Context;
use serde::Serialize;
use tollgate_queries::account::Numbers;
use tollgate_record::runs::Runs;
use tollgate_sink_kafka::{Identity, KafkaConfig, consume_identities};

use super::SeenBy;
use super::aside::Letters;
use super::range::Range;
use super::status::Status;
use super::verdict::{Verdict, against_kafka, expected_in_kafka};
use crate::args::AuditArgs;

/// Messages may carry a time that is earlier than their record's by this, in milliseconds: it is cut to them.
const EARLIER_MS: i64 = 60_000;

/// What was consumed.
#[derive(Debug, Default, Serialize)]
pub struct Cost {
    /// Messages read.
    pub messages: u64,
    /// Messages without the headers of an identity: not ours.
    pub without_identity: u64,
    /// Producers in Kafka of which the table has nothing in the range.
    pub unknown_producers: u64,
}

/// Consumes what the range needs, and adds to each producer's verdict what Kafka has of it.
pub fn hold_against(
    kafka: &str,
    args: &AuditArgs,
    range: &Range,
    status: &Status,
    letters: &Letters,
    seen: &SeenBy,
    producers: &mut [Verdict],
) -> anyhow::Result<Cost> {
    let config = config(kafka, args)?;
    let mut consumed: BTreeMap<String, Numbers> = BTreeMap::new();
    let from_ms = range.since_us.map(|since| since / 1_000 - EARLIER_MS);
    let mut each = |identity: Identity<'_>| match consumed.get_mut(identity.producer) {
        Some(numbers) => numbers.add(identity.seq),
        None => consumed.entry(identity.producer.to_owned()).or_default().add(identity.seq),
    };
    let read = consume_identities(&config, from_ms, &mut each)
        .with_context(|| format!("reading topic {} of {}", config.topic, config.brokers.join(", ")))?;
    let known = |name: &String| producers.iter().any(|told| told.producer == *name);
    let unknown_producers = consumed.keys().filter(|name| !known(name)).count() as u64;
    let is_behind = status.is_behind("kafka").unwrap_or(false);
    for told in producers {
        let Some(seen) = seen.get(&told.producer) else { continue };
        let expected = expected_in_kafka(seen, told);
        let numbers = consumed.remove(&told.producer).unwrap_or_default();
        let letters: Runs = letters.of("kafka", &told.producer);
        told.kafka = Some(against_kafka(&expected, &numbers, told, seen.settled, &letters, is_behind));
    }
    Ok(Cost { messages: read.messages, without_identity: read.without_identity, unknown_producers })
}

/// Brokers as `host:port,…`, or a collector's configuration that says how they are reached.
fn config(kafka: &str, args: &AuditArgs) -> anyhow::Result<KafkaConfig> {
    let path = Path::new(kafka);
    if path.is_file() {
        let file = crate::collector::read(path).map_err(|error| anyhow::anyhow!("--kafka: {error}"))?;
        return file.value.sinks.kafka.with_context(|| format!("--kafka: {kafka} has no sinks.kafka"));
    }
    let looks_like_file = kafka.ends_with(".yaml") || kafka.ends_with(".yml") || kafka.contains('/');
    anyhow::ensure!(
        !looks_like_file,
        "--kafka: there is no file {kafka}; give brokers as host:port, or a collector's configuration"
    );
    let brokers: Vec<&str> = kafka.split(',').map(str::trim).filter(|broker| !broker.is_empty()).collect();
    let fits = |broker: &&str| {
        broker.rsplit_once(':').is_some_and(|(host, port)| !host.is_empty() && port.parse::<u16>().is_ok())
    };
    anyhow::ensure!(
        !brokers.is_empty() && brokers.iter().all(fits),
        "--kafka: `{kafka}` is no list of brokers such as kafka-1:9092,kafka-2:9092, and no configuration file"
    );
    serde_json::from_value(serde_json::json!({ "brokers": brokers, "topic": args.kafka_topic })).context("--kafka")
}
