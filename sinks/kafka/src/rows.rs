//! A row as a Kafka message.

use arrow_array::cast::AsArray;
use arrow_array::types::{Int32Type, Int64Type, TimestampMicrosecondType};
use arrow_array::{Array, DictionaryArray, Int64Array, StringArray, TimestampMicrosecondArray};
use rdkafka::message::{Header, OwnedHeaders};
use tollgate_record::id::{RequestId, producer_tag};
use tollgate_record::{Batch, columns, json};

/// Header: who numbered the record; with [`HEADER_SEQ`] the identity by which a consumer drops duplicates.
pub const HEADER_PRODUCER: &str = "tollgate.producer";
/// Header: the record's number, decimal.
pub const HEADER_SEQ: &str = "tollgate.seq";
/// Header: the version of the record, decimal.
pub const HEADER_RECORD_VERSION: &str = "tollgate.record_version";
/// Header: the request id, as it went upstream and to the client.
pub const HEADER_REQUEST_ID: &str = "tollgate.request_id";

/// The rows of one batch, with what their messages need looked up once.
pub(crate) struct Rows<'a> {
    batch: &'a Batch,
    received_ms: i64,
    producer_tag: u32,
    record_version: String,
    values: json::Rows<'a>,
    time: &'a TimestampMicrosecondArray,
    seq: &'a Int64Array,
    service: &'a DictionaryArray<Int32Type>,
    services: &'a StringArray,
}

impl<'a> Rows<'a> {
    /// `None` where the batch does not have the canonical columns, which decoding guarantees.
    pub(crate) fn new(batch: &'a Batch, received_us: i64) -> Option<Self> {
        let column = |name| batch.records.columns().get(columns::index_of(name)?);
        let service = column("service")?.as_dictionary_opt::<Int32Type>()?;
        Some(Self {
            batch,
            received_ms: received_us / 1_000,
            producer_tag: producer_tag(&batch.meta.producer),
            record_version: batch.meta.record_version.to_string(),
            values: json::Rows::of(&batch.records, &batch.meta),
            time: column("time")?.as_primitive_opt::<TimestampMicrosecondType>()?,
            seq: column("seq")?.as_primitive_opt::<Int64Type>()?,
            service,
            services: service.values().as_string_opt::<i32>()?,
        })
    }

    pub(crate) fn len(&self) -> usize {
        self.batch.records.num_rows()
    }

    /// The record's number.
    pub(crate) fn seq(&self, row: usize) -> i64 {
        self.seq.value(row)
    }

    /// The service, or the node where there is none: failed handshakes, gaps, requests that no service matched.
    pub(crate) fn key(&self, row: usize) -> &'a str {
        match self.service.key(row) {
            Some(key) if self.services.is_valid(key) => self.services.value(key),
            _ => &self.batch.meta.node_id,
        }
    }

    /// When it happened, in milliseconds since the Unix epoch, but not after it arrived.
    pub(crate) fn timestamp_ms(&self, row: usize) -> i64 {
        (self.time.value(row) / 1_000).min(self.received_ms).max(0)
    }

    /// Appends the JSON document to `value`.
    pub(crate) fn write_value(&mut self, row: usize, value: &mut Vec<u8>) {
        self.values.write(row, value);
    }

    pub(crate) fn headers(&self, row: usize) -> OwnedHeaders {
        let seq = self.seq(row);
        let request_id = RequestId::from_parts(self.time.value(row), self.producer_tag, seq);
        let header = |headers: OwnedHeaders, key, value: &str| headers.insert(Header { key, value: Some(value) });
        let headers = OwnedHeaders::new_with_capacity(4);
        let headers = header(headers, HEADER_PRODUCER, &self.batch.meta.producer);
        let headers = header(headers, HEADER_SEQ, &seq.to_string());
        let headers = header(headers, HEADER_RECORD_VERSION, &self.record_version);
        header(headers, HEADER_REQUEST_ID, request_id.encode(&mut [0; 36]))
    }
}
