//! The Kafka sink: every record as one JSON message, at least once, in a topic that other systems read.
//!
//! ```text
//!   frame (a batch of rows) ──▶ one message a row ──▶ librdkafka, idempotent, acks=all ──▶ topic
//!        key      service, or the node where no service was found (failed handshakes, gaps)
//!        value    flat JSON with OpenTelemetry names (tollgate_record::json)
//!        headers  tollgate.producer, tollgate.seq, tollgate.record_version, tollgate.request_id
//! ```
//!
//! **Nothing is dropped here.** The journal is the buffer, so the client's own queue is small, and a frame counts as
//! delivered only when the brokers have acknowledged each of its rows. What happens to the others:
//!
//! | the broker or the client says | answer |
//! |---|---|
//! | timed out, not leader, unreachable, unauthorised, anything else | `Retry`: the same frames again |
//! | fatal client error; the topic is gone; no report at all; [`FAILURES_BEFORE_REBUILD`] failures in a row | `Rebuild`: a new producer |
//! | message or record refused for what it is (too large, invalid) | `RejectRows`: its record alone goes to the dead-letter file |
//!
//! **Rounds overlap.** The frames of one call are a round. Up to [`KafkaConfig::rounds_max`] of them wait for their reports at
//! the same time; the cursor moves over a prefix of frames whose reports have all come. `lane` has the rules.
//!
//! **At least once.** The idempotent producer keeps its own resends from doubling messages, but it does not outlive its
//! process, and a frame that failed half way is offered again whole. A consumer drops duplicates by the headers
//! `tollgate.producer` and `tollgate.seq`, which are the identity of a record. Frames that were delivered while another
//! one under way failed are remembered and not sent twice.
//!
//! **Order** within a key is that of the journal while nothing fails; no more is promised, as records finish in any order.
//!
//! **Message time** is the record's, but not later than its arrival at the collector: brokers refuse messages from the
//! future, and a node whose clock runs ahead must not lose its records by it.
//!
//! Limits: [`KafkaConfig::queue_messages_max`] and [`KafkaConfig::queue_bytes_max`] bound the client's queue,
//! [`KafkaConfig::rounds_max`] the frames that wait for reports, [`KafkaConfig::delivery_timeout`] the wait for a report, [`KafkaConfig::connect_timeout`] each step of connecting.

mod config;
mod connect;
mod consume;
mod hand_over;
mod lane;
mod reports;
mod rows;
mod sink;

pub use config::{Compression, KafkaConfig, Mechanism, SaslConfig, TlsConfig};
pub use consume::{ConsumeError, Consumed, Identity, consume_identities};
pub use lane::FAILURES_BEFORE_REBUILD;
pub use rows::{HEADER_PRODUCER, HEADER_RECORD_VERSION, HEADER_REQUEST_ID, HEADER_SEQ};
pub use sink::KafkaSink;
