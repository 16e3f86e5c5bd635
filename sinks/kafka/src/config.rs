//! What the configuration file says about Kafka, and what that means to librdkafka.

use std::collections::BTreeMap;

use rdkafka::config::{ClientConfig, RDKafkaLogLevel};
use serde::{Deserialize, Serialize};
use tollgate_config::{ByteSize, ConfigDuration, ConfigPath, Diagnostic};

/// Where and how records go to Kafka: the `kafka` key under `sinks`.
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct KafkaConfig {
    /// Brokers to start from, as `host:port`; the rest of the cluster is learned from them.
    pub brokers: Vec<String>,
    /// The topic that gets the records.
    #[serde(default = "default_topic")]
    pub topic: String,
    /// Whether the topic is created when the cluster does not have it.
    #[serde(default = "default_topic_create")]
    pub topic_create: bool,
    /// Partitions of a topic that is created here.
    #[serde(default = "default_topic_partitions")]
    pub topic_partitions: u16,
    /// Replicas of each partition of a topic that is created here; absent = the cluster's default.
    #[serde(default)]
    pub topic_replication: Option<u16>,
    /// Encrypts the connections, and may present a client certificate; absent = cleartext.
    #[serde(default)]
    pub tls: Option<TlsConfig>,
    /// Authenticates with a name and password; absent = no SASL.
    #[serde(default)]
    pub sasl: Option<SaslConfig>,
    /// Compression of message sets.
    #[serde(default)]
    pub compression: Compression,
    /// The name under which the brokers see this client in their logs and quotas.
    #[serde(default = "default_client_id")]
    pub client_id: String,
    /// How long the brokers may take to acknowledge a message before its frames are offered again.
    #[serde(default = "default_delivery_timeout")]
    pub delivery_timeout: ConfigDuration,
    /// How long each step of connecting may take: reaching a broker, creating the topic, reading its limits.
    #[serde(default = "default_connect_timeout")]
    pub connect_timeout: ConfigDuration,
    /// How long a message waits for others to share its message set.
    #[serde(default = "default_linger")]
    pub linger: ConfigDuration,
    /// Most messages in the client's queue. It needs no more than the network holds: the journal is the buffer.
    #[serde(default = "default_queue_messages_max")]
    pub queue_messages_max: u32,
    /// Most bytes in the client's queue.
    #[serde(default = "default_queue_bytes_max")]
    pub queue_bytes_max: ByteSize,
    /// Largest message, before compression. The topic's `max.message.bytes` lowers it further, where it may be read.
    #[serde(default = "default_message_bytes_max")]
    pub message_bytes_max: ByteSize,
    /// Further settings of librdkafka, by its own names (its CONFIGURATION.md lists them), for example
    /// `compression.level`, `socket.keepalive.enable` or `partitioner`. Those on which the promise of the sink rests, or
    /// which have a key of their own here, are refused.
    #[serde(default)]
    pub properties: BTreeMap<String, String>,
}

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

/// Compression of message sets.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Compression {
    /// As it is.
    None,
    /// Fastest.
    Lz4,
    /// Smallest; the default, as a record in JSON repeats its keys.
    #[default]
    Zstd,
    /// For consumers that know nothing newer.
    Gzip,
    /// For consumers that know nothing newer.
    Snappy,
}

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

/// Most bytes of one message set: half of the usual `max.message.bytes`, so that a broker's limit concerns single messages, and
/// large enough for compression to pay: a record took 6 % less of the broker's disk than in sets of half the size.
const BATCH_BYTES_MAX: u64 = 512 * 1024;

/// What librdkafka accepts as `message.max.bytes`.
const MESSAGE_BYTES_RANGE: std::ops::RangeInclusive<u64> = 1_000..=1_000_000_000;

impl KafkaConfig {
    /// The defaults, for these brokers.
    pub fn new(brokers: impl IntoIterator<Item = impl Into<String>>) -> Self {
        Self {
            brokers: brokers.into_iter().map(Into::into).collect(),
            topic: default_topic(),
            topic_create: default_topic_create(),
            topic_partitions: default_topic_partitions(),
            topic_replication: None,
            tls: None,
            sasl: None,
            compression: Compression::default(),
            client_id: default_client_id(),
            delivery_timeout: default_delivery_timeout(),
            connect_timeout: default_connect_timeout(),
            linger: default_linger(),
            queue_messages_max: default_queue_messages_max(),
            queue_bytes_max: default_queue_bytes_max(),
            message_bytes_max: default_message_bytes_max(),
            properties: BTreeMap::new(),
        }
    }

    /// Checks what types cannot express, files included, so that a mistake is found before anything is bound.
    ///
    /// # Errors
    /// The first key that is wrong, with the cure.
    pub fn check(&self) -> Result<(), Diagnostic> {
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

    /// Settings of any client of this cluster.
    pub(crate) fn client(&self) -> Result<ClientConfig, Diagnostic> {
        let mut client = ClientConfig::new();
        client.set_log_level(RDKafkaLogLevel::Info);
        client.set("bootstrap.servers", self.brokers.join(","));
        client.set("client.id", &self.client_id);
        client.set("security.protocol", self.security_protocol());
        if let Some(tls) = &self.tls {
            let files = [
                ("ssl.ca.location", &tls.ca),
                ("ssl.certificate.location", &tls.certificate),
                ("ssl.key.location", &tls.key),
            ];
            for (name, file) in files {
                if let Some(file) = file {
                    client.set(name, file.to_string_lossy());
                }
            }
            client.set("enable.ssl.certificate.verification", tls.verify.to_string());
            client.set("ssl.endpoint.identification.algorithm", if tls.verify { "https" } else { "none" });
        }
        if let Some(sasl) = &self.sasl {
            client.set("sasl.mechanism", sasl.mechanism.name());
            client.set("sasl.username", &sasl.username);
            client.set("sasl.password", sasl.password()?);
        }
        self.set_properties(&mut client);
        Ok(client)
    }

    fn set_properties(&self, client: &mut ClientConfig) {
        for (name, value) in &self.properties {
            client.set(name, value);
        }
    }

    /// Settings of the producer, for messages of at most this size.
    pub(crate) fn producer(&self, message_bytes_max: u64) -> Result<ClientConfig, Diagnostic> {
        let mut client = self.client()?;
        // Java clients place keys by murmur2: the same key then goes to the same partition whoever produced it.
        client.set("partitioner", "murmur2_random");
        client.set("batch.size", BATCH_BYTES_MAX.min(message_bytes_max).to_string());
        client.set("compression.level", self.compression.level());
        self.set_properties(&mut client);
        client.set("enable.idempotence", "true");
        client.set("acks", "all");
        client.set("compression.type", self.compression.name());
        client.set("linger.ms", self.linger.duration().as_millis().to_string());
        client.set("message.timeout.ms", self.delivery_timeout.duration().as_millis().to_string());
        client.set("queue.buffering.max.messages", self.queue_messages_max.to_string());
        client.set("queue.buffering.max.kbytes", self.queue_bytes_max.bytes().div_ceil(1024).to_string());
        client.set("message.max.bytes", message_bytes_max.to_string());
        Ok(client)
    }

    fn security_protocol(&self) -> &'static str {
        match (&self.tls, &self.sasl) {
            (None, None) => "plaintext",
            (Some(_), None) => "ssl",
            (None, Some(_)) => "sasl_plaintext",
            (Some(_), Some(_)) => "sasl_ssl",
        }
    }
}

impl SaslConfig {
    fn password(&self) -> Result<String, Diagnostic> {
        match std::fs::read_to_string(&self.password_file) {
            Ok(text) => Ok(text.trim_end_matches(['\r', '\n']).to_owned()),
            Err(error) => {
                fault("sasl.password_file", &format!("{} cannot be read: {error}", self.password_file.display()))
            }
        }
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

impl Compression {
    /// The name that Kafka knows it by.
    pub fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Lz4 => "lz4",
            Self::Zstd => "zstd",
            Self::Gzip => "gzip",
            Self::Snappy => "snappy",
        }
    }

    /// The level unless `properties` names one: the client's own, but for zstd, where records in JSON lose little by the
    /// fastest and its tables are made anew for every message set.
    fn level(self) -> &'static str {
        match self {
            Self::Zstd => "1",
            _ => "-1",
        }
    }
}

fn fault<T>(key: &str, problem: &str) -> Result<T, Diagnostic> {
    Err(Diagnostic::of_key(key, problem))
}

fn topic_is_valid(topic: &str) -> bool {
    let letter = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    (1..=249).contains(&topic.len()) && topic.chars().all(letter) && topic != "." && topic != ".."
}

fn default_topic() -> String {
    "tollgate.transactions".to_owned()
}

fn default_topic_create() -> bool {
    true
}

fn default_topic_partitions() -> u16 {
    12
}

fn default_client_id() -> String {
    "tollgate-collector".to_owned()
}

fn default_delivery_timeout() -> ConfigDuration {
    ConfigDuration::secs(30)
}

fn default_connect_timeout() -> ConfigDuration {
    ConfigDuration::secs(10)
}

fn default_linger() -> ConfigDuration {
    ConfigDuration::millis(5)
}

fn default_queue_messages_max() -> u32 {
    20_000
}

fn default_queue_bytes_max() -> ByteSize {
    ByteSize::mib(16)
}

fn default_message_bytes_max() -> ByteSize {
    ByteSize(1_000_000)
}

fn default_verify() -> bool {
    true
}
