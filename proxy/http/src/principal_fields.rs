//! Fields that tell an upstream who called. A client cannot set any of them itself: they are removed from every request,
//! and written for a verified caller alone.

use http::header::{HeaderMap, HeaderName, HeaderValue};
use tollgate_proxy_auth::Principal;

use crate::client_cert;

/// The beginning of most of them.
const X_CONSUMER: &str = "x-consumer-";
/// Name of the consumer.
const USERNAME: HeaderName = HeaderName::from_static("x-consumer-username");
/// Groups, separated by commas.
const GROUPS: HeaderName = HeaderName::from_static("x-consumer-groups");
/// The issuer of the token.
const ISSUER: HeaderName = HeaderName::from_static("x-consumer-issuer");
/// The issuer's name of the caller.
const SUBJECT: HeaderName = HeaderName::from_static("x-consumer-subject");
/// The method, as in records.
const AUTH: HeaderName = HeaderName::from_static("x-consumer-auth");
/// Which credential.
const CREDENTIAL: HeaderName = HeaderName::from_static("x-credential-identifier");
/// Set for a caller without a credential, where the route allows that.
const ANONYMOUS: HeaderName = HeaderName::from_static("x-anonymous-consumer");
/// Fields of other gateways, which an upstream may still believe.
const OTHERS: [&str; 4] =
    ["x-credential-identifier", "x-anonymous-consumer", "x-authenticated-userid", "x-authenticated-groups"];
/// Returns whether a field of this name tells who called.
#[must_use]
pub fn is_field(name: &str) -> bool {
    name.starts_with(X_CONSUMER) || OTHERS.contains(&name)
}

/// Writes the fields of a verified caller; `None` = of an anonymous one.
pub fn write(headers: &mut HeaderMap, principal: Option<&Principal>) {
    let Some(principal) = principal else {
        headers.insert(ANONYMOUS, HeaderValue::from_static("true"));
        return;
    };
    let Principal { pattern, issuer, subject, consumer, credential_id, groups } = principal;
    headers.insert(AUTH, HeaderValue::from_static(pattern.as_str()));
    let texts = [(USERNAME, consumer), (ISSUER, issuer), (SUBJECT, subject), (CREDENTIAL, credential_id)];
    for (name, text) in texts {
        if let Some(text) = text {
            headers.insert(name, client_cert::value(text));
        }
    }
    if !groups.is_empty() {
        // A comma inside a name would make two groups of one.
        let names: Vec<String> = groups.iter().map(|group| client_cert::ascii(group).replace(',', "%2C")).collect();
        if let Ok(value) = HeaderValue::from_str(&names.join(",")) {
            headers.insert(GROUPS, value);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;
    use tollgate_record::vocabulary::AuthPattern;

    fn written(principal: Option<&Principal>) -> Vec<String> {
        let mut headers = HeaderMap::new();
        write(&mut headers, principal);
        assert!(headers.keys().all(|name| is_field(name.as_str())), "no client can set what is written");
        let mut lines: Vec<String> =
            headers.iter().map(|(name, value)| format!("{name}: {}", value.to_str().unwrap())).collect();
        lines.sort();
        lines
    }

    #[test]
    fn a_name_cannot_break_out_of_its_field() {
        let text = |text: &str| Some(Arc::from(text));
        let principal = Principal {
            consumer: text("acmé\r\nx: 1"),
            groups: vec![Arc::from("a,b"), Arc::from("c%")],
            ..Principal::of(AuthPattern::ApiKey)
        };
        assert_eq!(
            written(Some(&principal)),
            ["x-consumer-auth: api_key", "x-consumer-groups: a%2Cb,c%25", "x-consumer-username: acm%C3%A9%0D%0Ax: 1",]
        );
        assert_eq!(written(None), ["x-anonymous-consumer: true"]);
    }
}
