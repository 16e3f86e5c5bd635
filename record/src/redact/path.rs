//! Paths without the ids in them.

use super::REDACTED_SEGMENT;
use super::text::{push_clean, push_text};

/// A run of this many digits or more is an id: a member's number, a phone number, a date of birth.
pub const DIGIT_RUN_MIN: usize = 6;
/// An unbroken run of this many hex digits or more, with a digit among them, is an id or a token.
pub const HEX_RUN_MIN: usize = 16;
/// An unbroken run of this many base64 characters or more, with a digit and letters of both cases, is a token.
pub const TOKEN_RUN_MIN: usize = 20;
/// An unbroken run of this many letters and digits or more, with a digit among them, is a token whatever its case.
pub const WORD_RUN_MIN: usize = 24;

/// Fewest bytes of any token.
const TOKEN_BYTES_MIN: usize = HEX_RUN_MIN;
const _: () = assert!(HEX_RUN_MIN <= TOKEN_RUN_MIN && HEX_RUN_MIN <= WORD_RUN_MIN);

/// Appends the path `raw` to `out`, at most `bytes_max` bytes of it. Each segment that looks like personal data or a secret becomes
/// `{redacted}`: e-mail addresses, UUIDs, long numbers, hex and base64-like tokens. Segments are decoded for the test, and kept
/// encoded. What follows `?`, `#` or `;` is left out: matrix parameters (`;jsessionid=…`) carry secrets.
pub fn scrub_path(raw: &str, bytes_max: usize, out: &mut String) {
    // The common case: the path is short and plain, and has too few digits for an id.
    if raw.len() <= bytes_max && is_plain(raw.as_bytes()) && is_harmless(raw.as_bytes()) {
        out.push_str(raw);
        return;
    }
    let end = out.len().saturating_add(bytes_max);
    let raw = until(raw, |byte| matches!(byte, b'?' | b'#'));
    let mut rest = Some(raw);
    while let Some(left) = rest {
        let segment = until(left, |byte| byte == b'/');
        rest = left.get(segment.len() + 1..);
        if left.len() < raw.len() && !push_clean('/', end, out) {
            return;
        }
        let name = until(segment, |byte| byte == b';');
        if is_sensitive(name) {
            if out.len() + REDACTED_SEGMENT.len() > end {
                return;
            }
            out.push_str(REDACTED_SEGMENT);
            continue;
        }
        if !push_text(name, end, out) {
            return;
        }
    }
}

/// `text` up to the first ASCII byte that ends it.
fn until(text: &str, ends: impl Fn(u8) -> bool) -> &str {
    &text[..text.bytes().position(ends).unwrap_or(text.len())]
}

/// Returns whether a path is printable ASCII without parameters and query.
fn is_plain(path: &[u8]) -> bool {
    // A loop without an early exit is vectorised, which is faster for short paths.
    !path.iter().fold(false, |odd, byte| odd | !matches!(byte, b' '..=b'~') | matches!(byte, b';' | b'?' | b'#'))
}

/// Returns whether a glance shows that nothing in `text` is sensitive. Everything sensitive has an at sign, plain or encoded, or as
/// many digits as an id, or a digit among as many bytes as a token.
fn is_harmless(text: &[u8]) -> bool {
    let digits = text.iter().filter(|byte| byte.is_ascii_digit()).count();
    let disguised = text.iter().fold(false, |found, byte| found | matches!(byte, b'@' | b'%'));
    !disguised && (digits == 0 || (digits < DIGIT_RUN_MIN && text.len() < TOKEN_BYTES_MIN))
}

/// Returns whether a segment of a path looks like personal data or a secret.
pub fn is_sensitive(segment: &str) -> bool {
    !is_harmless(segment.as_bytes()) && looks_sensitive(segment)
}

fn looks_sensitive(segment: &str) -> bool {
    let mut scan = Scan::default();
    let mut bytes = segment.bytes();
    while let Some(byte) = bytes.next() {
        let byte = match byte {
            b'%' => decode_percent(&mut bytes),
            byte => byte,
        };
        if scan.at(byte) {
            return true;
        }
    }
    scan.ends()
}

/// Decodes the byte after a percent sign, however often it was encoded. A malformed escape reads as a percent sign.
fn decode_percent(bytes: &mut std::str::Bytes<'_>) -> u8 {
    loop {
        let mut ahead = bytes.clone();
        let (Some(high), Some(low)) = (ahead.next().and_then(hex), ahead.next().and_then(hex)) else {
            return b'%';
        };
        *bytes = ahead;
        match (high << 4) | low {
            b'%' => continue,
            byte => return byte,
        }
    }
}

fn hex(byte: u8) -> Option<u8> {
    char::from(byte).to_digit(16).map(|digit| digit as u8)
}

/// The state of the scan of one segment.
#[derive(Default)]
struct Scan {
    /// Digits in a row, with single separators between them left out: 555-12-3456 is one run.
    digits: usize,
    /// Whether the last byte was a separator within such a run.
    separated: bool,
    /// The unbroken run of letters, digits, `-`, `_`, `+`, `=` and `.`.
    run: Run,
    /// The unbroken run of hex digits and dashes.
    hex: Run,
    /// The unbroken run of letters and digits.
    word: Run,
    at_sign: bool,
}

#[derive(Default)]
struct Run {
    length: usize,
    digit: bool,
    upper: bool,
    lower: bool,
}

impl Run {
    fn add(&mut self, byte: u8) {
        self.length += 1;
        self.digit |= byte.is_ascii_digit();
        self.upper |= byte.is_ascii_uppercase();
        self.lower |= byte.is_ascii_lowercase();
    }

    fn is_token(&self) -> bool {
        self.length >= TOKEN_RUN_MIN && self.digit && self.upper && self.lower
    }

    fn is_word_token(&self) -> bool {
        self.length >= WORD_RUN_MIN && self.digit
    }

    fn is_hex_token(&self) -> bool {
        self.length >= HEX_RUN_MIN && self.digit
    }
}

impl Scan {
    /// Scans the next byte. Returns true as soon as the segment is sensitive, whatever follows.
    fn at(&mut self, byte: u8) -> bool {
        if byte.is_ascii_digit() {
            self.digits += 1;
            self.separated = false;
        } else if matches!(byte, b'-' | b'.' | b' ') && self.digits > 0 && !self.separated {
            self.separated = true;
        } else {
            self.digits = 0;
            self.separated = false;
        }
        if byte.is_ascii_hexdigit() {
            self.hex.add(byte);
        } else if byte != b'-' {
            self.hex = Run::default();
        }
        if byte.is_ascii_alphanumeric() {
            self.word.add(byte);
        } else {
            self.word = Run::default();
        }
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'+' | b'=' | b'.' | b'~') {
            self.run.add(byte);
        } else {
            self.run = Run::default();
        }
        // An e-mail address has a host after the @; its first byte decides.
        let address = self.at_sign && byte.is_ascii_alphanumeric();
        self.at_sign |= byte == b'@';
        address
            || self.digits >= DIGIT_RUN_MIN
            || self.hex.is_hex_token()
            || self.word.is_word_token()
            || self.run.is_token()
    }

    /// Returns whether the segment is sensitive, once it has ended.
    fn ends(&self) -> bool {
        self.at_sign
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn what_is_harmless_at_a_glance_is_so_at_a_closer_look(segment in "[a-zA-Z0-9@%=_. -]{0,40}") {
            prop_assert!(!is_harmless(segment.as_bytes()) || !looks_sensitive(&segment));
        }

        #[test]
        fn a_path_that_is_kept_whole_has_only_harmless_segments(path in "[/a-z0-9;?#@%\u{e9}-]{0,24}") {
            let mut out = String::new();
            scrub_path(&path, 256, &mut out);
            let parts = until(&path, |byte| matches!(byte, b'?' | b'#'));
            let scrubbed: Vec<&str> = parts
                .split('/')
                .map(|segment| segment.split(';').next().unwrap_or_default())
                .map(|name| if looks_sensitive(name) { REDACTED_SEGMENT } else { name })
                .collect();
            prop_assert_eq!(out, scrubbed.join("/"));
        }
    }
}
