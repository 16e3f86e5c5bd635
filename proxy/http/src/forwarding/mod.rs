//! Who the client is, through trusted hops only, and what upstreams are told about it.
//!
//! X-Forwarded-For and Forwarded (RFC 7239) are believed from a peer inside `trusted_hops` and discarded from any other.
//! The client is the first address, from the right, that is no trusted hop. X-Forwarded-For is read before Forwarded;
//! whichever told who the client is, the fields that go upstream tell the same, so that the next hop finds the same client
//! whichever of them it reads (RFC 7239 section 7.4).

use std::borrow::Cow;
use std::net::IpAddr;

use http::header::{FORWARDED, HeaderMap, HeaderName, HeaderValue};
use tollgate_proxy_config::Forwarding;
use tollgate_record::vocabulary::ClientIpSource;

use crate::cidr::Cidr;
use crate::local_reply::X_REQUEST_ID;
use crate::{client_cert, forwarded, normalize};

const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const X_FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
/// Addresses read from one request; a longer chain is not believed further.
const HOPS_MAX: usize = 32;

/// The client behind trusted hops; `None` = it is the peer.
#[must_use]
pub fn client(peer: IpAddr, headers: &HeaderMap, trusted: &[Cidr]) -> Option<(IpAddr, ClientIpSource)> {
    if !is_trusted(peer, trusted) {
        return None;
    }
    let xff = x_forwarded_for(headers, trusted).map(|chain| (chain, ClientIpSource::Xff));
    let believed = xff.or_else(|| forwarded_for(headers, trusted).map(|chain| (chain, ClientIpSource::Forwarded)));
    believed.and_then(|(chain, source)| Some((*chain.first()?, source)))
}

/// The hops that X-Forwarded-For names, from the client to the one before the peer.
fn x_forwarded_for(headers: &HeaderMap, trusted: &[Cidr]) -> Option<Vec<IpAddr>> {
    let lines = texts(headers, &X_FORWARDED_FOR);
    believed(lines.iter().rev().flat_map(|line| line.rsplit(',')).map(|hop| read_address(hop.trim())), trusted)
}

/// The same of Forwarded.
fn forwarded_for(headers: &HeaderMap, trusted: &[Cidr]) -> Option<Vec<IpAddr>> {
    let lines = texts(headers, &FORWARDED);
    believed(forwarded::nodes(&lines.join(", "))?.into_iter().rev(), trusted)
}

/// The lines of a field; where they are no text, the hop that holds it cannot be read, and no other.
fn texts<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Vec<Cow<'a, str>> {
    headers.get_all(name).iter().map(|value| String::from_utf8_lossy(value.as_bytes())).collect()
}

/// Those of a chain's hops, which come from the right, that are believed; they are returned from the left. The first is
/// the client: the first that is no trusted hop, or the last that there is.
fn believed(hops: impl Iterator<Item = Option<IpAddr>>, trusted: &[Cidr]) -> Option<Vec<IpAddr>> {
    let mut chain = Vec::new();
    for hop in hops.take(HOPS_MAX) {
        // A hop that is no address hides whoever is behind it.
        let hop = hop?;
        chain.push(hop);
        if !is_trusted(hop, trusted) {
            break;
        }
    }
    chain.reverse();
    (!chain.is_empty()).then_some(chain)
}

/// Fields that say through which proxies a request came, whatever the rest of their name.
fn is_x_forwarded(name: &str) -> bool {
    name.starts_with("x-forwarded") || name == "x-real-ip"
}

/// Whether upstreams learn from this field who the client is.
#[must_use]
pub fn speaks_of_client(name: &str) -> bool {
    let name = name.replace('_', "-");
    is_x_forwarded(&name)
        || client_cert::is_field(&name)
        || [FORWARDED.as_str(), X_REQUEST_ID.as_str()].contains(&name.as_str())
}

/// Whether a field is one of those with `_` for `-`: CGI and its heirs cannot tell the two apart.
#[must_use]
pub fn is_disguised(name: &str) -> bool {
    name.contains('_') && speaks_of_client(name)
}

/// Whether an address is one of these networks'.
#[must_use]
pub fn is_trusted(ip: IpAddr, trusted: &[Cidr]) -> bool {
    trusted.iter().any(|network| network.contains(ip))
}

/// An address with or without a port, IPv6 with or without brackets.
fn read_address(text: &str) -> Option<IpAddr> {
    let text = text.trim_matches('"');
    text.parse()
        .ok()
        .or_else(|| text.parse::<std::net::SocketAddr>().ok().map(|addr| addr.ip()))
        .or_else(|| text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).and_then(|inner| inner.parse().ok()))
}

/// What the fields say of this hop.
#[derive(Debug)]
pub struct Hop<'a> {
    /// The TCP peer, or whom its PROXY header names.
    pub peer: IpAddr,
    /// Its address as a header value.
    pub peer_value: &'a HeaderValue,
    /// Whether the client's connection is TLS.
    pub secure: bool,
    /// The host that the client asked for.
    pub host: &'a HeaderValue,
    /// Whether the request may have fields of other hops; else they are not looked for.
    pub told: bool,
}

/// Writes the forwarding fields for the upstream.
pub fn write(headers: &mut HeaderMap, hop: &Hop<'_>, policy: &Forwarding, trusted: &[Cidr]) {
    let believed = hop.told && is_trusted(hop.peer, trusted);
    let scheme = HeaderValue::from_static(if hop.secure { "https" } else { "http" });
    if believed {
        agree(headers, policy, trusted);
    }
    if hop.told && (!believed || !policy.x_forwarded) {
        normalize::strip(headers, |name| is_x_forwarded(name.as_str()));
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

/// Begins the field that names another client, or none, with the chain of the one that is believed.
fn agree(headers: &mut HeaderMap, policy: &Forwarding, trusted: &[Cidr]) {
    let told = |name: &HeaderName| headers.contains_key(name);
    // Nearly always: one field came, and it goes on alone.
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
    // What came in Forwarded goes on also where this hop adds nothing to it.
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
