//! Reading back which records a topic has: their identities, from the headers alone.
//!
//! ```text
//!   for each partition: [first offset at or after a time … the end when the reading began)
//! ```
//! Nothing is committed and no group is joined: a reader leaves no trace but its traffic. librdkafka fetches whole messages;
//! of each, only the headers are looked at.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::message::{BorrowedHeaders, Headers, Message, Timestamp};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};

use tollgate_config::Diagnostic;

use crate::config::KafkaConfig;
use crate::rows::{HEADER_PRODUCER, HEADER_SEQ};

/// Longest silence of the brokers while there are messages to come.
const SILENCE_MAX: Duration = Duration::from_secs(30);
const POLL: Duration = Duration::from_millis(200);
/// librdkafka wants a name of a group, though none is joined.
const GROUP: &str = "tollgate-audit";

/// The identity of a record, as its message's headers give it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Identity<'m> {
    /// The producer.
    pub producer: &'m str,
    /// The number.
    pub seq: i64,
    /// The record's time in milliseconds since 1970, or when it was received if that was earlier; `None` if the topic puts
    /// the broker's time in its place.
    pub time_ms: Option<i64>,
}

/// Counts of the messages that were read.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Consumed {
    /// Messages.
    pub messages: u64,
    /// Messages without the headers of an identity.
    pub without_identity: u64,
}

/// Why the topic cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum ConsumeError {
    /// The configuration cannot be used.
    #[error("sinks.kafka.{0}")]
    Config(#[from] Diagnostic),
    /// The client or the brokers refuse.
    #[error("{action}: {cause}; check the brokers' addresses and this client's rights")]
    Client {
        /// The operation that failed.
        action: &'static str,
        /// The client's error; its text has the causes in it.
        cause: KafkaError,
    },
    /// There is no such topic.
    #[error("topic {0} does not exist or may not be seen")]
    NoTopic(String),
    /// The brokers fell silent.
    #[error("the brokers sent nothing for {} s with {left} messages to come; try again when they answer", SILENCE_MAX.as_secs())]
    Silent {
        /// Messages that were expected still, at most.
        left: i64,
    },
}

fn failed(action: &'static str) -> impl Fn(KafkaError) -> ConsumeError {
    move |cause| ConsumeError::Client { action, cause }
}

/// Hands over the identity of each message with a time of `from_ms` or later (milliseconds since 1970), or of all, up to the
/// end of the topic at the moment of the call; in no order. Some that are earlier may come too. Blocks.
///
/// # Errors
/// The topic cannot be read to its end.
pub fn consume_identities(
    config: &KafkaConfig,
    from_ms: Option<i64>,
    each: &mut dyn FnMut(Identity<'_>),
) -> Result<Consumed, ConsumeError> {
    let mut settings = config.client()?;
    settings.set("group.id", GROUP).set("enable.auto.commit", "false").set("enable.partition.eof", "true");
    let consumer: BaseConsumer = settings.create().map_err(failed("making a client"))?;
    let mut left = assign(&consumer, config, from_ms)?;
    let mut consumed = Consumed::default();
    let mut heard = Instant::now();
    while !left.is_empty() {
        match consumer.poll(POLL) {
            None if heard.elapsed() < SILENCE_MAX => continue,
            None => return Err(ConsumeError::Silent { left: left.values().map(|(at, end)| end - at).sum() }),
            Some(Err(KafkaError::PartitionEOF(partition))) => drop(left.remove(&partition)),
            // Brokers that cannot be reached for a while are waited for.
            Some(Err(KafkaError::MessageConsumption(code))) if heard.elapsed() < SILENCE_MAX => {
                tracing::debug!(%code, "the brokers do not answer yet");
                continue;
            }
            Some(Err(error)) => return Err(failed("reading")(error)),
            Some(Ok(message)) => {
                let Some((at, end)) = left.get_mut(&message.partition()) else { continue };
                if message.offset() < *end {
                    consumed.messages += 1;
                    let time_ms = match message.timestamp() {
                        Timestamp::CreateTime(ms) => Some(ms),
                        Timestamp::LogAppendTime(_) | Timestamp::NotAvailable => None,
                    };
                    match message.headers().and_then(|headers| identity(headers, time_ms)) {
                        Some(identity) => each(identity),
                        None => consumed.without_identity += 1,
                    }
                }
                *at = message.offset() + 1;
                if *at >= *end {
                    left.remove(&message.partition());
                }
            }
        }
        heard = Instant::now();
    }
    Ok(consumed)
}

/// Assigns each partition from its first offset on that is wanted; answers (next, end) of those that have any.
fn assign(
    consumer: &BaseConsumer,
    config: &KafkaConfig,
    from_ms: Option<i64>,
) -> Result<BTreeMap<i32, (i64, i64)>, ConsumeError> {
    let timeout = config.connect_timeout.duration();
    let metadata = consumer.fetch_metadata(Some(&config.topic), timeout).map_err(failed("asking for the topic"))?;
    let partitions: Vec<i32> =
        metadata.topics().iter().flat_map(|topic| topic.partitions()).map(|partition| partition.id()).collect();
    if partitions.is_empty() {
        return Err(ConsumeError::NoTopic(config.topic.clone()));
    }
    let mut ranges = BTreeMap::new();
    let mut times = TopicPartitionList::new();
    for partition in partitions {
        let (low, high) = consumer
            .fetch_watermarks(&config.topic, partition, timeout)
            .map_err(failed("asking where a partition begins and ends"))?;
        if low < high {
            ranges.insert(partition, (low, high));
            times
                .add_partition_offset(&config.topic, partition, Offset::Offset(from_ms.unwrap_or(0).max(0)))
                .map_err(failed("naming a partition"))?;
        }
    }
    if from_ms.is_some() && !ranges.is_empty() {
        let found = consumer.offsets_for_times(times, timeout).map_err(failed("looking for a time"))?;
        for element in found.elements() {
            match (ranges.get_mut(&element.partition()), element.offset()) {
                (Some((at, _)), Offset::Offset(offset)) => *at = (*at).max(offset),
                // Nothing is that young.
                (Some(_), _) => drop(ranges.remove(&element.partition())),
                (None, _) => {}
            }
        }
    }
    let mut assigned = TopicPartitionList::new();
    for (partition, (at, _)) in &ranges {
        assigned
            .add_partition_offset(&config.topic, *partition, Offset::Offset(*at))
            .map_err(failed("naming a partition"))?;
    }
    consumer.assign(&assigned).map_err(failed("taking the partitions"))?;
    Ok(ranges)
}

fn identity(headers: &BorrowedHeaders, time_ms: Option<i64>) -> Option<Identity<'_>> {
    let value = |name: &str| headers.iter().find(|header| header.key == name)?.value;
    let producer = std::str::from_utf8(value(HEADER_PRODUCER)?).ok()?;
    let seq = std::str::from_utf8(value(HEADER_SEQ)?).ok()?.parse().ok()?;
    Some(Identity { producer, seq, time_ms })
}
