//! Writes headers for upstreams: 107 bytes at most in version 1, 52 in version 2.

use std::net::{IpAddr, SocketAddr};

use tollgate_proxy_config::ProxyProtocol;

use super::{SIGNATURE, TCP4, TCP6, VERSION_LOCAL, VERSION_PROXY};

/// Returns the header of a connection that serves `source`, a client that connected to `destination`. Empty for
/// [`ProxyProtocol::None`].
#[must_use]
pub fn header(version: ProxyProtocol, source: SocketAddr, destination: SocketAddr) -> Vec<u8> {
    let (source, destination) = same_family(source, destination);
    match version {
        ProxyProtocol::None => Vec::new(),
        ProxyProtocol::V1 => v1(source, destination),
        ProxyProtocol::V2 => v2(source, destination),
    }
}

/// Returns the header of a connection that the proxy opens for itself, as for a health check.
#[must_use]
pub fn local(version: ProxyProtocol) -> Vec<u8> {
    match version {
        ProxyProtocol::None => Vec::new(),
        ProxyProtocol::V1 => b"PROXY UNKNOWN\r\n".to_vec(),
        ProxyProtocol::V2 => [SIGNATURE.as_slice(), &[VERSION_LOCAL, 0, 0, 0]].concat(),
    }
}

/// Returns both ends in one family, as a header has only one: IPv4 if both are IPv4, else IPv6.
fn same_family(source: SocketAddr, destination: SocketAddr) -> (SocketAddr, SocketAddr) {
    match (source.ip().to_canonical(), destination.ip().to_canonical()) {
        (IpAddr::V4(from), IpAddr::V4(to)) => ((from, source.port()).into(), (to, destination.port()).into()),
        (from, to) => ((v6(from), source.port()).into(), (v6(to), destination.port()).into()),
    }
}

fn v6(ip: IpAddr) -> std::net::Ipv6Addr {
    match ip {
        IpAddr::V4(ip) => ip.to_ipv6_mapped(),
        IpAddr::V6(ip) => ip,
    }
}

/// Writes version 1 (section 2.1).
fn v1(source: SocketAddr, destination: SocketAddr) -> Vec<u8> {
    let family = if source.is_ipv4() { "TCP4" } else { "TCP6" };
    let (from, to) = (source.ip(), destination.ip());
    format!("PROXY {family} {from} {to} {} {}\r\n", source.port(), destination.port()).into_bytes()
}

/// Writes version 2 (section 2.2).
fn v2(source: SocketAddr, destination: SocketAddr) -> Vec<u8> {
    let mut header = SIGNATURE.to_vec();
    header.push(VERSION_PROXY);
    let mut addresses = Vec::new();
    match (source.ip(), destination.ip()) {
        (IpAddr::V4(from), IpAddr::V4(to)) => {
            header.push(TCP4);
            addresses.extend(from.octets());
            addresses.extend(to.octets());
        }
        (from, to) => {
            header.push(TCP6);
            addresses.extend(v6(from).octets());
            addresses.extend(v6(to).octets());
        }
    }
    addresses.extend(source.port().to_be_bytes());
    addresses.extend(destination.port().to_be_bytes());
    header.extend((addresses.len() as u16).to_be_bytes());
    header.extend(addresses);
    header
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(source: &str, destination: &str) -> String {
        let header = header(ProxyProtocol::V1, source.parse().unwrap(), destination.parse().unwrap());
        String::from_utf8(header).unwrap()
    }

    #[test]
    fn version_1() {
        assert_eq!(text("192.0.2.1:56324", "192.0.2.2:443"), "PROXY TCP4 192.0.2.1 192.0.2.2 56324 443\r\n");
        assert_eq!(text("[2001:db8::1]:1", "[::1]:2"), "PROXY TCP6 2001:db8::1 ::1 1 2\r\n");
        // An IPv4 client of a socket for both families is written as IPv4.
        assert_eq!(text("[::ffff:192.0.2.1]:1", "192.0.2.2:2"), "PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\n");
        assert_eq!(text("192.0.2.1:1", "[::1]:2"), "PROXY TCP6 ::ffff:192.0.2.1 ::1 1 2\r\n");
        let longest = "[ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff]:65535";
        assert!(text(longest, longest).len() <= 107);
    }

    #[test]
    fn version_2() {
        let (source, destination) = ("192.0.2.1:56324".parse().unwrap(), "192.0.2.2:443".parse().unwrap());
        let expected = [SIGNATURE.as_slice(), &[0x21, 0x11, 0, 12, 192, 0, 2, 1, 192, 0, 2, 2, 0xdc, 0x04, 1, 0xbb]];
        assert_eq!(header(ProxyProtocol::V2, source, destination), expected.concat());
        let six = "[::1]:1".parse().unwrap();
        let header = header(ProxyProtocol::V2, six, six);
        assert_eq!((header.len(), header[13], header[15]), (52, 0x21, 36));
    }

    #[test]
    fn none_is_nothing() {
        let any = "192.0.2.1:1".parse().unwrap();
        assert!(header(ProxyProtocol::None, any, any).is_empty());
    }
}
