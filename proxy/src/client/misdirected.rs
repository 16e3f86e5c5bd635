//! Requests on a connection whose client certificate was asked for under another name (RFC 9110 section 15.5.20).
//!
//! A certificate, or its absence, was judged for the server name of the handshake. Under another name, which may trust
//! other authorities or demand a certificate at all, that judgement says nothing: 421, and the client connects anew.

use http::StatusCode;
use http::header::HeaderValue;
use tollgate_record::vocabulary::ErrorClass;
use tollgate_tls::ServerNames;

use crate::client::connection::ConnectionFacts;
use crate::refusal::Refusal;
use crate::routing::host_name;

/// Refuses a request whose host may be asked for otherwise than its connection was. A connection without TLS is older than
/// the listener's.
///
/// # Errors
/// The refusal, 421. Where the name's policy has changed since the handshake, or there was none, nothing more is served on
/// the connection: its client is told to use another.
pub fn check(names: &ServerNames, connection: &ConnectionFacts, host: &HeaderValue) -> Result<(), Refusal> {
    let outdated = |detail| {
        connection.leave.cut();
        Err(Refusal { close: true, ..refusal(detail) })
    };
    let Some(tls) = &connection.tls else {
        return outdated("the listener speaks TLS since the connection was opened without");
    };
    let agreed = names.policy(tls.sni.as_deref());
    if tls.policy.as_ref().is_some_and(|policy| policy != agreed) {
        return outdated("what clients of this name must show has changed since the handshake");
    }
    if names.is_uniform() {
        return Ok(());
    }
    let host = host_name(host.to_str().unwrap_or_default());
    let named = names.policy(Some(host));
    if names.is_default(agreed) && names.is_default(named) {
        return Ok(());
    }
    let differs = !tls.sni.as_deref().is_some_and(|sni| sni.eq_ignore_ascii_case(host));
    if differs && (agreed.asks_for_certificate() || named.asks_for_certificate()) {
        return Err(refusal("the host is not the server name of the handshake, and one of them asks for certificates"));
    }
    Ok(())
}

fn refusal(detail: &str) -> Refusal {
    Refusal::gateway(StatusCode::MISDIRECTED_REQUEST, ErrorClass::BadRequest, detail)
}
