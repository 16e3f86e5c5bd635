//! What [`request`](super::request) promises for any request head. A property test drives these checks for a moment,
//! the fuzz target `normalize` for as long as one likes.

use http::header::HOST;
use http::{Request, Version, request};

use crate::field_kinds::{is_disguised_client, speaks_of_client};
use crate::{canonical_path, normalize};

/// Reads a head from lines (method, target, version, then a field each) and panics unless what passes has one spelling
/// and one host, carries nothing that ends at this hop, and passes again unchanged.
pub fn any_bytes(bytes: &[u8]) {
    let Some(mut head) = head(bytes) else { return };
    let Ok(normal) = normalize::request(&mut head, u32::MAX) else { return };
    let path = head.uri.path();
    assert!(
        path.is_empty() || path == "*" || canonical_path::canonical(path).is_ok_and(|spelt| spelt == path),
        "{path}"
    );
    assert!(head.headers.get_all(HOST).iter().count() <= 1);
    for gone in ["connection", "keep-alive", "proxy-connection", "upgrade", "expect", "transfer-encoding"] {
        assert!(!head.headers.contains_key(gone), "{gone}");
    }
    assert!(head.headers.get("te").is_none_or(|te| te == "trailers"));
    assert!(!head.headers.keys().any(|name| is_disguised_client(name.as_str())));
    let (uri, headers) = (head.uri.clone(), head.headers.clone());
    let again = normalize::request(&mut head, u32::MAX).map(|again| again.host);
    assert_eq!(again.ok(), Some(normal.host));
    assert_eq!((head.uri, &head.headers), (uri, &headers));
    let mut trailers = headers;
    normalize::trailers(&mut trailers);
    assert!(!trailers.contains_key(HOST) && !trailers.keys().any(|name| speaks_of_client(name.as_str())));
}

fn head(bytes: &[u8]) -> Option<request::Parts> {
    let mut lines = bytes.split(|byte| *byte == b'\n');
    let (method, target, version) = (lines.next()?, lines.next()?, lines.next()?);
    let version = match version {
        b"0" => Version::HTTP_10,
        b"2" => Version::HTTP_2,
        _ => Version::HTTP_11,
    };
    let mut request = Request::builder().method(method).uri(target).version(version);
    for line in lines {
        let colon = line.iter().position(|byte| *byte == b':')?;
        request = request.header(&line[..colon], line[colon + 1..].trim_ascii());
    }
    Some(request.body(()).ok()?.into_parts().0)
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;
    use crate::test_words::words;

    const HEADS: &[&[u8]] = &[
        b"GET\n",
        b"OPTIONS\n",
        b"/a",
        b"http://a",
        b"%2e",
        b"%41",
        b"..",
        b";",
        b"*",
        b"?",
        b"\n1",
        b"\n2",
        b"\n0",
        b"\nhost:a",
        b"\nhost:b",
        b"\nconnection:",
        b"close",
        b",",
        b"upgrade",
        b"x-a",
        b"\nx-a:1",
        b"\nte:trailers",
        b"\nx_forwarded_for:1",
        b"\ntransfer-encoding:chunked",
        b"\nexpect:100-continue",
        b"\ncontent-length:007",
    ];

    proptest! {
        #[test]
        fn any_head(bytes in vec(any::<u8>(), 0..300)) {
            any_bytes(&bytes);
        }

        #[test]
        fn nearly_heads(bytes in words(HEADS)) {
            any_bytes(&bytes);
            any_bytes(&[b"GET\n/\n1\nhost:a".as_slice(), &bytes].concat());
        }
    }
}
