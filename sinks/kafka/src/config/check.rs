//! What the types of the section cannot express.

use std::ops::RangeInclusive;

use tollgate_config::Diagnostic;

use super::KafkaConfig;

/// Settings of librdkafka that `properties` may not touch, and why.
const PROPERTIES_REFUSED: [(&str, &str); 26] = [
    ("bootstrap.servers", "use `brokers`"),
    ("metadata.broker.list", "use `brokers`"),
    ("client.id", "use `client_id`"),
    ("security.protocol", "it follows from `tls` and `sasl`"),
    ("ssl.ca.location", "use `tls.ca`"),
    ("ssl.certificate.location", "use `tls.certificate`"),
    ("ssl.key.location", "use `tls.key`"),
    ("enable.ssl.certificate.verification", "use `tls.verify`"),
    ("sasl.mechanism", "use `sasl.mechanism`"),
    ("sasl.mechanisms", "use `sasl.mechanism`"),
    ("sasl.username", "use `sasl.username`"),
    ("sasl.password", "use `sasl.password_file`: no secret belongs into this file"),
    ("compression.type", "use `compression`"),
    ("compression.codec", "use `compression`"),
    ("linger.ms", "use `linger`"),
    ("queue.buffering.max.ms", "use `linger`"),
    ("queue.buffering.max.messages", "use `queue_messages_max`"),
    ("queue.buffering.max.kbytes", "use `queue_bytes_max`"),
    ("message.max.bytes", "use `message_bytes_max`"),
    ("message.timeout.ms", "use `delivery_timeout`"),
    ("delivery.timeout.ms", "use `delivery_timeout`"),
    ("acks", "records count as delivered when all replicas in sync have them"),
    ("request.required.acks", "records count as delivered when all replicas in sync have them"),
    ("enable.idempotence", "it stays on: resends must not double messages"),
    ("transactional.id", "the sink does not write transactions"),
    ("delivery.report.only.error", "the sink moves on delivery reports"),
];

/// The values of `message.max.bytes` that librdkafka accepts.
const MESSAGE_BYTES_RANGE: RangeInclusive<u64> = 1_000..=1_000_000_000;

/// The values of `rounds_max`: each round holds the records of its frames in memory.
const ROUNDS_RANGE: RangeInclusive<u32> = 1..=64;

impl KafkaConfig {
    /// Checks what types cannot express, files included, so that a mistake is found before anything is bound.
    ///
    /// Answers the first problem alone: building a client, which is the last check, makes no sense after another.
    pub fn check(&self) -> Vec<Diagnostic> {
        self.usable().err().into_iter().collect()
    }

    /// Answers the first key that is wrong, with the cure.
    pub(crate) fn usable(&self) -> Result<(), Diagnostic> {
        if self.brokers.is_empty() || self.brokers.iter().any(|broker| broker.trim().is_empty()) {
            return fault("brokers", "name at least one broker as `host:port`, and no empty ones");
        }
        if !topic_is_valid(&self.topic) {
            return fault("topic", "a topic is 1 to 249 letters, digits, `.`, `_` or `-`, and not `.` or `..`");
        }
        if self.topic_partitions == 0 || self.topic_replication == Some(0) {
            return fault("topic_partitions", "a topic has at least one partition and one replica");
        }
        if self.delivery_timeout.duration() <= self.linger.duration() {
            return fault("delivery_timeout", "must be longer than `linger`");
        }
        if self.connect_timeout.duration().as_millis() == 0 {
            return fault("connect_timeout", "must be at least 1ms");
        }
        if !ROUNDS_RANGE.contains(&self.rounds_max) {
            return fault("rounds_max", "must be between 1 and 64");
        }
        if self.queue_messages_max == 0 || self.queue_bytes_max.bytes() < 1024 {
            return fault("queue_messages_max", "the queue must hold at least one message, and 1 KiB");
        }
        if !MESSAGE_BYTES_RANGE.contains(&self.message_bytes_max.bytes()) {
            return fault("message_bytes_max", "must be between 1000 and 1000000000 bytes");
        }
        self.check_tls()?;
        self.check_properties()
    }

    fn check_tls(&self) -> Result<(), Diagnostic> {
        let Some(tls) = &self.tls else { return Ok(()) };
        if tls.certificate.is_some() != tls.key.is_some() {
            return fault("tls.certificate", "a client certificate needs `certificate` and `key` together");
        }
        for (key, file) in [("tls.ca", &tls.ca), ("tls.certificate", &tls.certificate), ("tls.key", &tls.key)] {
            if let Some(Err(error)) = file.as_ref().map(std::fs::read) {
                return fault(key, &format!("the file cannot be read: {error}"));
            }
        }
        Ok(())
    }

    fn check_properties(&self) -> Result<(), Diagnostic> {
        for name in self.properties.keys() {
            if let Some((_, cure)) = PROPERTIES_REFUSED.iter().find(|(refused, _)| refused == name) {
                return fault(&format!("properties.{name}"), &format!("must not be set here: {cure}"));
            }
        }
        // librdkafka knows its own names and ranges best; only building a client finds what depends on several.
        let client = self.producer(self.message_bytes_max.bytes())?;
        match client.create_native_config() {
            Ok(_) => Ok(()),
            Err(error) => fault("properties", &error.to_string()),
        }
    }
}

fn topic_is_valid(topic: &str) -> bool {
    let letter = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    (1..=249).contains(&topic.len()) && topic.chars().all(letter) && topic != "." && topic != ".."
}

fn fault<T>(key: &str, problem: &str) -> Result<T, Diagnostic> {
    Err(Diagnostic::of_key(key, problem))
}
