//! The PROXY protocol: a header before anything else on a connection, in which a proxy names the client to the next
//! server. [`encode`] writes it for upstreams, [`decode`] reads it from the first bytes of a connection.
//!
//! Source: the PROXY protocol specification, versions 1 and 2 (HAProxy project, 2020).

pub mod decode;
pub mod encode;
#[cfg(any(test, fuzzing))]
pub mod promises;
#[cfg(test)]
mod tests;

use tollgate_proxy_config::AcceptedVersion;

use crate::cidr::Cidr;

/// The beginning of every header of version 2.
const SIGNATURE: &[u8; 12] = b"\r\n\r\n\0\r\nQUIT\n";
/// Version 2, command PROXY.
const VERSION_PROXY: u8 = 0x21;
/// Version 2, command LOCAL.
const VERSION_LOCAL: u8 = 0x20;
/// TCP over IPv4.
const TCP4: u8 = 0x11;
/// TCP over IPv6.
const TCP6: u8 = 0x21;

/// The headers that a listener accepts, and the peers that may send them.
#[derive(Debug, Clone)]
pub struct ProxyHeaderPolicy {
    /// Versions of the protocol.
    pub accepted: AcceptedVersion,
    /// Networks of the proxies that are believed.
    pub from: Vec<Cidr>,
}
