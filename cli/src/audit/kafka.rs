//! What Kafka has: the identities in the headers of a range of messages, held against the table.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::Context;
use serde::Serialize;
use tollgate_queries::account::Numbers;
use tollgate_record::runs::Runs;
use tollgate_sink_kafka::{Identity, KafkaConfig, consume_identities};

use super::SeenBy;
use super::aside::{Aside, Letters};
use super::ask::Who;
use super::range::Range;
use super::verdict::{self as told, Seen, Terms, Verdict, against_kafka, expected_in_kafka};
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
    /// Producers that have settled records of the range in Kafka, and none in the table.
    pub only_in_kafka: BTreeMap<String, told::Numbers>,
}

/// What Kafka is held against.
pub struct Against<'a> {
    pub range: &'a Range,
    pub terms: &'a Terms,
    pub who: &'a Who,
    pub is_behind: bool,
    pub letters: &'a Letters,
    pub aside: &'a Aside,
    pub seen: &'a SeenBy,
}

/// What the topic has of one producer.
#[derive(Debug, Default)]
struct Found {
    /// Every message.
    all: Numbers,
    /// Those whose record is in the range and settled: the table must have it.
    due: Numbers,
}

/// Consumes what the range needs, and adds to each producer's verdict what Kafka has of it.
pub fn hold_against(
    kafka: &str,
    args: &AuditArgs,
    against: &Against<'_>,
    producers: &mut [Verdict],
) -> anyhow::Result<Cost> {
    let config = config(kafka, args)?;
    let Against { range, terms, letters, aside, seen, .. } = against;
    let mut consumed: BTreeMap<String, Found> = BTreeMap::new();
    let from_ms = range.since_us.map(|since| since / 1_000 - EARLIER_MS);
    let due_before_us = range.until_us.map_or(terms.settled_before_us, |until| until.min(terms.settled_before_us));
    let due_ms = terms.complete_from_us.div_euclid(1_000) + 1..due_before_us.div_euclid(1_000);
    let mut each = |identity: Identity<'_>| {
        if !consumed.contains_key(identity.producer) {
            consumed.insert(identity.producer.to_owned(), Found::default());
        }
        let Some(found) = consumed.get_mut(identity.producer) else { return };
        found.all.add(identity.seq);
        if identity.time_ms.is_some_and(|time| due_ms.contains(&time)) {
            found.due.add(identity.seq);
        }
    };
    let read = consume_identities(&config, from_ms, &mut each)
        .with_context(|| format!("reading topic {} of {}", config.topic, config.brokers.join(", ")))?;
    for told in producers {
        let Some(seen) = seen.get(&told.producer) else { continue };
        let expected = expected_in_kafka(seen, told);
        let found = consumed.remove(&told.producer).unwrap_or_default();
        let letters: Runs = letters.of("kafka", &told.producer);
        let mut verdict = against_kafka(&expected, &found.all, told, seen.settled, &letters, against.is_behind);
        verdict.not_in_table = told::Numbers::of(&not_in_table(seen, &found.due.runs(), &aside.of(&told.producer)));
        told.kafka = Some(verdict);
    }
    let mut only_in_kafka = BTreeMap::new();
    for (name, found) in consumed.iter().filter(|(name, _)| against.who.is_meant(name)) {
        let nothing = Seen::default();
        let absent = not_in_table(seen.get(name).unwrap_or(&nothing), &found.due.runs(), &aside.of(name));
        if !absent.is_empty() {
            only_in_kafka.insert(name.clone(), told::Numbers::of(&absent));
        }
    }
    Ok(Cost { messages: read.messages, without_identity: read.without_identity, only_in_kafka })
}

/// What is due and neither in the table nor known to lie elsewhere.
fn not_in_table(seen: &Seen, due: &Runs, aside: &[(String, Runs)]) -> Runs {
    let here = due.without(&seen.account.runs).without(&seen.account.shed_runs());
    aside.iter().fold(here, |left, (_, numbers)| left.without(numbers))
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_due_must_be_in_the_table_or_known_to_lie_elsewhere() {
        let mut seen = Seen::default();
        seen.account.runs = Runs::between(1, 10);
        seen.account.shed = vec![tollgate_queries::account::Shed {
            run: tollgate_record::runs::Run { first: 11, last: 12 },
            reason: String::new(),
        }];
        // Beyond the highest number that the table has, too: Kafka is what tells of the tail that the table lost.
        let due = Runs::between(5, 20);
        assert_eq!(not_in_table(&seen, &due, &[]).to_string(), "13..20");
        let aside = [("dead letters".to_owned(), Runs::between(13, 18))];
        assert_eq!(not_in_table(&seen, &due, &aside).to_string(), "19..20");
        assert_eq!(not_in_table(&Seen::default(), &Runs::between(1, 2), &[]).to_string(), "1..2");
    }
}
