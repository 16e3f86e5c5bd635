//! What frames a message: transfer coding, lengths and expectations.

use http::header::{CONTENT_LENGTH, EXPECT, HeaderMap, HeaderValue, TRANSFER_ENCODING};
use http::{StatusCode, request};

use crate::local_reply::LocalReply;

/// Refuses every transfer coding but one single `chunked`.
pub(super) fn check_transfer_encoding(headers: &HeaderMap) -> Result<(), LocalReply> {
    let mut codings = headers.get_all(TRANSFER_ENCODING).iter();
    let Some(first) = codings.next() else { return Ok(()) };
    if codings.next().is_some() {
        return Err(LocalReply::malformed("more than one Transfer-Encoding"));
    }
    if first.as_bytes().eq_ignore_ascii_case(b"chunked") {
        return Ok(());
    }
    let detail = "the only transfer coding accepted is chunked, once";
    Err(LocalReply { status: StatusCode::NOT_IMPLEMENTED, ..LocalReply::malformed(detail) })
}

/// Removes `Expect: 100-continue`, which this hop answers itself, and refuses every other expectation.
pub(super) fn take_expect(head: &mut request::Parts) -> Result<(), LocalReply> {
    let mut expected = head.headers.get_all(EXPECT).iter();
    if !expected.all(|expect| expect.as_bytes().eq_ignore_ascii_case(b"100-continue")) {
        let detail = "the only expectation served is 100-continue";
        return Err(LocalReply { status: StatusCode::EXPECTATION_FAILED, ..LocalReply::malformed(detail) });
    }
    head.headers.remove(EXPECT);
    Ok(())
}

/// Removes leading zeros from a length: some read them as octal.
pub(super) fn without_leading_zeros(headers: &mut HeaderMap) {
    let Some(length) = headers.get(CONTENT_LENGTH) else { return };
    let text = length.to_str().unwrap_or_default();
    let digits = text.trim_start_matches('0');
    if digits.len() + usize::from(digits.is_empty()) < text.len() {
        let digits = if digits.is_empty() { "0" } else { digits };
        if let Ok(plain) = HeaderValue::from_str(digits) {
            headers.insert(CONTENT_LENGTH, plain);
        }
    }
}

/// Removes the length of a response that is chunked, and reduces a repeated length to one (RFC 9112 section 6.3).
/// Lengths that differ were refused when hyper parsed the head.
pub(super) fn reduce_length(headers: &mut HeaderMap, chunked: bool) {
    if chunked {
        headers.remove(CONTENT_LENGTH);
        return;
    }
    let mut lengths = headers.get_all(CONTENT_LENGTH).iter();
    let Some(length) = lengths.next() else { return };
    let several = lengths.next().is_some();
    if !several && length.as_bytes().iter().all(u8::is_ascii_digit) {
        return;
    }
    let text = length.to_str().unwrap_or_default();
    let first = text.split(',').next().unwrap_or_default().trim();
    if (several || first.len() != text.len())
        && let Ok(first) = HeaderValue::from_str(first)
    {
        headers.insert(CONTENT_LENGTH, first);
    }
}
