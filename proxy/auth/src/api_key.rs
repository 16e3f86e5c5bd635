//! API keys: where they stand in a request, and how they are compared.
//!
//! A key is random and long, so that one SHA-256 keeps it as well as a slow hash would. The hash of what is presented is
//! compared with stored hashes in constant time; the plain key is nowhere.

use std::borrow::Cow;

use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::digest::{SHA256, digest as hash};
use http::header::{HeaderMap, HeaderName};
use percent_encoding::percent_decode_str;

/// SHA-256 of a key.
pub type Digest = [u8; 32];

/// Bytes of a presented key.
pub const KEY_BYTES_MAX: usize = 4_096;

/// Where a key is looked for: in the header first, then in the query, if that is named.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyPlace {
    /// Header field.
    pub header: Option<HeaderName>,
    /// Key of the query.
    pub query: Option<String>,
    /// Whether the API key goes upstream.
    pub forward: bool,
}

/// What was found at the place of a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Found<'a> {
    /// Nothing.
    Nothing,
    /// A key.
    Key(Cow<'a, [u8]>),
    /// Something that cannot be one key, and why.
    Odd(&'static str),
}

impl KeyPlace {
    /// Looks for the key of a request.
    #[must_use]
    pub fn find<'a>(&self, headers: &'a HeaderMap, query: Option<&'a str>) -> Found<'a> {
        if let Some(name) = &self.header {
            let mut values = headers.get_all(name).iter();
            if let Some(first) = values.next() {
                return match values.next() {
                    Some(_) => Found::Odd("the field of the API key is there more than once"),
                    None => bounded(Cow::Borrowed(first.as_bytes().trim_ascii())),
                };
            }
        }
        let (Some(wanted), Some(query)) = (&self.query, query) else { return Found::Nothing };
        let mut values = query.split('&').filter(|pair| is_named(pair, wanted));
        match (values.next(), values.next()) {
            (None, _) => Found::Nothing,
            (Some(_), Some(_)) => Found::Odd("the query has more than one API key"),
            (Some(pair), None) => {
                let value = pair.split_once('=').map_or("", |(_, value)| value);
                bounded(percent_decode_str(value).into())
            }
        }
    }

    /// Returns a query without the key, in the same order; `None` = nothing of the query is a key.
    #[must_use]
    pub fn stripped(&self, query: &str) -> Option<String> {
        let wanted = self.query.as_ref()?;
        if !query.split('&').any(|pair| is_named(pair, wanted)) {
            return None;
        }
        let others: Vec<&str> = query.split('&').filter(|pair| !is_named(pair, wanted)).collect();
        Some(others.join("&"))
    }
}

/// Whether a pair of a query has this key, however it is encoded.
fn is_named(pair: &str, wanted: &str) -> bool {
    let name = pair.split_once('=').map_or(pair, |(name, _)| name);
    name == wanted || (name.contains('%') && percent_decode_str(name).eq(wanted.bytes()))
}

fn bounded(key: Cow<'_, [u8]>) -> Found<'_> {
    match key.len() {
        0 => Found::Odd("the API key is empty"),
        1..=KEY_BYTES_MAX => Found::Key(key),
        _ => Found::Odd("the API key is too long"),
    }
}

/// Returns the SHA-256 of a key.
#[must_use]
pub fn digest(key: &[u8]) -> Digest {
    let mut sha256 = [0; 32];
    sha256.copy_from_slice(hash(&SHA256, key).as_ref());
    sha256
}

/// Reads a SHA-256 in 64 hexadecimal digits.
#[must_use]
pub fn parse_digest(text: &str) -> Option<Digest> {
    let mut sha256 = [0; 32];
    let digits = text.as_bytes();
    if digits.len() != 64 || !digits.iter().all(u8::is_ascii_hexdigit) {
        return None;
    }
    for (byte, pair) in sha256.iter_mut().zip(digits.chunks(2)) {
        *byte = u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()?;
    }
    Some(sha256)
}

/// Compares in constant time.
pub(crate) fn same(one: &Digest, other: &Digest) -> bool {
    verify_slices_are_equal(one, other).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;
    use proptest::prelude::*;

    fn place(header: &'static str, query: &str) -> KeyPlace {
        let header = (!header.is_empty()).then(|| HeaderName::from_static(header));
        KeyPlace { header, query: (!query.is_empty()).then(|| query.to_owned()), forward: false }
    }

    fn found(place: &KeyPlace, fields: &[(&'static str, &'static str)], query: &str) -> String {
        let mut headers = HeaderMap::new();
        for (name, value) in fields {
            headers.append(*name, HeaderValue::from_static(value));
        }
        match place.find(&headers, Some(query)) {
            Found::Nothing => "nothing".to_owned(),
            Found::Key(key) => String::from_utf8_lossy(&key).into_owned(),
            Found::Odd(why) => format!("odd: {why}"),
        }
    }

    #[test]
    fn the_header_comes_first_and_the_query_only_if_it_is_named() {
        let both = place("x-api-key", "key");
        assert_eq!(found(&both, &[("x-api-key", " a ")], "key=b"), "a");
        assert_eq!(found(&both, &[], "x=1&key=b%2Fc+d&y"), "b/c+d");
        assert_eq!(found(&both, &[], "%6Bey=b"), "b");
        assert_eq!(found(&both, &[], "keys=b&akey=c"), "nothing");
        assert_eq!(found(&place("x-api-key", ""), &[], "key=b"), "nothing");
        assert_eq!(found(&place("", "key"), &[("x-api-key", "a")], "key=b"), "b");
        for (fields, query) in [
            (&[("x-api-key", "a"), ("x-api-key", "b")][..], ""),
            (&[("x-api-key", "")], ""),
            (&[], "key=a&key=b"),
            (&[], "key=a&k%65y=b"),
            (&[], "key="),
            (&[], "key"),
        ] {
            assert!(found(&both, fields, query).starts_with("odd: "), "{fields:?} {query}");
        }
        let long = format!("key={}", "k".repeat(KEY_BYTES_MAX + 1));
        assert_eq!(found(&both, &[], &long), "odd: the API key is too long");
        assert_eq!(found(&both, &[], &long[..long.len() - 1]).len(), KEY_BYTES_MAX);
    }

    #[test]
    fn the_key_goes_and_the_order_of_the_query_stays() {
        let place = place("", "key");
        for (query, left) in [
            ("a=1&key=s&b=2", Some("a=1&b=2")),
            ("key=s", Some("")),
            ("b=2&k%65y=s&a=1&&c", Some("b=2&a=1&&c")),
            ("a=1&b=2", None),
            ("", None),
        ] {
            assert_eq!(place.stripped(query).as_deref(), left, "{query}");
        }
    }

    #[test]
    fn a_hash_has_64_digits() {
        let hex: String = digest(b"abc").iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(hex, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
        assert_eq!(parse_digest(&hex.to_uppercase()), Some(digest(b"abc")));
        let (long, odd) = (format!("{hex}0"), hex.replace('b', "g"));
        for wrong in ["", "ba78", &hex[1..], &long, &odd, "éééééééééééééééééééééééééééééééé"]
        {
            assert_eq!(parse_digest(wrong), None, "{wrong}");
        }
    }

    proptest! {
        /// What is left of a query has no key, and everything else of it in its order.
        #[test]
        fn nothing_of_the_key_is_left(query in "[aky%65=&]{0,40}") {
            let place = place("", "key");
            let left = place.stripped(&query).unwrap_or_else(|| query.clone());
            let none = HeaderMap::new();
            prop_assert_eq!(place.find(&none, Some(&left)), Found::Nothing);
            let others: Vec<&str> = query.split('&').filter(|pair| !is_named(pair, "key")).collect();
            prop_assert_eq!(left, others.join("&"));
        }
    }
}
