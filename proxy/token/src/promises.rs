//! What the parsers promise for any bytes from outside. Property tests drive these checks for a moment, the fuzz targets
//! for as long as one likes.

use http::header::{HeaderMap, HeaderValue};

use crate::message::{self, Request};
use crate::{AnswerError, ClaimRules, Head, KEYS_MAX, KeySet, TokenRules, introspection};

fn rules() -> TokenRules {
    TokenRules {
        algorithms: crate::algorithm_names().filter_map(crate::algorithm).collect(),
        claims: ClaimRules {
            issuer: "i".into(),
            audiences: None,
            skew_s: 1,
            groups_claim: Some("a.b".into()),
            consumer_claim: Some("c".into()),
        },
    }
}

/// Panics unless a token without a key is never taken.
pub fn any_token(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let Ok(head) = Head::parse(text) else { return };
    let _issuer = head.claimed_issuer();
    assert!(head.verify(&rules(), &KeySet::default(), 1).is_err());
}

/// Panics unless a set is bounded and has a key, and an answer that is active says so.
pub fn any_answer(bytes: &[u8]) {
    match KeySet::parse(bytes) {
        Ok(keys) => assert!((1..=KEYS_MAX).contains(&keys.len())),
        Err(AnswerError::TooLong(_) | AnswerError::NotJson(_) | AnswerError::TooManyKeys | AnswerError::NoKeys) => {}
        Err(AnswerError::OtherIssuer) => panic!("a set has no issuer"),
    }
    let _discovered = crate::discovery::parse("i", bytes);
    if let Ok(Ok(_)) = introspection::verdict(&rules().claims, bytes, 1) {
        assert!(bytes.windows(4).any(|word| word == b"true"));
    }
}

/// Panics unless signatures that are read cover what they must, and none verifies under another secret.
pub fn any_signature(bytes: &[u8]) {
    let mut parts = bytes.splitn(2, |byte| *byte == b'\n');
    let mut headers = HeaderMap::new();
    for (name, part) in ["signature-input", "signature"].into_iter().zip(&mut parts) {
        let Ok(value) = HeaderValue::from_bytes(part) else { return };
        headers.insert(name, value);
    }
    let request = Request {
        method: "GET",
        scheme: "https",
        authority: "a",
        path: "/",
        query: None,
        headers: &headers,
        has_body: false,
    };
    let Some(secret) = message::Secret::new(&[7; 32]) else { return };
    for signed in message::parse(&request).unwrap_or_default() {
        let input = headers["signature-input"].as_bytes();
        assert!(input.windows(9).any(|word| word == b"\"@method\""));
        assert!(signed.verify(&secret, 1, 1).is_err());
    }
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    fn words(words: &'static [&'static str]) -> impl Strategy<Value = Vec<u8>> {
        vec(proptest::sample::select(words), 0..24).prop_map(|words| words.concat().into_bytes())
    }

    const TOKEN: &[&str] = &["eyJhbGciOiJSUzI1NiJ9", ".", "e30", "eyJpc3MiOiJpIn0", "A", "=", "eyJ", "é"];
    const ANSWER: &[&str] = &[
        "{",
        "}",
        "\"keys\":",
        "[",
        "]",
        ",",
        "\"active\":",
        "true",
        "false",
        "\"exp\":",
        "1e400",
        "-1",
        "\"issuer\":\"i\"",
        "\"jwks_uri\":\"u\"",
        "{\"kty\":\"RSA\",\"n\":\"AQAB\",\"e\":\"AQAB\"}",
        "\"kty\":\"EC\"",
        "null",
    ];
    const SIGNATURE: &[&str] = &[
        "sig=",
        "(",
        ")",
        "\"@method\"",
        "\"@target-uri\"",
        " ",
        ";created=1",
        ";keyid=\"h\"",
        ";alg=\"hmac-sha256\"",
        ";expires=2",
        "\n",
        ":AAAA:",
        ",",
        "\"date\"",
        ";sf",
        "\"@path\" \"@query\" \"@authority\"",
    ];

    proptest! {
        #[test]
        fn any_bytes(bytes in vec(any::<u8>(), 0..400)) {
            any_token(&bytes);
            any_answer(&bytes);
            any_signature(&bytes);
        }

        #[test]
        fn nearly_tokens(bytes in words(TOKEN)) {
            any_token(&bytes);
        }

        #[test]
        fn nearly_answers(bytes in words(ANSWER)) {
            any_answer(&bytes);
        }

        #[test]
        fn nearly_signatures(bytes in words(SIGNATURE)) {
            any_signature(&bytes);
        }
    }
}
