//! Batches that others wrote: other types, other versions, other columns.

use std::sync::Arc;

use arrow_array::builder::{StringDictionaryBuilder, StringViewBuilder};
use arrow_array::cast::AsArray;
use arrow_array::types::{Int8Type, Int32Type, UInt16Type};
use arrow_array::{
    Array, ArrayRef, BooleanArray, FixedSizeBinaryArray, Int32Array, LargeStringArray, StringArray, StringViewArray,
    StructArray,
};
use arrow_schema::{DataType, Field, Fields};
use tollgate_record::columns::index_of;
use tollgate_record::{DecodeError, DecodeLimits, decode, extract, schema};

use crate::streams::{columns, decoded, metadata, replace, stream, zstd};

const ROWS: i64 = 20;

fn decode_with(change: impl FnOnce(&mut Vec<(Field, ArrayRef)>)) -> Result<tollgate_record::Batch, DecodeError> {
    let mut columns = columns(&decoded(ROWS).records);
    change(&mut columns);
    decode(&zstd(&stream(columns, metadata(ROWS))), &DecodeLimits::default())
}

fn texts(name: &str) -> Vec<Option<String>> {
    let batch = decoded(ROWS);
    let column = index_of(name).unwrap();
    (0..ROWS as usize).map(|row| extract::str_at(&batch.records, column, row).map(str::to_owned)).collect()
}

#[test]
fn text_is_read_in_any_shape() {
    for name in ["service", "path", "auth_result", "consumer"] {
        let texts = texts(name);
        let narrow: StringDictionaryBuilder<Int8Type> =
            texts.iter().fold(StringDictionaryBuilder::new(), |mut builder, text| {
                builder.append_option(text.as_deref());
                builder
            });
        let mut unsigned = StringDictionaryBuilder::<UInt16Type>::new();
        let mut view = StringViewBuilder::new();
        for text in &texts {
            unsigned.append_option(text.as_deref());
            view.append_option(text.as_deref());
        }
        let mut narrow = narrow;
        let shapes: [ArrayRef; 5] = [
            Arc::new(StringArray::from(texts.clone())),
            Arc::new(LargeStringArray::from(texts.clone())),
            Arc::new(view.finish()),
            Arc::new(narrow.finish()),
            Arc::new(unsigned.finish()),
        ];
        for shape in shapes {
            let read = decode_with(|columns| replace(columns, name, shape.clone())).unwrap();
            assert_eq!(read.records.schema(), schema::wire());
            let column = index_of(name).unwrap();
            for (row, text) in texts.iter().enumerate() {
                assert_eq!(extract::str_at(&read.records, column, row), text.as_deref(), "{:?}", shape.data_type());
            }
        }
    }
}

#[test]
fn null_values_of_a_dictionary_are_null_rows() {
    let keys =
        Int32Array::from(vec![Some(0), Some(1), None].into_iter().cycle().take(ROWS as usize).collect::<Vec<_>>());
    let values = StringArray::from(vec![None, Some("there")]);
    let array = arrow_array::DictionaryArray::<Int32Type>::new(keys, Arc::new(values));
    let read = decode_with(|columns| replace(columns, "service", Arc::new(array))).unwrap();
    let column = index_of("service").unwrap();
    let found: Vec<_> = (0..3).map(|row| extract::str_at(&read.records, column, row)).collect();
    assert_eq!(found, [None, Some("there"), None]);
    assert_eq!(read.records.column(column).as_dictionary::<Int32Type>().values().null_count(), 0);
}

#[test]
fn bytes_of_a_fixed_size_are_read_and_checked() {
    let fixed = |width| {
        let values = (0..ROWS).map(|number| Some(vec![number as u8; width]));
        Arc::new(FixedSizeBinaryArray::try_from_sparse_iter_with_size(values, width as i32).unwrap()) as ArrayRef
    };
    let read = decode_with(|columns| replace(columns, "trace_id", fixed(16))).unwrap();
    assert_eq!(extract::bytes_at(&read.records, index_of("trace_id").unwrap(), 3), Some(&[3; 16][..]));
    let error = decode_with(|columns| replace(columns, "trace_id", fixed(8))).unwrap_err();
    assert!(matches!(error, DecodeError::Inconsistent(_)), "{error}");
}

#[test]
fn other_versions_are_read_within_one() {
    for (version, fits) in [("0", true), ("1", true), ("2", true), ("3", false), ("one", false), ("-1", false)] {
        let mut metadata = metadata(ROWS);
        metadata.insert("tollgate.record_version".to_owned(), version.to_owned());
        let read = decode(&zstd(&stream(columns(&decoded(ROWS).records), metadata)), &DecodeLimits::default());
        match read {
            Ok(batch) => assert!(fits && batch.meta.record_version.to_string() == version),
            Err(error) => assert!(!fits && matches!(error, DecodeError::UnsupportedVersion { .. }), "{error}"),
        }
    }
}

#[test]
fn unknown_columns_are_left_out_and_missing_ones_are_null() {
    let read = decode_with(|columns| {
        columns.retain(|(field, _)| !["service", "status", "auth_groups"].contains(&field.name().as_str()));
        let flags: ArrayRef = Arc::new(BooleanArray::from([Some(true), None].repeat(ROWS as usize / 2)));
        let fields: Fields = vec![Field::new("flag", DataType::Boolean, true)].into();
        let nested: ArrayRef = Arc::new(StructArray::new(fields, vec![flags], None));
        columns.insert(0, (Field::new("of_tomorrow", nested.data_type().clone(), true), nested));
        columns.reverse();
    })
    .unwrap();
    assert_eq!(read.records.schema(), schema::wire());
    for name in ["service", "status", "auth_groups"] {
        assert_eq!(read.records.column(index_of(name).unwrap()).null_count(), ROWS as usize);
    }
    let required = decode_with(|columns| columns.retain(|(field, _)| field.name() != "time"));
    assert!(matches!(required, Err(DecodeError::WrongSchema { column, .. }) if column == "time"));
}

#[test]
fn wrong_types_are_named() {
    let error = decode_with(|columns| {
        replace(columns, "status", Arc::new(StringViewArray::from(vec!["200"; ROWS as usize])));
    })
    .unwrap_err();
    let expected = DecodeError::WrongSchema {
        column: "status".to_owned(),
        expected: "Int32".to_owned(),
        found: "Utf8View".to_owned(),
    };
    assert_eq!(error, expected);
}

#[test]
fn a_small_dictionary_cannot_stand_for_much_text() {
    let keys = Int32Array::from(vec![0; ROWS as usize]);
    let values = StringArray::from(vec!["x".repeat(100_000)]);
    let dictionary = arrow_array::DictionaryArray::<Int32Type>::new(keys, Arc::new(values));
    let mut columns = columns(&decoded(ROWS).records);
    replace(&mut columns, "path", Arc::new(dictionary));
    let limits = DecodeLimits { raw_bytes_max: 1_000_000, ..DecodeLimits::default() };
    let error = decode(&zstd(&stream(columns, metadata(ROWS))), &limits).unwrap_err();
    assert!(matches!(error, DecodeError::TooLarge { max: 1_000_000, .. }), "{error}");
}

#[test]
fn time_zones_that_mean_utc_are_read() {
    let column = decoded(ROWS).records.column(0).clone();
    for (zone, fits) in [("+00:00", true), ("Europe/Paris", false)] {
        let instants =
            column.as_primitive::<arrow_array::types::TimestampMicrosecondType>().clone().with_timezone(zone);
        let read = decode_with(|columns| replace(columns, "time", Arc::new(instants)));
        assert_eq!(read.is_ok(), fits, "{zone}");
        if let Ok(batch) = read {
            assert!(
                matches!(batch.records.column(0).data_type(), DataType::Timestamp(_, Some(zone)) if &**zone == "UTC")
            );
        }
    }
}
