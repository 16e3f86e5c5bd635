//! Metadata: what is the same for all rows of a batch.

use std::collections::HashMap;

use super::SealedBatch;
use crate::RECORD_VERSION;

/// The keys of the Arrow schema's metadata.
pub mod key {
    /// Version of the record.
    pub const RECORD_VERSION: &str = "tollgate.record_version";
    /// Who numbered the records.
    pub const PRODUCER: &str = "tollgate.producer";
    /// The proxy instance.
    pub const NODE_ID: &str = "tollgate.node_id";
    /// The batch's number.
    pub const BATCH_SEQ: &str = "tollgate.batch_seq";
    /// Smallest `seq` covered.
    pub const FIRST_SEQ: &str = "tollgate.first_seq";
    /// Largest `seq` covered.
    pub const LAST_SEQ: &str = "tollgate.last_seq";
    /// Version of the gateway.
    pub const GATEWAY_VERSION: &str = "tollgate.gateway_version";
    /// Deployment environment.
    pub const ENVIRONMENT: &str = "tollgate.environment";
    /// Zone.
    pub const ZONE: &str = "tollgate.zone";
    /// Redaction policy.
    pub const REDACTION_POLICY: &str = "tollgate.redaction_policy";
    /// Key under which credentials were hashed.
    pub const HMAC_KEY_ID: &str = "tollgate.hmac_key_id";
}

/// What a producer states in each of its batches.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BatchHeader {
    /// Who numbers the records: the text of a [`ProducerName`](crate::id::ProducerName).
    pub producer: String,
    /// The proxy instance: the first part of `producer`.
    pub node_id: String,
    /// Version of the gateway.
    pub gateway_version: String,
    /// Deployment environment, as `production`.
    pub environment: String,
    /// Zone, as `dc1-a`.
    pub zone: String,
    /// Name or revision of the redaction policy in force.
    pub redaction_policy: String,
    /// Which key `token_hmac` was made with.
    pub hmac_key_id: String,
}

/// The metadata of one batch.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BatchMeta {
    /// Version of the record that the producer writes.
    pub record_version: u32,
    /// Who numbered the records: the text of a [`ProducerName`](crate::id::ProducerName).
    pub producer: String,
    /// The proxy instance: the first part of `producer`.
    pub node_id: String,
    /// The batch's number among the producer's batches, from 1 on.
    pub batch_seq: u64,
    /// Smallest `seq` covered.
    pub first_seq: i64,
    /// Largest `seq` covered.
    pub last_seq: i64,
    /// Version of the gateway. This and the following are empty when the producer does not state them.
    pub gateway_version: String,
    /// Deployment environment.
    pub environment: String,
    /// Zone.
    pub zone: String,
    /// Name or revision of the redaction policy in force.
    pub redaction_policy: String,
    /// Which key `token_hmac` was made with.
    pub hmac_key_id: String,
}

/// The schema metadata of a batch of `header`'s producer.
pub(super) fn to_schema(header: &BatchHeader, sealed: &SealedBatch) -> HashMap<String, String> {
    let pairs = [
        (key::RECORD_VERSION, RECORD_VERSION.to_string()),
        (key::PRODUCER, header.producer.clone()),
        (key::NODE_ID, header.node_id.clone()),
        (key::BATCH_SEQ, sealed.batch_seq.to_string()),
        (key::FIRST_SEQ, sealed.first_seq().to_string()),
        (key::LAST_SEQ, sealed.last_seq().to_string()),
        (key::GATEWAY_VERSION, header.gateway_version.clone()),
        (key::ENVIRONMENT, header.environment.clone()),
        (key::ZONE, header.zone.clone()),
        (key::REDACTION_POLICY, header.redaction_policy.clone()),
        (key::HMAC_KEY_ID, header.hmac_key_id.clone()),
    ];
    pairs.into_iter().map(|(key, value)| (key.to_owned(), value)).collect()
}
