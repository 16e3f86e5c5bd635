//! What the configuration accepts, what it refuses, and with which words.

use tollgate_config::{ByteSize, ConfigDuration};
use tollgate_sink::{Sink, SinkError};
use tollgate_sink_kafka::{Compression, KafkaConfig, KafkaSink, Mechanism};

fn read(yaml: &str) -> Result<KafkaConfig, String> {
    serde_saphyr::from_str(yaml).map_err(|error| error.to_string())
}

fn problem(yaml: &str) -> String {
    let config = read(yaml).expect("types are right");
    KafkaSink::new(config).err().map(|fault| fault.to_string()).unwrap_or_default()
}

#[test]
fn brokers_are_all_that_is_needed() {
    let config = read("brokers: [kafka-1:9092, kafka-2:9092]").expect("a good configuration");
    assert_eq!(config, KafkaConfig::new(["kafka-1:9092", "kafka-2:9092"]));
    assert_eq!((config.topic.as_str(), config.compression), ("tollgate.transactions", Compression::Zstd));
    assert_eq!(config.check(), []);
    assert!(read("topic: t").is_err(), "brokers have no default");
}

#[test]
fn everything_can_be_said() {
    let config = read(
        "
brokers: [kafka:9093]
topic: records
topic_create: false
topic_partitions: 24
topic_replication: 3
compression: lz4
client_id: gate
delivery_timeout: 1m
connect_timeout: 5s
linger: 20ms
queue_messages_max: 1000
queue_bytes_max: 4 MiB
message_bytes_max: 512 KiB
sasl: { username: gate, password_file: /etc/tollgate/kafka, mechanism: SCRAM-SHA-256 }
tls: { verify: false }
properties: { compression.level: \"5\", socket.keepalive.enable: \"true\" }
",
    )
    .expect("a good configuration");
    assert_eq!(config.message_bytes_max, ByteSize::kib(512));
    assert_eq!(config.delivery_timeout, ConfigDuration::secs(60));
    assert_eq!(config.sasl.expect("sasl").mechanism, Mechanism::ScramSha256);
}

#[test]
fn what_is_unknown_or_impossible_is_refused_with_the_cure() {
    assert!(read("{brokers: [k:9092], topics: x}").is_err_and(|error| error.contains("topics")));
    let wrong = [
        ("brokers: []", "brokers: name at least one broker"),
        ("{brokers: [k:9092], topic: a b}", "topic: "),
        ("{brokers: [k:9092], topic_partitions: 0}", "at least one partition"),
        ("{brokers: [k:9092], linger: 1m}", "delivery_timeout: must be longer"),
        ("{brokers: [k:9092], queue_messages_max: 0}", "queue_messages_max"),
        ("{brokers: [k:9092], message_bytes_max: 10}", "message_bytes_max"),
        ("{brokers: [k:9092], tls: {certificate: /nowhere/c.pem}}", "`certificate` and `key` together"),
        ("{brokers: [k:9092], tls: {ca: /nowhere/ca.pem}}", "tls.ca: the file cannot be read"),
        ("{brokers: [k:9092], sasl: {username: u, password_file: /nowhere/p}}", "sasl.password_file: /nowhere/p"),
        ("{brokers: [k:9092], properties: {acks: \"1\"}}", "properties.acks: must not be set here"),
        ("{brokers: [k:9092], properties: {sasl.password: x}}", "no secret belongs into this file"),
        ("{brokers: [k:9092], properties: {no.such.setting: x}}", "no.such.setting"),
        ("{brokers: [k:9092], properties: {compression.level: many}}", "compression.level"),
    ];
    for (yaml, words) in wrong {
        let problem = problem(yaml);
        assert!(problem.contains(words), "{yaml}: {problem}");
    }
}

#[tokio::test]
async fn a_sink_that_is_not_connected_asks_to_be() {
    let mut sink = KafkaSink::new(KafkaConfig::new(["127.0.0.1:1"])).expect("a good configuration");
    assert_eq!(sink.name(), "kafka");
    assert!(matches!(sink.deliver(&[]).await, Err(SinkError::Rebuild { .. })));
}
