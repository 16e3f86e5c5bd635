//! A row as a flat JSON object, for Kafka, files and eyes.
//!
//! Keys are OpenTelemetry's names where there is one, else `tollgate.<column>`; null columns are left out. Ids and
//! other bytes are lower-case hex, instants are RFC 3339 in UTC with microseconds, `headers` is an object of its own,
//! lists are arrays. The batch's `environment`, `zone` and `gateway_version` come last, where they are said.

use std::io::Write as _;
use std::sync::LazyLock;

use arrow_array::RecordBatch;

use crate::batch::BatchMeta;
use crate::columns::{COLUMNS, Column, ColumnType, index_of};
use crate::extract;
use crate::id::{RequestId, producer_tag};

const TIME: usize = index_of("time").unwrap();
const SEQ: usize = index_of("seq").unwrap();
const HEADERS: usize = index_of("headers").unwrap();

/// `"key":` of each column.
static KEYS: LazyLock<Vec<String>> =
    LazyLock::new(|| COLUMNS.iter().map(|column| format!("\"{}\":", key_of(column))).collect());

/// The key under which a column stands in the object.
pub fn key_of(column: &Column) -> String {
    column.otel.map_or_else(|| format!("tollgate.{}", column.name), str::to_owned)
}

/// Appends row `row` of the canonical `records` to `out` as one JSON object, without a line break.
///
/// A row that is not there gives `{}`.
pub fn write_row(records: &RecordBatch, meta: &BatchMeta, row: usize, out: &mut Vec<u8>) {
    out.push(b'{');
    let start = out.len();
    if row < records.num_rows() {
        for (index, column) in COLUMNS.iter().enumerate() {
            write_column(records, index, column, row, out);
        }
        write_request_id(records, meta, row, out);
        let said = [
            ("deployment.environment.name", &meta.environment),
            ("cloud.availability_zone", &meta.zone),
            ("service.version", &meta.gateway_version),
        ];
        for (key, value) in said.into_iter().filter(|(_, value)| !value.is_empty()) {
            out.push(b'"');
            out.extend_from_slice(key.as_bytes());
            out.extend_from_slice(b"\":");
            write_str(value, out);
            out.push(b',');
        }
    }
    if out.len() > start {
        out.pop();
    }
    out.push(b'}');
}

/// Appends `"key":value,`, or nothing when the value is null.
fn write_column(records: &RecordBatch, index: usize, column: &Column, row: usize, out: &mut Vec<u8>) {
    let before = out.len();
    out.extend_from_slice(KEYS[index].as_bytes());
    let written = match column.ty {
        ColumnType::Timestamp => extract::i64_at(records, index, row).map(|us| write_instant(us, out)),
        ColumnType::Int64 => extract::i64_at(records, index, row).map(|number| write_number(number, out)),
        ColumnType::Int32 => extract::i32_at(records, index, row).map(|number| write_number(i64::from(number), out)),
        ColumnType::Boolean => extract::bool_at(records, index, row).map(|value| {
            out.extend_from_slice(if value { b"true" } else { b"false" });
        }),
        ColumnType::Utf8 => extract::str_at(records, index, row).map(|text| {
            // Our own writers put an object there; whatever else comes is quoted, so that the row stays valid JSON.
            match index == HEADERS && is_flat_object(text) {
                true => out.extend_from_slice(text.as_bytes()),
                false => write_str(text, out),
            }
        }),
        ColumnType::Binary => extract::bytes_at(records, index, row).map(|bytes| write_hex(bytes, out)),
        ColumnType::Utf8List => extract::strs_at(records, index, row).map(|items| write_list(items, out, write_str)),
        ColumnType::Int32List => extract::i32s_at(records, index, row).map(|items| {
            write_list(items.iter(), out, |number, out| write_number(i64::from(*number), out));
        }),
    };
    match written {
        Some(()) => out.push(b','),
        None => out.truncate(before),
    }
}

fn write_request_id(records: &RecordBatch, meta: &BatchMeta, row: usize, out: &mut Vec<u8>) {
    let (Some(time_us), Some(seq)) = (extract::i64_at(records, TIME, row), extract::i64_at(records, SEQ, row)) else {
        return;
    };
    let id = RequestId::from_parts(time_us, producer_tag(&meta.producer), seq);
    out.extend_from_slice(b"\"http.request.id\":\"");
    out.extend_from_slice(id.encode(&mut [0; 36]).as_bytes());
    out.extend_from_slice(b"\",");
}

fn write_list<T>(items: impl Iterator<Item = T>, out: &mut Vec<u8>, write: impl Fn(T, &mut Vec<u8>)) {
    out.push(b'[');
    for (index, item) in items.enumerate() {
        if index > 0 {
            out.push(b',');
        }
        write(item, out);
    }
    out.push(b']');
}

fn write_number(number: i64, out: &mut Vec<u8>) {
    // Writing into memory does not fail.
    let _ = write!(out, "{number}");
}

const HEX: &[u8; 16] = b"0123456789abcdef";

fn write_hex(bytes: &[u8], out: &mut Vec<u8>) {
    out.push(b'"');
    for byte in bytes {
        out.push(HEX[usize::from(byte >> 4)]);
        out.push(HEX[usize::from(byte & 15)]);
    }
    out.push(b'"');
}

/// Appends `text` as a JSON string (RFC 8259, section 7).
pub(crate) fn write_str(text: &str, out: &mut Vec<u8>) {
    out.push(b'"');
    let bytes = text.as_bytes();
    let mut plain_from = 0;
    for (index, &byte) in bytes.iter().enumerate() {
        if byte >= 0x20 && byte != b'"' && byte != b'\\' {
            continue;
        }
        out.extend_from_slice(&bytes[plain_from..index]);
        plain_from = index + 1;
        match byte {
            b'"' | b'\\' => out.extend_from_slice(&[b'\\', byte]),
            b'\n' => out.extend_from_slice(b"\\n"),
            b'\r' => out.extend_from_slice(b"\\r"),
            b'\t' => out.extend_from_slice(b"\\t"),
            _ => {
                out.extend_from_slice(b"\\u00");
                out.extend_from_slice(&[HEX[usize::from(byte >> 4)], HEX[usize::from(byte & 15)]]);
            }
        }
    }
    out.extend_from_slice(&bytes[plain_from..]);
    out.push(b'"');
}

/// Appends the instant `us` microseconds after 1970 as `"2026-01-31T12:34:56.789012Z"` (RFC 3339). Instants outside of the
/// years 0 to 9999, which RFC 3339 cannot write, are appended as a number.
fn write_instant(us: i64, out: &mut Vec<u8>) {
    const DAY_US: i64 = 86_400_000_000;
    let (days, of_day) = (us.div_euclid(DAY_US), us.rem_euclid(DAY_US));
    let (year, month, day) = civil(days);
    if !(0..=9999).contains(&year) {
        return write_number(us, out);
    }
    let (seconds, micros) = (of_day / 1_000_000, of_day % 1_000_000);
    let (hour, minute, second) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    let mut text = *b"\"0000-00-00T00:00:00.000000Z\"";
    let parts =
        [(1, 4, year), (6, 2, month), (9, 2, day), (12, 2, hour), (15, 2, minute), (18, 2, second), (21, 6, micros)];
    for (at, width, mut value) in parts {
        for place in text[at..at + width].iter_mut().rev() {
            *place = b'0' + (value % 10) as u8;
            value /= 10;
        }
    }
    out.extend_from_slice(&text);
}

/// Year, month and day of the day `days` after 1970-01-01 in the Gregorian calendar, after Howard Hinnant's "chrono-Compatible
/// Low-Level Date Algorithms", `civil_from_days`.
fn civil(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let era = days.div_euclid(146_097);
    let day_of_era = days.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    (year, month, day)
}

/// Whether `text` is a JSON object of strings, as [`redact::Headers`](crate::redact::Headers) writes it.
fn is_flat_object(text: &str) -> bool {
    let Some(mut rest) = text.strip_prefix('{') else {
        return false;
    };
    if rest == "}" {
        return true;
    }
    loop {
        let after_value = after_string(rest).and_then(|rest| rest.strip_prefix(':')).and_then(after_string);
        rest = match after_value.map(|rest| (rest, rest.strip_prefix(','))) {
            Some((_, Some(next))) => next,
            Some((end, None)) => return end == "}",
            None => return false,
        };
    }
}

/// What follows the JSON string at the start of `text`.
fn after_string(text: &str) -> Option<&str> {
    let bytes = text.as_bytes();
    let mut at = 1;
    if bytes.first() != Some(&b'"') {
        return None;
    }
    loop {
        match bytes.get(at)? {
            b'"' => return text.get(at + 1..),
            b'\\' => {
                at += match bytes.get(at + 1)? {
                    b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't' => 2,
                    b'u' if bytes.get(at + 2..at + 6)?.iter().all(u8::is_ascii_hexdigit) => 6,
                    _ => return None,
                }
            }
            0..0x20 => return None,
            _ => at += 1,
        }
    }
}
