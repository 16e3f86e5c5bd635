//! Values as JSON (RFC 8259).

use chrono::{DateTime, Datelike, Timelike};

pub(super) fn write_list<T>(items: impl Iterator<Item = T>, out: &mut Vec<u8>, write: impl Fn(T, &mut Vec<u8>)) {
    out.push(b'[');
    for (index, item) in items.enumerate() {
        if index > 0 {
            out.push(b',');
        }
        write(item, out);
    }
    out.push(b']');
}

pub(super) fn write_number(number: i64, out: &mut Vec<u8>) {
    out.extend_from_slice(itoa::Buffer::new().format(number).as_bytes());
}

const HEX: &[u8; 16] = b"0123456789abcdef";

pub(super) fn write_hex(bytes: &[u8], out: &mut Vec<u8>) {
    out.push(b'"');
    let start = out.len();
    out.resize(start + 2 * bytes.len(), 0);
    for (digits, byte) in out[start..].chunks_exact_mut(2).zip(bytes) {
        digits.copy_from_slice(&[HEX[usize::from(byte >> 4)], HEX[usize::from(byte & 15)]]);
    }
    out.push(b'"');
}

/// Appends `text` as a JSON string (RFC 8259, section 7).
///
/// serde_json's own escape would do the same with other bytes: it writes `\b` and `\f` where these rows have `\u0008` and `\u000c`. It also
/// tests one byte at a time, and nearly all texts need no escape.
pub(crate) fn write_str(text: &str, out: &mut Vec<u8>) {
    out.push(b'"');
    let bytes = text.as_bytes();
    // A loop without an early exit is vectorised.
    if !bytes.iter().fold(false, |any, &byte| any | must_be_escaped(byte)) {
        out.extend_from_slice(bytes);
        out.push(b'"');
        return;
    }
    let mut plain_from = 0;
    for (index, &byte) in bytes.iter().enumerate() {
        if !must_be_escaped(byte) {
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

fn must_be_escaped(byte: u8) -> bool {
    byte < 0x20 || byte == b'"' || byte == b'\\'
}

/// Appends the instant `us` microseconds after 1970 as `"2026-01-31T12:34:56.789012Z"` (RFC 3339). Instants outside of the
/// years 0 to 9999, which RFC 3339 cannot write, are appended as a number.
///
/// chrono knows the calendar. The digits are written here, because its formatting allocates a string for each instant, and Kafka
/// takes two instants a record.
pub(super) fn write_instant(us: i64, out: &mut Vec<u8>) {
    let instant = DateTime::from_timestamp_micros(us).filter(|instant| (0..=9999).contains(&instant.year()));
    let Some(instant) = instant else { return write_number(us, out) };
    let mut text = *b"\"0000-00-00T00:00:00.000000Z\"";
    let parts = [
        (1, 4, instant.year().unsigned_abs()),
        (6, 2, instant.month()),
        (9, 2, instant.day()),
        (12, 2, instant.hour()),
        (15, 2, instant.minute()),
        (18, 2, instant.second()),
        (21, 6, instant.timestamp_subsec_micros()),
    ];
    for (at, width, mut value) in parts {
        for place in text[at..at + width].iter_mut().rev() {
            *place = b'0' + (value % 10) as u8;
            value /= 10;
        }
    }
    out.extend_from_slice(&text);
}

/// Returns whether `text` is a JSON object of strings, as [`redact::Headers`](crate::redact::Headers) writes it.
pub(super) fn is_flat_object(text: &str) -> bool {
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

/// Returns what follows the JSON string at the start of `text`.
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
