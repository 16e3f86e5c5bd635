//! Who called: asks the methods of a route about a request.
//!
//! ```text
//! methods of the route ─▶ begin ─▶ Step::Done(outcome)
//!                              ├─▶ Step::Password(check) ─▶ threads of `passwords` ─▶ outcome
//!                              └─▶ Step::Token(check) ─▶ crate::providers ─▶ outcome
//! ```
//! A step that takes long happens elsewhere: no worker computes the hash of a password.

mod bearer;
mod passwords;
mod route_auth;
mod token_owners;

use std::borrow::Cow;
use std::sync::Arc;

use http::HeaderMap;
use http::header::AUTHORIZATION;
use tollgate_proxy_auth::api_key::Found;
use tollgate_proxy_auth::password::Credentials;
use tollgate_proxy_auth::{CertificateFacts, Consumers, Outcome};
use tollgate_record::vocabulary::AuthFailReason;
use tollgate_tls::PeerCertificate;

pub use bearer::TokenCheck;
pub use passwords::{PasswordCheck, Passwords};
pub use route_auth::{Method, RouteAuth, TokenMethod};
pub use token_owners::TokenOwners;

/// What methods judge by: the callers that are known, and where long checks happen.
#[derive(Debug)]
pub struct Callers {
    /// The consumers of the configuration.
    pub consumers: Consumers,
    /// Which tokens are a consumer's.
    pub owners: TokenOwners,
    /// The threads that verify passwords. A reload keeps them.
    pub passwords: Arc<Passwords>,
}

/// What of a request the methods look at.
#[derive(Debug, Clone, Copy)]
pub struct Presented<'a> {
    /// Its fields, normalized.
    pub headers: &'a HeaderMap,
    /// Its query.
    pub query: Option<&'a str>,
    /// The connection's verified client certificate.
    pub certificate: Option<&'a PeerCertificate>,
    /// Microseconds since 1970.
    pub now_us: i64,
}

/// How far a method came at once.
#[derive(Debug)]
pub enum Step {
    /// To its outcome.
    Done(Outcome),
    /// To a password that is being verified.
    Password(Box<PasswordCheck>),
    /// To a token that nobody has verified yet.
    Token(Box<TokenCheck>),
}

impl Step {
    /// Waits for the outcome.
    pub async fn outcome(self) -> Outcome {
        match self {
            Self::Done(outcome) => outcome,
            Self::Password(check) => check.outcome().await,
            Self::Token(check) => check.outcome().await,
        }
    }
}

impl Callers {
    /// Asks one method about a request.
    #[must_use]
    pub fn begin(self: &Arc<Self>, method: &Method, request: &Presented<'_>) -> Step {
        match method {
            Method::Mtls => Step::Done(self.certificate(request)),
            Method::ApiKey(place) => Step::Done(match place.find(request.headers, request.query) {
                Found::Nothing => Outcome::Absent,
                Found::Odd(why) => Outcome::failed(AuthFailReason::Malformed, why),
                Found::Key(key) => self.consumers.key(&key, request.now_us),
            }),
            Method::Basic { .. } => self.basic(request),
            Method::Jwt(method) => bearer::jwt(self, method, request),
            Method::Oauth2(method) => bearer::oauth2(self, method, request),
        }
    }

    fn certificate(&self, request: &Presented<'_>) -> Outcome {
        let Some(certificate) = request.certificate else { return Outcome::Absent };
        self.consumers.certificate(&CertificateFacts {
            sha256: certificate.sha256,
            uris: &certificate.uris,
            dns: &certificate.dns_names,
            emails: &certificate.emails,
            ips: &certificate.addresses,
            common_name: certificate.common_name.as_deref(),
        })
    }

    fn basic(self: &Arc<Self>, request: &Presented<'_>) -> Step {
        let mut values = request.headers.get_all(AUTHORIZATION).iter();
        let Some(first) = values.next() else { return Step::Done(Outcome::Absent) };
        let Some(parsed) = Credentials::parse(first) else { return Step::Done(Outcome::Absent) };
        let malformed = |why: &str| Step::Done(Outcome::failed(AuthFailReason::Malformed, why));
        if values.next().is_some() {
            return malformed("the request has more than one Authorization field");
        }
        match parsed {
            Err(why) => malformed(why),
            Ok(credentials) => passwords::begin(self, credentials, request.now_us),
        }
    }
}

/// Returns the credential that a request presents to a method, for its keyed hash in the record.
#[must_use]
pub fn credential<'a>(method: &Method, headers: &'a HeaderMap, query: Option<&'a str>) -> Option<Cow<'a, [u8]>> {
    match method {
        Method::ApiKey(place) => match place.find(headers, query) {
            Found::Key(key) => Some(key),
            Found::Nothing | Found::Odd(_) => None,
        },
        // The token of Authorization is what is hashed without a method, too.
        Method::Basic { .. } | Method::Jwt(_) | Method::Oauth2(_) | Method::Mtls => None,
    }
}
