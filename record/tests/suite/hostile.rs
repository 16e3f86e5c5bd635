//! Batches that are broken or lie: each is refused with its reason.

use std::sync::Arc;

use arrow_array::{ArrayRef, Int64Array, RecordBatch, StringArray};
use arrow_ipc::CompressionType;
use arrow_ipc::writer::{IpcWriteOptions, StreamWriter};
use arrow_schema::{DataType, Field, Schema};
use tollgate_record::{DecodeError, DecodeLimits, decode};

use crate::streams::{columns, decoded, metadata, replace, sealed, stream, written, zstd};

fn refused(bytes: &[u8]) -> DecodeError {
    decode(bytes, &DecodeLimits::default()).unwrap_err()
}

fn refused_raw(raw: &[u8]) -> DecodeError {
    refused(&zstd(raw))
}

fn raw() -> Vec<u8> {
    zstd::bulk::decompress(&sealed(10).bytes, 1 << 20).unwrap()
}

#[test]
fn what_is_no_frame_is_refused() {
    assert_eq!(refused(b""), DecodeError::Truncated);
    assert_eq!(refused(&[0x28, 0xb5]), DecodeError::Truncated);
    assert!(matches!(refused(b"{\"a\":1}"), DecodeError::NotZstd(_)));
    let whole = sealed(10).bytes;
    for length in 4..whole.len() {
        let error = refused(&whole[..length]);
        assert!(matches!(error, DecodeError::Truncated | DecodeError::NotZstd(_)), "{length}: {error}");
    }
}

#[test]
fn what_follows_the_frame_is_refused() {
    let whole = sealed(10).bytes;
    let twice = [&whole[..], &whole[..]].concat();
    assert!(matches!(refused(&twice), DecodeError::TrailingBytes { .. }));
    let and_more = [&whole[..], b"x"].concat();
    assert_eq!(refused(&and_more), DecodeError::TrailingBytes { bytes: 1, what: "the zstd frame" });
}

#[test]
fn a_bit_that_flipped_is_noticed() {
    let whole = sealed(10).bytes.to_vec();
    for at in 0..whole.len() {
        let mut flipped = whole.clone();
        flipped[at] ^= 1 << (at % 8);
        // The frame's checksum covers its content; a few header bits mean nothing to the decoder.
        if let Ok(batch) = decode(&flipped, &DecodeLimits::default()) {
            assert_eq!(batch.records, decoded(10).records);
        }
    }
}

#[test]
fn bombs_are_refused_before_they_go_off() {
    let limits = DecodeLimits { raw_bytes_max: 1 << 20, ..DecodeLimits::default() };
    let zeros = vec![0; 8 << 20];
    let said = zstd::bulk::compress(&zeros, 19).unwrap();
    assert!(said.len() < 2000);
    assert!(matches!(decode(&said, &limits), Err(DecodeError::TooLarge { .. })));
    let unsaid = zstd::encode_all(&zeros[..], 19).unwrap();
    assert!(matches!(decode(&unsaid, &limits), Err(DecodeError::TooLarge { .. })));
    let mut lying = said.clone();
    // A content size of 16 bytes instead of 8 MiB: the four bytes after the descriptor.
    lying[5..9].copy_from_slice(&16_u32.to_le_bytes());
    assert!(matches!(decode(&lying, &limits), Err(DecodeError::NotZstd(_))));
    let limits = DecodeLimits { compressed_bytes_max: 100, ..DecodeLimits::default() };
    assert!(matches!(decode(&sealed(10).bytes, &limits), Err(DecodeError::TooLarge { max: 100, .. })));
    let limits = DecodeLimits { rows_max: 9, ..DecodeLimits::default() };
    assert!(matches!(decode(&sealed(10).bytes, &limits), Err(DecodeError::TooLarge { max: 9, .. })));
}

#[test]
fn a_frame_of_unknown_size_is_read() {
    let piped = zstd::encode_all(&raw()[..], 3).unwrap();
    assert_eq!(decode(&piped, &DecodeLimits::default()).unwrap().records, decoded(10).records);
}

#[test]
fn what_is_no_stream_is_refused() {
    assert_eq!(refused_raw(b""), DecodeError::Truncated);
    let raw = raw();
    assert_eq!(refused_raw(&raw[..raw.len() - 100]), DecodeError::Truncated);
    assert!(matches!(refused_raw(&[7; 64]), DecodeError::TooLarge { .. }));
    assert!(matches!(refused_raw(&[1, 0, 0, 0, 9]), DecodeError::NotArrow(_)));
    let and_more = [&raw[..], b"x"].concat();
    assert_eq!(refused_raw(&and_more), DecodeError::TrailingBytes { bytes: 1, what: "the arrow stream" });
    let without_end = &raw[..raw.len() - 8];
    decode(&zstd(without_end), &DecodeLimits::default()).unwrap();
}

#[test]
fn streams_of_another_make_are_refused() {
    let records = decoded(10).records;
    let schema = Arc::new(Schema::new_with_metadata(records.schema().fields().clone(), metadata(10)));
    let batch = RecordBatch::try_new(schema.clone(), records.columns().to_vec()).unwrap();
    let twice = written(&schema, &[batch.clone(), batch.clone()], IpcWriteOptions::default());
    assert!(matches!(refused_raw(&twice), DecodeError::NotArrow(_)));
    let none = written(&schema, &[], IpcWriteOptions::default());
    assert_eq!(refused_raw(&none), DecodeError::Truncated);
    let empty = written(&schema, &[batch.slice(0, 0)], IpcWriteOptions::default());
    assert!(matches!(refused_raw(&empty), DecodeError::Inconsistent(_)));
}

/// Only where arrow-ipc is built with a codec, which this crate does not ask for.
#[test]
fn compressed_buffers_are_refused() {
    let records = decoded(10).records;
    let schema = Schema::new_with_metadata(records.schema().fields().clone(), metadata(10));
    let batch = RecordBatch::try_new(Arc::new(schema.clone()), records.columns().to_vec()).unwrap();
    let options = IpcWriteOptions::default().try_with_compression(Some(CompressionType::ZSTD)).unwrap();
    let mut writer = StreamWriter::try_new_with_options(Vec::new(), &schema, options).unwrap();
    if writer.write(&batch).is_ok() {
        assert!(matches!(refused_raw(&writer.into_inner().unwrap()), DecodeError::NotArrow(_)));
    }
}

#[test]
fn metadata_that_is_missing_or_wrong_is_named() {
    let with = |key: &str, value: Option<&str>| {
        let mut metadata = metadata(10);
        match value {
            Some(value) => metadata.insert(format!("tollgate.{key}"), value.to_owned()),
            None => metadata.remove(&format!("tollgate.{key}")),
        };
        refused_raw(&stream(columns(&decoded(10).records), metadata))
    };
    for key in ["record_version", "producer", "node_id", "batch_seq", "first_seq", "last_seq"] {
        let error = with(key, None);
        assert!(matches!(error, DecodeError::MissingMetadata { key: named } if named.ends_with(key)), "{error}");
    }
    for (key, value) in [
        ("producer", "gate-1"),
        ("producer", "gate-1/6475c2e8d4000/1"),
        ("node_id", "gate-2"),
        ("batch_seq", "0"),
        ("batch_seq", "many"),
        ("first_seq", "2"),
        ("first_seq", "0"),
        ("last_seq", "9"),
        ("last_seq", "4398046511104"),
    ] {
        let error = with(key, Some(value));
        assert!(matches!(error, DecodeError::Inconsistent(_)), "{key} {value}: {error}");
    }
}

#[test]
fn rows_that_contradict_the_batch_are_refused() {
    let texts = |text: &str| Arc::new(StringArray::from(vec![text; 10])) as ArrayRef;
    let mut kinds = vec!["transaction"; 10];
    kinds[4] = "gap";
    let cases: [(&str, ArrayRef); 7] = [
        ("producer", texts("gate-1/6475c2e8d4000/1")),
        ("node_id", texts("gate-2")),
        ("seq", Arc::new(Int64Array::from(vec![1; 10]))),
        ("seq", Arc::new(Int64Array::from((2..12).collect::<Vec<i64>>()))),
        ("seq", Arc::new(Int64Array::from(vec![None; 10]))),
        ("kind", Arc::new(StringArray::from(kinds))),
        ("kind", Arc::new(StringArray::from(vec![None::<&str>; 10]))),
    ];
    for (name, array) in cases {
        let mut columns = columns(&decoded(10).records);
        replace(&mut columns, name, array);
        let error = refused_raw(&stream(columns, metadata(10)));
        assert!(matches!(error, DecodeError::Inconsistent(_)), "{name}: {error}");
    }
    let mut columns = columns(&decoded(10).records);
    columns.push(columns[9].clone());
    assert!(matches!(refused_raw(&stream(columns, metadata(10))), DecodeError::Inconsistent(_)));
}

#[test]
fn a_schema_that_unfolds_is_refused() {
    let mut columns = columns(&decoded(10).records);
    for number in 0..1000 {
        let values: ArrayRef = Arc::new(Int64Array::from(vec![number; 10]));
        columns.push((Field::new(format!("extra_{number}"), DataType::Int64, false), values));
    }
    assert!(matches!(refused_raw(&stream(columns, metadata(10))), DecodeError::TooLarge { .. }));
}
