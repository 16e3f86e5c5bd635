//! Edits of the fields of requests and responses, as a route asks for them.
//!
//! Fields that frame a message, that say who a client is, or that belong to the gateway cannot be edited, because an
//! edit could undo what [`normalize`](crate::normalize) did. A credential can be removed but not written, because
//! `/config` shows the configuration.

use http::HeaderMap;
use http::header::{HeaderName, HeaderValue};
use tollgate_record::redact::Headers;

use crate::field_kinds::remove_where;
use crate::principal_fields;

/// Fields that frame a message, belong to one connection, or belong to the gateway.
const PROTECTED: [&str; 17] = [
    "host",
    "connection",
    "content-length",
    "transfer-encoding",
    "te",
    "trailer",
    "upgrade",
    "expect",
    "keep-alive",
    "proxy-connection",
    "http2-settings",
    "x-request-id",
    "traceparent",
    "tracestate",
    "forwarded",
    "x-real-ip",
    "via",
];
/// Beginnings of the names that say who a client is.
const PROTECTED_BEGINNINGS: [&str; 3] = ["x-forwarded-", "x-client-cert", "client-cert"];

/// Returns whether a name belongs to the gateway, also with `_` for `-`, which some upstreams read as the same name.
pub fn is_protected(name: &str) -> bool {
    let name = name.to_ascii_lowercase().replace('_', "-");
    PROTECTED.contains(&name.as_str())
        || PROTECTED_BEGINNINGS.iter().any(|beginning| name.starts_with(beginning))
        || principal_fields::is_field(&name)
}

/// Edits of one direction, in the order in which they are made: remove, set, add.
#[derive(Debug, Clone, Default)]
pub struct HeaderEdits {
    /// Fields to remove.
    pub remove: Vec<HeaderName>,
    /// Fields that replace those of their name.
    pub set: Vec<(HeaderName, HeaderValue)>,
    /// Fields that are added beside those of their name.
    pub add: Vec<(HeaderName, HeaderValue)>,
}

impl HeaderEdits {
    /// Edits a request. A name that differs from a removed or set one only in `_` and `-` is removed too: CGI and its
    /// heirs read both as one name, and would take the client's field for the gateway's.
    pub fn apply_to_request(&self, headers: &mut HeaderMap) {
        let written = || self.remove.iter().chain(self.set.iter().map(|(name, _)| name));
        remove_where(headers, |name| written().any(|written| is_disguise(name.as_str(), written.as_str())));
        self.apply(headers);
    }

    /// Edits a response.
    pub fn apply(&self, headers: &mut HeaderMap) {
        for name in &self.remove {
            headers.remove(name);
        }
        for (name, value) in &self.set {
            headers.insert(name, value.clone());
        }
        for (name, value) in &self.add {
            headers.append(name, value.clone());
        }
    }
}

/// Returns whether two names differ, and only in `_` and `-`.
fn is_disguise(one: &str, two: &str) -> bool {
    let dash = |b| matches!(b, b'-' | b'_');
    let same = |(a, b): (u8, u8)| a == b || (dash(a) && dash(b));
    one.len() == two.len() && one != two && one.bytes().zip(two.bytes()).all(same)
}

/// Reads the name of a field that may be edited.
///
/// # Errors
/// A sentence about what is wrong with it.
pub fn name(text: &str) -> Result<HeaderName, String> {
    if is_protected(text) {
        return Err(format!("`{text}` is the gateway's own; name another header"));
    }
    HeaderName::from_bytes(text.as_bytes())
        .map_err(|_| format!("`{text}` is not a header name; write for example X-Team"))
}

/// Reads a field that may be written.
///
/// # Errors
/// A sentence about what is wrong with the name or the value.
pub fn field(text: &str, value: &str) -> Result<(HeaderName, HeaderValue), String> {
    let name = name(text)?;
    if Headers::denied(text) {
        return Err(format!(
            "`{text}` carries a credential, which would be shown with the configuration; remove it here"
        ));
    }
    let plain = value.bytes().all(|b| (b' '..=b'~').contains(&b)) && value.trim() == value;
    let parsed = HeaderValue::from_str(value).ok().filter(|_| plain);
    let cure = "write ASCII without control characters, and no spaces around it";
    parsed.map(|value| (name, value)).ok_or_else(|| format!("the value of `{text}` cannot be sent; {cure}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn protected_names_and_control_characters_are_refused() {
        for bad in
            ["Host", "content_length", "Transfer-Encoding", "X-Forwarded-For", "x_client_cert_subject", "a b", ""]
        {
            assert!(name(bad).is_err(), "{bad}");
        }
        for (bad, value) in [("Authorization", "x"), ("X-A", "a\r\nb: c"), ("X-A", "a\tb"), ("X-A", " a"), ("X-A", "é")]
        {
            assert!(field(bad, value).is_err(), "{bad} {value:?}");
        }
        assert!(name("authorization").is_ok() && field("x-a", "").is_ok());
    }

    #[test]
    fn a_client_cannot_write_what_is_set_under_a_name_that_some_take_for_the_same() {
        let edits = HeaderEdits {
            remove: vec![name("x-old-id").unwrap()],
            set: vec![field("x-tenant-id", "ours").unwrap(), field("x_plain", "ours").unwrap()],
            add: vec![field("x-also-ours", "ours").unwrap()],
        };
        let mut headers = HeaderMap::new();
        for name in ["x-tenant_id", "x_tenant_id", "x-plain", "x_old-id", "x_also-ours", "x_tenant-is", "x-tenant-id"] {
            headers.insert(HeaderName::from_static(name), HeaderValue::from_static("theirs"));
        }
        edits.apply_to_request(&mut headers);
        let theirs = headers.iter().filter(|(_, value)| *value == "theirs").map(|(name, _)| name.as_str());
        let mut theirs: Vec<&str> = theirs.collect();
        theirs.sort_unstable();
        assert_eq!(theirs, ["x_also-ours", "x_tenant-is"]);
        assert!(headers["x-tenant-id"] == "ours" && headers["x_plain"] == "ours");
    }

    #[test]
    fn removed_then_set_then_added() {
        let mut headers: HeaderMap = HeaderMap::new();
        for (name, value) in [("a", "1"), ("b", "1"), ("b", "2"), ("c", "1")] {
            headers.append(name, value.parse().unwrap());
        }
        let edits = HeaderEdits {
            remove: vec![name("a").unwrap()],
            set: vec![field("b", "3").unwrap()],
            add: vec![field("c", "2").unwrap()],
        };
        edits.apply(&mut headers);
        let all = |name| headers.get_all(name).iter().map(|v| v.to_str().unwrap()).collect::<Vec<_>>();
        assert_eq!((all("a"), all("b"), all("c")), (vec![], vec!["3"], vec!["1", "2"]));
    }
}
