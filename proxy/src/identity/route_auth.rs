//! What a route asks of its callers, compiled.

use std::sync::Arc;

use http::header::{HeaderName, HeaderValue};
use tollgate_proxy_auth::api_key::KeyPlace;
use tollgate_proxy_auth::{Access, Requirement};
use tollgate_record::vocabulary::AuthPattern;

use crate::providers::Provider;

/// What a route asks of its callers. A route that asks nothing has none.
#[derive(Debug)]
pub struct RouteAuth {
    /// How the methods are combined.
    pub requirement: Requirement,
    /// The methods, in the order of the configuration; never empty.
    pub methods: Box<[Method]>,
    /// Values of WWW-Authenticate: one for each scheme of the methods.
    pub challenges: Arc<[HeaderValue]>,
    /// Who may, if the route says so.
    pub access: Option<Access>,
}

/// One method of authentication on a route.
#[derive(Debug)]
pub enum Method {
    /// The connection's client certificate.
    Mtls,
    /// An API key.
    ApiKey(KeyPlace),
    /// Name and password.
    Basic {
        /// Whether Authorization goes upstream.
        forward: bool,
    },
    /// A signed token.
    Jwt(TokenMethod),
    /// A token that its issuer is asked about.
    Oauth2(TokenMethod),
}

/// A method that takes the tokens of one issuer.
#[derive(Debug)]
pub struct TokenMethod {
    /// The issuer.
    pub provider: Arc<Provider>,
    /// Issuers whose signed tokens another method of the route takes.
    pub other_issuers: Box<[Arc<str>]>,
    /// Whether another method of the route takes opaque tokens.
    pub opaque_elsewhere: bool,
    /// Whether the token goes upstream.
    pub forward: bool,
}

impl Method {
    /// The method in records.
    #[must_use]
    pub fn pattern(&self) -> AuthPattern {
        match self {
            Self::Mtls => AuthPattern::Mtls,
            Self::ApiKey(_) => AuthPattern::ApiKey,
            Self::Basic { .. } => AuthPattern::Basic,
            Self::Jwt(_) => AuthPattern::Jwt,
            Self::Oauth2(_) => AuthPattern::Oauth2,
        }
    }

    /// What a caller without a credential is told (RFC 9110 section 11.6.1). Certificates have no registered scheme;
    /// `Mutual` and `ApiKey` are words that clients can read.
    #[must_use]
    pub fn challenge(&self) -> String {
        match self {
            Self::Mtls => "Mutual realm=\"api\"".to_owned(),
            Self::ApiKey(KeyPlace { header, query, .. }) => {
                let header = header.as_ref().map(|name: &HeaderName| format!(", header=\"{name}\""));
                let query = query.as_ref().map(|name| format!(", query=\"{name}\""));
                format!("ApiKey realm=\"api\"{}{}", header.unwrap_or_default(), query.unwrap_or_default())
            }
            Self::Jwt(_) | Self::Oauth2(_) => "Bearer realm=\"api\"".to_owned(),
            Self::Basic { .. } => "Basic realm=\"api\", charset=\"UTF-8\"".to_owned(),
        }
    }
}
