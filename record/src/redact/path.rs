//! Paths without the ids in them.

use super::REDACTED_SEGMENT;
use super::text::push_clean;

/// A run of this many digits or more is an id: a member's number, a phone number, a date of birth.
pub const DIGIT_RUN_MIN: usize = 6;
/// An unbroken run of this many hex digits or more, with a digit among them, is an id or a token.
pub const HEX_RUN_MIN: usize = 16;
/// An unbroken run of this many base64 characters or more, with a digit and letters of both cases, is a token.
pub const TOKEN_RUN_MIN: usize = 20;
/// An unbroken run of this many letters and digits or more, with a digit among them, is a token whatever its case.
pub const WORD_RUN_MIN: usize = 24;

/// Appends the path `raw` (without its query) to `out`, at most `bytes_max` bytes of it, with each segment that looks like
/// personal data or a secret replaced by `{redacted}`: e-mail addresses, UUIDs, long numbers, hex and base64-like
/// tokens. Percent-encoding is looked through, and otherwise kept. What follows `?`, `#` or `;` is left out: matrix
/// parameters (`;jsessionid=…`) carry secrets.
pub fn scrub_path(raw: &str, bytes_max: usize, out: &mut String) {
    let end = out.len().saturating_add(bytes_max);
    let raw = raw.split(['?', '#']).next().unwrap_or_default();
    for (index, segment) in raw.split('/').enumerate() {
        if index > 0 && !push_clean('/', end, out) {
            return;
        }
        let name = segment.split(';').next().unwrap_or_default();
        if is_sensitive(name) {
            if out.len() + REDACTED_SEGMENT.len() > end {
                return;
            }
            out.push_str(REDACTED_SEGMENT);
            continue;
        }
        // Common case: nothing to escape.
        if name.len() <= end.saturating_sub(out.len()) && name.bytes().all(|byte| (0x20..0x7f).contains(&byte)) {
            out.push_str(name);
            continue;
        }
        for c in name.chars() {
            if !push_clean(c, end, out) {
                return;
            }
        }
    }
}

/// Whether a segment of a path looks like personal data or a secret.
pub fn is_sensitive(segment: &str) -> bool {
    // Whatever is looked for has a digit or an at sign, plain or encoded; most segments are words.
    if !segment.bytes().any(|byte| byte.is_ascii_digit() || matches!(byte, b'@' | b'%')) {
        return false;
    }
    let mut look = Look::default();
    let mut bytes = segment.bytes();
    while let Some(byte) = bytes.next() {
        let byte = match byte {
            b'%' => decode_percent(&mut bytes),
            byte => byte,
        };
        if look.at(byte) {
            return true;
        }
    }
    look.ends()
}

/// The byte that follows a percent sign, however often it was encoded; malformed encoding reads as a percent sign.
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

/// What was seen of a segment so far.
#[derive(Default)]
struct Look {
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

impl Look {
    /// Takes the next byte; true when the segment is sensitive whatever follows.
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
        // An address needs something before its @, and a host after it: one byte of it will do.
        let address = self.at_sign && byte.is_ascii_alphanumeric();
        self.at_sign |= byte == b'@';
        address
            || self.digits >= DIGIT_RUN_MIN
            || self.hex.is_hex_token()
            || self.word.is_word_token()
            || self.run.is_token()
    }

    /// Whether the segment is sensitive, now that it ends.
    fn ends(&self) -> bool {
        self.at_sign
    }
}
