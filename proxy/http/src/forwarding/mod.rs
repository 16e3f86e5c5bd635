//! Who the client is behind trusted hops, and what upstreams are told about it.
//!
//! X-Forwarded-For and Forwarded (RFC 7239) are believed from a peer inside `trusted_hops`, and removed from any other.
//! The client is the first address, from the right, that is no trusted hop. X-Forwarded-For is read before Forwarded.
//! Whichever of them named the client, both go upstream with the same client, so that the next hop finds it in either
//! (RFC 7239 section 7.4).

use std::borrow::Cow;
use std::net::IpAddr;

use http::header::{FORWARDED, HeaderMap, HeaderName, HeaderValue};
use tollgate_proxy_config::Forwarding;
use tollgate_record::vocabulary::ClientIpSource;

use crate::cidr::Cidr;
use crate::field_kinds::{is_x_forwarded, remove_where};
use crate::forwarded;

const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const X_FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
/// Addresses read from one request. The rest of a longer chain is ignored.
const HOPS_MAX: usize = 32;

/// Returns the client behind trusted hops, and the field that named it; `None` = the peer is the client.
#[must_use]
pub fn client(peer: IpAddr, headers: &HeaderMap, trusted: &[Cidr]) -> Option<(IpAddr, ClientIpSource)> {
    if !is_trusted(peer, trusted) {
        return None;
    }
    let xff = x_forwarded_for(headers, trusted).map(|chain| (chain, ClientIpSource::Xff));
    let believed = xff.or_else(|| forwarded_for(headers, trusted).map(|chain| (chain, ClientIpSource::Forwarded)));
    believed.and_then(|(chain, source)| Some((*chain.first()?, source)))
}

/// Returns the hops that X-Forwarded-For names, from the client to the hop before the peer.
fn x_forwarded_for(headers: &HeaderMap, trusted: &[Cidr]) -> Option<Vec<IpAddr>> {
    let lines = texts(headers, &X_FORWARDED_FOR);
    believed(lines.iter().rev().flat_map(|line| line.rsplit(',')).map(|hop| read_address(hop.trim())), trusted)
}

/// Returns the hops that Forwarded names, in the same order.
fn forwarded_for(headers: &HeaderMap, trusted: &[Cidr]) -> Option<Vec<IpAddr>> {
    let lines = texts(headers, &FORWARDED);
    believed(forwarded::nodes(&lines.join(", "))?.into_iter().rev(), trusted)
}

/// Returns the lines of a field. A byte that is no text spoils the hop that holds it, and no other.
fn texts<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Vec<Cow<'a, str>> {
    headers.get_all(name).iter().map(|value| String::from_utf8_lossy(value.as_bytes())).collect()
}

/// Returns the trusted suffix of a hop chain, with the client before it. `hops` come from the right and are returned
/// from the left. The client is the first hop that is not trusted, or the leftmost one.
fn believed(hops: impl Iterator<Item = Option<IpAddr>>, trusted: &[Cidr]) -> Option<Vec<IpAddr>> {
    let mut chain = Vec::new();
    for hop in hops.take(HOPS_MAX) {
        // A hop without an address hides everyone behind it: nothing further left can be believed.
        let hop = hop?;
        chain.push(hop);
        if !is_trusted(hop, trusted) {
            break;
        }
    }
    chain.reverse();
    (!chain.is_empty()).then_some(chain)
}

/// Returns whether an address is in one of these networks.
#[must_use]
#[inline]
pub fn is_trusted(ip: IpAddr, trusted: &[Cidr]) -> bool {
    trusted.iter().any(|network| network.contains(ip))
}

/// Reads an address with or without a port, and an IPv6 address with or without brackets.
fn read_address(text: &str) -> Option<IpAddr> {
    let text = text.trim_matches('"');
    text.parse()
        .ok()
        .or_else(|| text.parse::<std::net::SocketAddr>().ok().map(|addr| addr.ip()))
        .or_else(|| text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).and_then(|inner| inner.parse().ok()))
}

/// Returns whether the client's own connection is TLS: as a trusted hop says in X-Forwarded-Proto, else as this one is.
#[must_use]
pub fn is_secure(tls: bool, peer: IpAddr, headers: &HeaderMap, trusted: &[Cidr]) -> bool {
    let told = texts(headers, &X_FORWARDED_PROTO);
    if told.is_empty() || !is_trusted(peer, trusted) {
        return tls;
    }
    told.iter().flat_map(|line| line.split(',')).all(|scheme| scheme.trim().eq_ignore_ascii_case("https"))
}

/// This hop, as the forwarding fields describe it.
#[derive(Debug)]
pub struct Hop<'a> {
    /// Address of the TCP peer, or the one that its PROXY header names.
    pub peer: IpAddr,
    /// The same address as a header value.
    pub peer_value: &'a HeaderValue,
    /// Whether the client's connection is TLS.
    pub secure: bool,
    /// The host that the client asked for.
    pub host: &'a HeaderValue,
    /// Whether the request may have forwarding fields of other hops; if not, no look-up is made for them.
    pub told: bool,
}

/// Writes the forwarding fields for the upstream, and removes those of a peer that is not believed.
pub fn write(headers: &mut HeaderMap, hop: &Hop<'_>, policy: &Forwarding, trusted: &[Cidr]) {
    let believed = hop.told && is_trusted(hop.peer, trusted);
    let scheme = HeaderValue::from_static(if hop.secure { "https" } else { "http" });
    if believed {
        agree(headers, policy, trusted);
    }
    if hop.told && (!believed || !policy.x_forwarded) {
        remove_where(headers, |name| is_x_forwarded(name.as_str()));
    }
    if hop.told && (!believed || !(policy.x_forwarded || policy.forwarded)) {
        headers.remove(FORWARDED);
    }
    if policy.x_forwarded && !hop.told {
        headers.insert(X_FORWARDED_FOR, hop.peer_value.clone());
        headers.insert(X_FORWARDED_PROTO, scheme);
        headers.insert(X_FORWARDED_HOST, hop.host.clone());
    } else if policy.x_forwarded {
        append(headers, X_FORWARDED_FOR, hop.peer_value);
        headers.entry(X_FORWARDED_PROTO).or_insert(scheme);
        headers.entry(X_FORWARDED_HOST).or_insert_with(|| hop.host.clone());
    }
    if policy.forwarded {
        let peer = forwarded::write(hop.peer);
        let proto = if hop.secure { "https" } else { "http" };
        let host = hop.host.to_str().unwrap_or_default();
        if let Ok(element) = HeaderValue::from_str(&format!("{peer};host=\"{host}\";proto={proto}")) {
            append(headers, FORWARDED, &element);
        }
    }
    if policy.via {
        append(headers, http::header::VIA, &HeaderValue::from_static("1.1 tollgate"));
    }
}

/// Makes X-Forwarded-For and Forwarded agree: the field that names another client, or none, gets the chain of the field
/// that is believed.
fn agree(headers: &mut HeaderMap, policy: &Forwarding, trusted: &[Cidr]) {
    let told = |name: &HeaderName| headers.contains_key(name);
    // The common case: X-Forwarded-For came alone, and goes on alone.
    if !(told(&FORWARDED) || (policy.forwarded && told(&X_FORWARDED_FOR))) {
        return;
    }
    let (by_xff, by_forwarded) = (x_forwarded_for(headers, trusted), forwarded_for(headers, trusted));
    let Some(chain) = by_xff.as_ref().or(by_forwarded.as_ref()) else { return };
    let differs = |other: &Option<Vec<IpAddr>>| other.as_ref().is_none_or(|other| other.first() != chain.first());
    let joined = |write: fn(IpAddr) -> String| {
        let hops: Vec<String> = chain.iter().copied().map(write).collect();
        HeaderValue::from_str(&hops.join(", ")).ok()
    };
    if let (true, Some(chain)) = (policy.x_forwarded && differs(&by_xff), joined(|ip| ip.to_string())) {
        headers.insert(X_FORWARDED_FOR, chain);
    }
    // A Forwarded that came goes on even if this hop adds no element of its own.
    if let (true, Some(chain)) = (differs(&by_forwarded), joined(forwarded::write)) {
        headers.insert(FORWARDED, chain);
    }
}

/// Adds an element to a list-valued field.
fn append(headers: &mut HeaderMap, name: HeaderName, element: &HeaderValue) {
    let before: Vec<&[u8]> = headers.get_all(&name).iter().map(HeaderValue::as_bytes).collect();
    if before.is_empty() {
        headers.insert(name, element.clone());
        return;
    }
    let mut joined = before.join(&b", "[..]);
    joined.extend_from_slice(b", ");
    joined.extend_from_slice(element.as_bytes());
    if let Ok(joined) = HeaderValue::from_bytes(&joined) {
        headers.insert(name, joined);
    }
}

#[cfg(any(test, fuzzing))]
pub mod promises;
#[cfg(test)]
mod tests;
