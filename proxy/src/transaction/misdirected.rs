//! Requests for another host than the connection's handshake was for (RFC 9110 section 15.5.20).
//!
//! The client's certificate, or its absence, was judged for the server name of the handshake. Another name may trust
//! other authorities, or demand a certificate at all, so that judgement does not hold for it: 421, and the client opens
//! another connection.

use http::StatusCode;
use http::header::HeaderValue;
use tollgate_proxy_http::local_reply::LocalReply;
use tollgate_proxy_http::routing::host_name;
use tollgate_record::vocabulary::ErrorClass;
use tollgate_tls::ServerNames;

use crate::transaction::ConnectionFacts;

/// Refuses a request if its host's policy may differ from the one that the connection was judged by. A connection
/// without TLS is older than the listener's TLS.
///
/// # Errors
/// 421. If the name's policy has changed since the handshake, or there was no handshake, the connection closes too.
pub fn check(names: &ServerNames, connection: &ConnectionFacts, host: &HeaderValue) -> Result<(), LocalReply> {
    let outdated = |detail| {
        connection.leave.abort();
        Err(LocalReply { close: true, ..misdirected(detail) })
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
        return Err(misdirected(
            "the host is not the server name of the handshake, and one of them asks for certificates",
        ));
    }
    Ok(())
}

fn misdirected(detail: &str) -> LocalReply {
    LocalReply::gateway(StatusCode::MISDIRECTED_REQUEST, ErrorClass::BadRequest, detail)
}
