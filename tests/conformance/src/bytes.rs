//! Bytes as text and back: what a case sends is written with the escapes of YAML.

/// The bytes of a case's text: each character up to U+00FF is one byte, and `{x*20000}` stands for 20,000 `x`.
///
/// # Errors
/// A character that is no byte.
pub fn of_text(text: &str) -> anyhow::Result<Vec<u8>> {
    let characters: Vec<char> = text.chars().collect();
    let mut bytes = Vec::with_capacity(text.len());
    let mut at = 0;
    while let Some(&character) = characters.get(at) {
        if let Some((byte, times, length)) = repetition(&characters[at..]) {
            bytes.extend(std::iter::repeat_n(byte, times));
            at += length;
            continue;
        }
        let byte = u8::try_from(u32::from(character));
        bytes.push(byte.map_err(|_| anyhow::anyhow!("{character:?} is no byte; write its UTF-8 as \\x.."))?);
        at += 1;
    }
    Ok(bytes)
}

/// The byte, how often, and the length in characters of a `{x*20000}` at the beginning of `text`.
fn repetition(text: &[char]) -> Option<(u8, usize, usize)> {
    let ['{', repeated, '*', rest @ ..] = text else { return None };
    let end = rest.iter().position(|c| *c == '}')?;
    let times: String = rest[..end].iter().collect();
    Some((u8::try_from(u32::from(*repeated)).ok()?, times.parse().ok()?, 3 + end + 1))
}

/// Bytes as a double-quoted YAML string that can be pasted into a case. Long runs of one byte are shortened.
#[must_use]
pub fn to_text(bytes: &[u8]) -> String {
    let mut text = String::from("\"");
    let mut at = 0;
    while at < bytes.len() {
        let byte = bytes[at];
        let run = bytes[at..].iter().take_while(|b| **b == byte).count();
        if run > 64 && byte.is_ascii_graphic() {
            text.push_str(&format!("{{{}*{run}}}", char::from(byte)));
            at += run;
            continue;
        }
        match byte {
            b'\r' => text.push_str("\\r"),
            b'\n' => text.push_str("\\n"),
            b'\t' => text.push_str("\\t"),
            b'"' => text.push_str("\\\""),
            b'\\' => text.push_str("\\\\"),
            b' '..=b'~' => text.push(char::from(byte)),
            other => text.push_str(&format!("\\x{other:02X}")),
        }
        at += 1;
    }
    text.push('"');
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_bytes_and_back() {
        let bytes = of_text("a\r\n\u{0}\u{ff}{x*3}{x*}").unwrap();
        assert_eq!(bytes, b"a\r\n\0\xffxxx{x*}");
        assert!(of_text("\u{20ac}").is_err());
        assert_eq!(to_text(b"a\r\n\"\0"), "\"a\\r\\n\\\"\\x00\"");
        assert_eq!(of_text(to_text(&[b'y'; 70]).trim_matches('"')).unwrap(), [b'y'; 70]);
    }
}
