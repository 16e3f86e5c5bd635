//! The section `sinks.kafka` of the configuration: its keys, with their defaults.
//!
//! | file | holds |
//! |---|---|
//! | `check.rs` | what types cannot express, and the words that say so |
//! | `client.rs` | what the section means to librdkafka |
//! | `compression.rs`, `security.rs` | the values of `compression`, and of `tls` and `sasl` |

mod check;
mod client;
mod compression;
mod security;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use tollgate_config::{ByteSize, ConfigDuration};

pub use compression::Compression;
pub use security::{Mechanism, SaslConfig, TlsConfig};

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
    /// Most portions of frames (`delivery.rows_max` records each) whose messages wait for the brokers at the same time; 1 =
    /// each portion waits for the one before it.
    #[serde(default = "default_rounds_max")]
    pub rounds_max: u32,
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
            rounds_max: default_rounds_max(),
            queue_messages_max: default_queue_messages_max(),
            queue_bytes_max: default_queue_bytes_max(),
            message_bytes_max: default_message_bytes_max(),
            properties: BTreeMap::new(),
        }
    }
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

fn default_rounds_max() -> u32 {
    4
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
