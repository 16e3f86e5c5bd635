//! Error classes: what went wrong, who is to act, and what the client reads.
//!
//! This file is the one place that assigns a class to an [`Actor`]. SQL (`actor(error_class)`), the saved questions, `tollgate find`,
//! the alert rules, the runbooks and the documents derive it from here or are checked against it.

use super::{Vocabulary, vocabulary};

vocabulary! {
    /// What went wrong with a transaction.
    ErrorClass {
        /// No route matched the request.
        NoRoute = "no_route",
        /// The request was malformed or refused for its form.
        BadRequest = "bad_request",
        /// The request's head or body passed a limit.
        TooLarge = "too_large",
        /// The TLS handshake with the client failed.
        TlsHandshake = "tls_handshake",
        /// The caller could not be authenticated.
        Auth = "auth",
        /// Nobody could judge the caller's credential: its provider does not answer, or too many are being verified.
        AuthUnavailable = "auth_unavailable",
        /// The caller was not allowed.
        Acl = "acl",
        /// The caller passed a rate limit.
        RateLimited = "rate_limited",
        /// The web application firewall blocked the request.
        Waf = "waf" reserved,
        /// The upstream's name could not be resolved.
        Dns = "dns",
        /// No upstream address was fit to try.
        NoHealthyUpstream = "no_healthy_upstream",
        /// The upstream refused the connection.
        ConnectRefused = "connect_refused",
        /// The upstream did not accept the connection in time.
        ConnectTimeout = "connect_timeout",
        /// The TLS handshake with the upstream failed.
        UpstreamTls = "upstream_tls",
        /// The upstream dropped the connection before the response was complete.
        UpstreamReset = "upstream_reset",
        /// The upstream did not answer in time.
        UpstreamTimeout = "upstream_timeout",
        /// The upstream broke the protocol.
        UpstreamProtocol = "upstream_protocol",
        /// The upstream answered with a 5xx status.
        Upstream5xx = "upstream_5xx",
        /// The client left before the response was complete.
        ClientAbort = "client_abort",
        /// The gateway itself failed.
        Internal = "internal",
    }
}

vocabulary! {
    /// Who is to act on a failed transaction.
    Actor {
        /// Whoever sent the request: it must send another one, or other credentials.
        Caller = "caller",
        /// The team that runs the proxied API and its upstream.
        ApiTeam = "team of the API",
        /// The team that runs the gateway and configures it.
        GatewayTeam = "gateway team",
    }
}

impl ErrorClass {
    /// Who is to act on a transaction that ended with this class.
    pub const fn actor(self) -> Actor {
        match self {
            ErrorClass::NoRoute
            | ErrorClass::BadRequest
            | ErrorClass::TooLarge
            | ErrorClass::TlsHandshake
            | ErrorClass::Auth
            | ErrorClass::Acl
            | ErrorClass::RateLimited
            | ErrorClass::Waf
            | ErrorClass::ClientAbort => Actor::Caller,
            ErrorClass::NoHealthyUpstream
            | ErrorClass::ConnectRefused
            | ErrorClass::ConnectTimeout
            | ErrorClass::UpstreamTls
            | ErrorClass::UpstreamReset
            | ErrorClass::UpstreamTimeout
            | ErrorClass::UpstreamProtocol
            | ErrorClass::Upstream5xx => Actor::ApiTeam,
            // The resolver is the gateway's, and so is the configuration that names the upstream: the API's team can
            // mend neither, so an alert on `dns` must not page it.
            // Providers of identity are the gateway's to choose and to watch; the caller's credential may be right.
            ErrorClass::Dns | ErrorClass::AuthUnavailable | ErrorClass::Internal => Actor::GatewayTeam,
        }
    }

    /// Who is to act on a class by its name: [`actor`](Self::actor) of a class that this build knows. A newer gateway may
    /// write others. Those that are named as the upstream's are for the API's team, which the alert on its upstream pages for them too;
    /// of any other the gateway team knows what it has rolled out.
    pub fn actor_of(name: &str) -> Actor {
        match Self::parse(name) {
            Some(class) => class.actor(),
            None if name.starts_with("upstream_") || name.starts_with("connect_") => Actor::ApiTeam,
            None => Actor::GatewayTeam,
        }
    }

    /// What the client reads in the gateway's answer. It tells nothing of what is behind the gateway: the record has the detail.
    pub const fn client_message(self) -> &'static str {
        match self {
            ErrorClass::NoRoute => "no API is served for this host, path and method",
            ErrorClass::BadRequest => "the request is malformed or not served in this form",
            ErrorClass::TooLarge => "the request is too large",
            ErrorClass::Auth => "this API needs a valid credential",
            ErrorClass::AuthUnavailable => "credentials cannot be verified at the moment",
            ErrorClass::Acl => "this caller may not use this API",
            ErrorClass::RateLimited => "too many requests",
            ErrorClass::ClientAbort => "the request was not complete",
            ErrorClass::Dns
            | ErrorClass::NoHealthyUpstream
            | ErrorClass::ConnectRefused
            | ErrorClass::ConnectTimeout
            | ErrorClass::UpstreamTls => "the API cannot be reached at the moment",
            ErrorClass::UpstreamReset | ErrorClass::UpstreamProtocol | ErrorClass::Upstream5xx => {
                "the API failed to answer"
            }
            ErrorClass::UpstreamTimeout => "the API did not answer in time",
            ErrorClass::TlsHandshake | ErrorClass::Waf | ErrorClass::Internal => "the request could not be served",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn classes_of_a_newer_gateway_have_an_actor_too() {
        for class in ErrorClass::ALL {
            assert_eq!(ErrorClass::actor_of(class.as_str()), class.actor(), "{class}");
        }
        for (unknown, actor) in [
            ("upstream_quic", Actor::ApiTeam),
            ("connect_reset", Actor::ApiTeam),
            ("clock_skew", Actor::GatewayTeam),
            ("no_upstream_left", Actor::GatewayTeam),
            ("", Actor::GatewayTeam),
        ] {
            assert_eq!(ErrorClass::actor_of(unknown), actor, "{unknown}");
        }
    }
}
