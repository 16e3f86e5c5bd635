//! Text from outside, made safe to store and to show.

/// Appends `text` to `out` with control characters escaped, at most `bytes_max` bytes of it.
///
/// Control characters (Unicode's C0, C1 and DEL), the line and paragraph separators, the marks that turn the direction of
/// writing and those without a width become `\xNN` or `\u{NNNN}`, so that no text can forge a second log line or a terminal command
/// (CWE-117). Neither an escape nor a character is cut in half, be it written as itself or percent-encoded.
pub fn clean(text: &str, bytes_max: usize, out: &mut String) {
    let end = out.len().saturating_add(bytes_max);
    push_text(text, end, out);
}

/// Appends `text` as [`clean`] does. Returns false if not all of it fits before `end`.
pub(super) fn push_text(text: &str, end: usize, out: &mut String) -> bool {
    // Common case: nothing to escape.
    if text.len() <= end.saturating_sub(out.len()) && is_printable(text.as_bytes()) {
        out.push_str(text);
        return true;
    }
    let start = out.len();
    for (at, c) in text.char_indices() {
        if !push_clean(c, end, out) {
            let whole = whole_escapes(&out.as_bytes()[start..], &text.as_bytes()[at..]);
            out.truncate(start + whole);
            return false;
        }
    }
    true
}

/// Returns the beginning of `text` that has at most `bytes_max` bytes, and no half of a character at its end, be it written as
/// itself or percent-encoded.
#[inline]
pub(crate) fn cut(text: &str, bytes_max: usize) -> &str {
    if text.len() <= bytes_max {
        return text;
    }
    let (kept, rest) = text.split_at(text.floor_char_boundary(bytes_max));
    &kept[..whole_escapes(kept.as_bytes(), rest.as_bytes())]
}

/// Returns how much of `kept`, which `rest` followed, ends neither within a percent escape nor between two escapes of one
/// character of UTF-8.
fn whole_escapes(kept: &[u8], rest: &[u8]) -> usize {
    let at = |place: usize| kept.get(place).or_else(|| rest.get(place - kept.len())).copied();
    let digit = |place| at(place).and_then(|byte| char::from(byte).to_digit(16));
    let escape = |place: usize| match at(place)? {
        b'%' => Some(digit(place + 1)? << 4 | digit(place + 2)?),
        _ => None,
    };
    let is_later_byte = |byte: u32| byte & 0xc0 == 0x80;
    let mut end = kept.len();
    if let Some(back) = (1..=2).find(|back| end.checked_sub(*back).is_some_and(|place| escape(place).is_some())) {
        end -= back;
    }
    if !escape(end).is_some_and(is_later_byte) {
        return end;
    }
    // A character has three later bytes at most. Escapes that are no UTF-8 may be parted anywhere.
    let before = (1..=3).map_while(|nth| Some((end.checked_sub(nth * 3)?, escape(end.checked_sub(nth * 3)?)?)));
    match before.into_iter().find(|(_, byte)| !is_later_byte(*byte)) {
        Some((first, 0xc0..)) => first,
        _ => end,
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

/// Returns whether all bytes are printable ASCII. Eight bytes are looked at in one go, which is fast without vectors, too.
#[inline]
pub(crate) fn is_printable(text: &[u8]) -> bool {
    const EACH: u64 = u64::from_le_bytes([1; 8]);
    const HIGH: u64 = EACH << 7;
    let (words, rest) = text.as_chunks::<8>();
    let mut odd = 0;
    for word in words {
        let word = u64::from_le_bytes(*word);
        let delete = word ^ (EACH * 0x7f);
        // The high bit of a byte: that of the byte itself, of what is below a space, and of DEL.
        odd |= word | (word.wrapping_sub(EACH * 0x20) & !word) | (delete.wrapping_sub(EACH) & !delete);
    }
    odd & HIGH == 0 && rest.iter().all(|byte| matches!(byte, b' '..=b'~'))
}

/// Returns whether `text` has nothing that [`clean`] escapes.
#[inline]
pub fn is_clean(text: &str) -> bool {
    is_printable(text.as_bytes()) || !text.chars().any(|c| c.is_ascii_control() || is_unsafe(c))
}

/// Returns `text` as [`clean`] writes it, at most `bytes_max` bytes of it.
#[must_use]
pub fn cleaned(text: &str, bytes_max: usize) -> String {
    let mut out = String::new();
    clean(text, bytes_max, &mut out);
    out
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
            push_hex(c as u32, if c > '\u{ffff}' { 5 } else { 4 }, out);
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
        || matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{206f}')
        || matches!(c, '\u{200b}' | '\u{2060}'..='\u{2064}' | '\u{feff}' | '\u{e0000}'..='\u{e007f}')
}

fn push_hex(value: u32, digits: u32, out: &mut String) {
    for digit in (0..digits).rev() {
        let nibble = (value >> (digit * 4)) & 15;
        out.push(char::from_digit(nibble, 16).unwrap_or('0'));
    }
}
