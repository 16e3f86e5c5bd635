//! Text from outside, made safe to store and to show.

/// Appends `text` to `out` with control characters escaped, at most `bytes_max` bytes of it.
///
/// Control characters (Unicode's C0, C1 and DEL), the line and paragraph separators and the marks that turn the direction of
/// writing become `\xNN` or `\u{NNNN}`, so that no text can forge a second log line or a terminal command
/// (CWE-117). Neither an escape nor a character is cut in half.
pub fn clean(text: &str, bytes_max: usize, out: &mut String) {
    let end = out.len().saturating_add(bytes_max);
    // Common case: nothing to escape.
    if text.len() <= bytes_max && is_printable(text.as_bytes()) {
        out.push_str(text);
        return;
    }
    for c in text.chars() {
        if !push_clean(c, end, out) {
            return;
        }
    }
}

/// Like [`clean`], for bytes that should be UTF-8; invalid ones become U+FFFD.
pub fn clean_bytes(bytes: &[u8], bytes_max: usize, out: &mut String) {
    if let Ok(text) = std::str::from_utf8(bytes) {
        return clean(text, bytes_max, out);
    }
    let end = out.len().saturating_add(bytes_max);
    for chunk in bytes.utf8_chunks() {
        clean(chunk.valid(), end.saturating_sub(out.len()), out);
        if !chunk.invalid().is_empty() && !push_clean('\u{fffd}', end, out) {
            return;
        }
    }
}

/// Returns whether all bytes are printable ASCII. The loop has no early exit, so that it is vectorised.
pub(super) fn is_printable(text: &[u8]) -> bool {
    text.iter().fold(true, |printable, byte| printable & matches!(byte, b' '..=b'~'))
}

/// Appends one character, escaped where needed. Returns false if it does not fit before `end`.
pub(super) fn push_clean(c: char, end: usize, out: &mut String) -> bool {
    let start = out.len();
    match c {
        ' '..='~' => out.push(c),
        '\0'..='\u{7f}' => {
            out.push_str("\\x");
            push_hex(c as u32, 2, out);
        }
        _ if is_unsafe(c) => {
            out.push_str("\\u{");
            push_hex(c as u32, 4, out);
            out.push('}');
        }
        _ => out.push(c),
    }
    if out.len() > end {
        out.truncate(start);
        return false;
    }
    true
}

/// Returns whether a character past ASCII can break a line, hide text, or turn its direction.
fn is_unsafe(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{2028}' | '\u{2029}' | '\u{200e}' | '\u{200f}' | '\u{061c}')
        || matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

fn push_hex(value: u32, digits: u32, out: &mut String) {
    for digit in (0..digits).rev() {
        let nibble = (value >> (digit * 4)) & 15;
        out.push(char::from_digit(nibble, 16).unwrap_or('0'));
    }
}
