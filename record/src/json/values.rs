//! Values as JSON (RFC 8259).

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
pub(crate) fn write_str(text: &str, out: &mut Vec<u8>) {
    out.push(b'"');
    let bytes = text.as_bytes();
    // Nearly all texts are plain. Without a way out of the loop it looks at many bytes at once.
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
pub(super) fn write_instant(us: i64, out: &mut Vec<u8>) {
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
