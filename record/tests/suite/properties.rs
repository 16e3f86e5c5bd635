//! Properties: `decode` answers whatever the bytes are, and returns what was appended.

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use std::sync::LazyLock;

use tollgate_record::columns::index_of;
use tollgate_record::redact::text::cleaned;
use tollgate_record::vocabulary::{ErrorClass, Kind};
use tollgate_record::{BatchBuilder, DecodeError, DecodeLimits, Record, SealLimits, decode, extract, json};

use crate::plausible::header;
use crate::streams::{sealed, zstd};

static RAW: LazyLock<Vec<u8>> = LazyLock::new(|| zstd::bulk::decompress(&sealed(30).bytes, 1 << 20).unwrap());

/// Reads, and when that succeeds uses everything that was read.
fn survive(bytes: &[u8]) {
    let limits = DecodeLimits { raw_bytes_max: 4 << 20, rows_max: 4096, ..DecodeLimits::default() };
    match decode(bytes, &limits) {
        Ok(batch) => {
            let mut out = Vec::new();
            let mut rows = json::Rows::of(&batch.records, &batch.meta);
            for row in 0..batch.records.num_rows() {
                out.clear();
                rows.write(row, &mut out);
                serde_json::from_slice::<serde_json::Value>(&out).unwrap();
            }
        }
        // The last belt must never be needed: what makes arrow-ipc panic is to be refused by the walk.
        Err(error) => assert_ne!(error, DecodeError::NotArrow("its structure is malformed".to_owned())),
    }
}

#[derive(Clone, Debug)]
struct Row {
    time_us: i64,
    service: Option<String>,
    path: Option<String>,
    span_id: Option<[u8; 8]>,
    resumed: Option<bool>,
    status: Option<i32>,
    total_us: Option<i64>,
    groups: Vec<String>,
    rules: Vec<i32>,
    error: Option<usize>,
}

fn row() -> impl Strategy<Value = Row> {
    let texts = (option::of("\\PC{0,12}"), option::of(".{0,40}"), vec("[a-z]{0,5}", 0..4));
    let numbers = (any::<i64>(), option::of(any::<i32>()), option::of(any::<i64>()), vec(any::<i32>(), 0..4));
    let rest = (option::of(any::<[u8; 8]>()), option::of(any::<bool>()), option::of(0..ErrorClass::ALL.len()));
    (texts, numbers, rest).prop_map(|(texts, numbers, rest)| Row {
        service: texts.0,
        path: texts.1,
        groups: texts.2,
        time_us: numbers.0,
        status: numbers.1,
        total_us: numbers.2,
        rules: numbers.3,
        span_id: rest.0,
        resumed: rest.1,
        error: rest.2,
    })
}

fn check_row(batch: &tollgate_record::Batch, at: usize, row: &Row) -> Result<(), TestCaseError> {
    let records = &batch.records;
    let column = |name: &str| index_of(name).unwrap();
    prop_assert_eq!(extract::i64_at(records, column("time"), at), Some(row.time_us));
    let cleaned = |text: &Option<String>| text.as_ref().map(|text| cleaned(text, 1024));
    let (service, path) = (cleaned(&row.service), cleaned(&row.path));
    prop_assert_eq!(extract::str_at(records, column("service"), at), service.as_deref());
    prop_assert_eq!(extract::str_at(records, column("path"), at), path.as_deref());
    prop_assert_eq!(extract::bytes_at(records, column("span_id"), at), row.span_id.as_ref().map(|id| &id[..]));
    prop_assert_eq!(extract::bool_at(records, column("tls_resumed"), at), row.resumed);
    prop_assert_eq!(extract::i32_at(records, column("status"), at), row.status);
    prop_assert_eq!(extract::i64_at(records, column("total_us"), at), row.total_us);
    let error = row.error.map(|index| ErrorClass::ALL[index].as_str());
    prop_assert_eq!(extract::str_at(records, column("error_class"), at), error);
    let groups: Option<Vec<&str>> = extract::strs_at(records, column("auth_groups"), at).map(Iterator::collect);
    prop_assert_eq!(groups.unwrap_or_default(), row.groups.iter().map(String::as_str).collect::<Vec<_>>());
    prop_assert_eq!(extract::i32s_at(records, column("waf_rule_ids"), at).unwrap_or_default(), &row.rules[..]);
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn rows_come_back(batches in vec(vec(row(), 1..40), 1..3)) {
        let mut builder = BatchBuilder::new(header(), SealLimits::default());
        for rows in &batches {
            for (index, row) in rows.iter().enumerate() {
                let groups: Vec<&str> = row.groups.iter().map(String::as_str).collect();
                builder.append(&Record {
                    time_us: row.time_us,
                    seq: (rows.len() - index) as i64,
                    kind: Kind::Transaction,
                    service: row.service.as_deref(),
                    path: row.path.as_deref(),
                    span_id: row.span_id.as_ref(),
                    tls_resumed: row.resumed,
                    status: row.status,
                    total_us: row.total_us,
                    auth_groups: &groups,
                    waf_rule_ids: &row.rules,
                    error_class: row.error.map(|index| ErrorClass::ALL[index]),
                    ..Record::default()
                });
            }
            let batch = decode(&builder.seal(1).unwrap().bytes, &DecodeLimits::default()).unwrap();
            prop_assert_eq!(batch.records.num_rows(), rows.len());
            for (at, row) in rows.iter().enumerate() {
                check_row(&batch, at, row)?;
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn any_bytes_are_survived(bytes in vec(any::<u8>(), 0..300)) {
        survive(&bytes);
        survive(&zstd(&bytes));
        survive(&[&[0x28, 0xb5, 0x2f, 0xfd], &bytes[..]].concat());
    }

    #[test]
    fn truncated_streams_are_survived(length in 0..RAW.len()) {
        survive(&zstd(&RAW[..length]));
    }

    #[test]
    fn flipped_bits_within_a_stream_are_survived(flips in vec((0..RAW.len(), 0..8), 1..4)) {
        let mut raw = RAW.clone();
        for (at, bit) in flips {
            raw[at] ^= 1_u8 << bit;
        }
        survive(&zstd(&raw));
    }

    #[test]
    fn overwritten_words_within_a_stream_are_survived(
        at in 0..RAW.len() / 4, word in prop_oneof![Just(u32::MAX), Just(i32::MAX as u32), Just(0), 0_u32..4096, any::<u32>()]
    ) {
        let mut raw = RAW.clone();
        raw[at * 4..at * 4 + 4].copy_from_slice(&word.to_le_bytes());
        survive(&zstd(&raw));
    }
}
