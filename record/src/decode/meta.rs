//! The metadata of a batch.

use std::collections::HashMap;

use super::DecodeError;
use crate::RECORD_VERSION;
use crate::batch::{BatchMeta, key};
use crate::id::{ProducerName, SEQ_MAX};

/// Reads and checks the metadata of a batch's schema.
pub(super) fn read(pairs: &HashMap<String, String>) -> Result<BatchMeta, DecodeError> {
    let record_version = version(pairs)?;
    let meta = BatchMeta {
        record_version,
        producer: required(pairs, key::PRODUCER)?.to_owned(),
        node_id: required(pairs, key::NODE_ID)?.to_owned(),
        batch_seq: number(pairs, key::BATCH_SEQ)?,
        first_seq: number(pairs, key::FIRST_SEQ)?,
        last_seq: number(pairs, key::LAST_SEQ)?,
        gateway_version: optional(pairs, key::GATEWAY_VERSION),
        environment: optional(pairs, key::ENVIRONMENT),
        zone: optional(pairs, key::ZONE),
        redaction_policy: optional(pairs, key::REDACTION_POLICY),
        hmac_key_id: optional(pairs, key::HMAC_KEY_ID),
    };
    let producer = ProducerName::parse(&meta.producer).map_err(|error| DecodeError::Inconsistent(error.to_string()))?;
    if producer.node_id != meta.node_id {
        return Err(DecodeError::Inconsistent(format!(
            "node_id `{}` is not that of producer `{}`",
            shown(&meta.node_id),
            meta.producer
        )));
    }
    if meta.batch_seq == 0 {
        return Err(DecodeError::Inconsistent("batch_seq must be 1 or more".to_owned()));
    }
    if meta.first_seq < 1 || meta.first_seq > meta.last_seq || meta.last_seq > SEQ_MAX {
        return Err(DecodeError::Inconsistent(format!(
            "first_seq {} and last_seq {} are no range within 1 to 2^42 - 1",
            meta.first_seq, meta.last_seq
        )));
    }
    Ok(meta)
}

/// The record version, when it is within one of ours.
fn version(pairs: &HashMap<String, String>) -> Result<u32, DecodeError> {
    let text = required(pairs, key::RECORD_VERSION)?;
    text.parse::<u32>()
        .ok()
        .filter(|version| version.abs_diff(RECORD_VERSION) <= 1)
        .ok_or_else(|| DecodeError::UnsupportedVersion { found: shown(text) })
}

fn required<'a>(pairs: &'a HashMap<String, String>, key: &'static str) -> Result<&'a str, DecodeError> {
    pairs.get(key).map(String::as_str).ok_or(DecodeError::MissingMetadata { key })
}

fn optional(pairs: &HashMap<String, String>, key: &str) -> String {
    pairs.get(key).cloned().unwrap_or_default()
}

fn number<N: std::str::FromStr>(pairs: &HashMap<String, String>, key: &'static str) -> Result<N, DecodeError> {
    let text = required(pairs, key)?;
    text.parse()
        .map_err(|_| DecodeError::Inconsistent(format!("schema metadata `{key}` is `{}`, not a number", shown(text))))
}

/// At most 64 characters of a text from outside.
pub(super) fn shown(text: &str) -> String {
    text.chars().take(64).map(|c| if c.is_control() { '?' } else { c }).collect()
}
