//! Switching protocols on HTTP/1.1 (RFC 9110 section 7.8).

use http::header::{CONTENT_LENGTH, HeaderValue, TRANSFER_ENCODING, UPGRADE};
use http::{Version, request};

use super::hop_by_hop::connection_options;

/// Returns the protocols that a request asks for, if it is HTTP/1.1, has no body, and asks in both Upgrade and
/// Connection. h2c is never offered: HTTP/2 is negotiated by ALPN alone.
pub(super) fn wanted(head: &request::Parts) -> Option<HeaderValue> {
    let wanted = head.headers.get(UPGRADE)?;
    let bodyless = !head.headers.contains_key(CONTENT_LENGTH) && !head.headers.contains_key(TRANSFER_ENCODING);
    let named = connection_options(&head.headers).any(|option| option.eq_ignore_ascii_case("upgrade"));
    let h2c = protocols(wanted).any(|protocol| protocol.starts_with("h2c"));
    (head.version == Version::HTTP_11 && bodyless && named && !h2c).then(|| wanted.clone())
}

/// Returns the protocols that an Upgrade names, in lower case.
fn protocols(upgrade: &HeaderValue) -> impl Iterator<Item = String> {
    let names = upgrade.to_str().unwrap_or_default().split(',');
    names.map(|name| name.trim().to_ascii_lowercase()).filter(|name| !name.is_empty())
}

/// Returns whether an upstream switches only to protocols that it was offered.
#[must_use]
pub fn is_offered(switched_to: Option<&HeaderValue>, offered: Option<&HeaderValue>) -> bool {
    let (Some(switched_to), Some(offered)) = (switched_to, offered) else { return false };
    let offered: Vec<String> = protocols(offered).collect();
    let mut chosen = protocols(switched_to).peekable();
    chosen.peek().is_some() && chosen.all(|protocol| offered.contains(&protocol))
}
