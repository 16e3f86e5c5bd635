//! The closed lists: columns whose values are known beforehand.
//!
//! A writer can only write these values. A reader must bear with others: a newer version may add some.

mod error_class;

pub use error_class::{Actor, ErrorClass};

/// A closed list of values.
pub trait Vocabulary: Copy + Eq + Sized + 'static {
    /// All values, in the order of their [`index`](Vocabulary::index).
    const ALL: &'static [Self];
    /// The value as it stands in the record.
    fn as_str(self) -> &'static str;
    /// The value's place in [`ALL`](Vocabulary::ALL).
    fn index(self) -> usize;
    /// What the value says: the first line of its documentation.
    fn meaning(self) -> &'static str;
}

macro_rules! vocabulary {
    ($(#[$doc:meta])* $name:ident { $(#[doc = $value_doc:literal] $value:ident = $text:literal,)* }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum $name {
            $(#[doc = $value_doc] $value,)*
        }

        impl $name {
            /// All values.
            pub const ALL: &'static [$name] = &[$($name::$value,)*];

            /// The value as it stands in the record.
            pub const fn as_str(self) -> &'static str {
                match self {
                    $($name::$value => $text,)*
                }
            }

            /// What the value says, in a sentence.
            pub const fn meaning(self) -> &'static str {
                match self {
                    $($name::$value => $value_doc.trim_ascii(),)*
                }
            }

            /// The value that stands in the record as `text`.
            pub fn parse(text: &str) -> Option<Self> {
                match text {
                    $($text => Some($name::$value),)*
                    _ => None,
                }
            }
        }

        impl Vocabulary for $name {
            const ALL: &'static [Self] = $name::ALL;

            fn as_str(self) -> &'static str {
                $name::as_str(self)
            }

            fn index(self) -> usize {
                self as usize
            }

            fn meaning(self) -> &'static str {
                $name::meaning(self)
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(self.as_str())
            }
        }
    };
}

use vocabulary;

vocabulary! {
    /// What a row is about.
    Kind {
        /// One request head accepted, to the end of its response, however it ended.
        Transaction = "transaction",
        /// One TLS handshake that failed.
        HandshakeFailed = "handshake_failed",
        /// A run of records that was shed on purpose.
        Gap = "gap",
    }
}

vocabulary! {
    /// Who ended a transaction.
    Termination {
        /// Nobody: request and response were complete.
        Complete = "complete",
        /// The client left.
        Client = "client",
        /// The upstream broke off.
        Upstream = "upstream",
        /// The gateway refused or broke off.
        Gateway = "gateway",
    }
}

vocabulary! {
    /// Who made the response.
    ResponseSource {
        /// The upstream.
        Upstream = "upstream",
        /// The gateway.
        Gateway = "gateway",
    }
}

vocabulary! {
    /// Outcome of verifying the client certificate.
    MtlsVerify {
        /// The client presented none.
        None = "none",
        /// It was valid.
        Success = "success",
        /// It was refused.
        Failed = "failed",
    }
}

vocabulary! {
    /// How the caller was authenticated.
    AuthPattern {
        /// Not at all.
        None = "none",
        /// By client certificate.
        Mtls = "mtls",
        /// By a key in a header or in the query.
        ApiKey = "api_key",
        /// By name and password.
        Basic = "basic",
        /// By a signed token, checked locally.
        Jwt = "jwt",
        /// By a token, checked with its issuer.
        Oauth2 = "oauth2",
        /// By a session cookie after an OpenID Connect login.
        OidcSession = "oidc_session",
        /// By a signature over the request.
        Hmac = "hmac",
    }
}

vocabulary! {
    /// Outcome of the authentication.
    AuthResult {
        /// The caller is who it says it is.
        Success = "success",
        /// It is not, or could not prove it.
        Failed = "failed",
        /// It presented nothing, and the route allows that.
        Anonymous = "anonymous",
        /// The route asks for nothing.
        NotRequired = "not_required",
    }
}

vocabulary! {
    /// Why the authentication failed.
    AuthFailReason {
        /// No credential was presented.
        Missing = "missing",
        /// It could not be parsed.
        Malformed = "malformed",
        /// It has expired.
        Expired = "expired",
        /// Its signature does not verify.
        BadSignature = "bad_signature",
        /// Nobody is known by it.
        Unknown = "unknown",
        /// Several credentials contradict each other.
        Conflict = "conflict",
        /// The client certificate has expired.
        CertExpired = "cert_expired",
        /// The client certificate's issuer is not trusted.
        CertUnknownCa = "cert_unknown_ca",
        /// The client certificate was revoked.
        CertRevoked = "cert_revoked",
    }
}

vocabulary! {
    /// Access decision.
    AclDecision {
        /// The caller may.
        Allow = "allow",
        /// The caller may not.
        Deny = "deny",
        /// The route has no access list.
        None = "none",
    }
}

vocabulary! {
    /// What the web application firewall did.
    WafAction {
        /// It was switched off.
        Off = "off",
        /// It found nothing.
        Pass = "pass",
        /// It found something and let it pass.
        Detected = "detected",
        /// It refused the request.
        Blocked = "blocked",
        /// It failed.
        Error = "error",
        /// It saw a part of the request only.
        Partial = "partial",
    }
}

vocabulary! {
    /// Where the client's address was learnt.
    ClientIpSource {
        /// It is the TCP peer's.
        Peer = "peer",
        /// From X-Forwarded-For.
        Xff = "xff",
        /// From Forwarded (RFC 7239).
        Forwarded = "forwarded",
        /// From the PROXY protocol.
        ProxyProtocol = "proxy_protocol",
    }
}

vocabulary! {
    /// Why records are missing.
    GapReason {
        /// The buffer in memory was full.
        BufferFull = "buffer_full",
        /// The spool on disk was full.
        SpoolFull = "spool_full",
        /// The disk under the spool was full or failed.
        SpoolFailed = "spool_failed",
        /// The collector refused the batch for good, and it was set aside.
        Quarantined = "quarantined",
        /// A spooled batch could not be read back.
        Unreadable = "unreadable",
    }
}
