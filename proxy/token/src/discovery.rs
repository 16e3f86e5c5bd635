//! The document in which an issuer names its addresses (OpenID Connect Discovery 1.0, RFC 8414).

use serde_json::Value;

use crate::{AnswerError, json};

/// Bytes of a document.
pub const DISCOVERY_BYTES_MAX: usize = 256 * 1024;

/// The addresses of an issuer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Discovered {
    /// Address of its key set.
    pub jwks_uri: String,
    /// Address of its introspection.
    pub introspection_endpoint: Option<String>,
}

/// Where the document of an issuer is.
#[must_use]
pub fn address(issuer: &str) -> String {
    format!("{}/.well-known/openid-configuration", issuer.trim_end_matches('/'))
}

/// Reads the document of an issuer.
///
/// # Errors
/// It is none, or another issuer's.
pub fn parse(issuer: &str, body: &[u8]) -> Result<Discovered, AnswerError> {
    if body.len() > DISCOVERY_BYTES_MAX {
        return Err(AnswerError::TooLong(DISCOVERY_BYTES_MAX));
    }
    let not_a_document = AnswerError::NotJson("a discovery document with `issuer` and `jwks_uri`");
    let document = json::object(body).ok_or(not_a_document.clone())?;
    let text = |name: &str| document.get(name).and_then(Value::as_str);
    match (text("issuer"), text("jwks_uri")) {
        (Some(named), _) if named != issuer => Err(AnswerError::OtherIssuer),
        (Some(_), Some(keys)) => Ok(Discovered {
            jwks_uri: keys.to_owned(),
            introspection_endpoint: text("introspection_endpoint").map(str::to_owned),
        }),
        _ => Err(not_a_document),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_document_names_its_own_issuer_exactly() {
        assert_eq!(address("https://idp/realm/"), "https://idp/realm/.well-known/openid-configuration");
        let good = r#"{"issuer":"https://idp","jwks_uri":"https://idp/keys"}"#;
        assert_eq!(parse("https://idp", good.as_bytes()).unwrap().jwks_uri, "https://idp/keys");
        assert_eq!(parse("https://idp/", good.as_bytes()), Err(AnswerError::OtherIssuer));
        for none in ["{}", r#"{"issuer":"https://idp"}"#, r#"{"jwks_uri":"https://idp/keys"}"#, "<html>"] {
            assert!(parse("https://idp", none.as_bytes()).is_err(), "{none}");
        }
    }
}
