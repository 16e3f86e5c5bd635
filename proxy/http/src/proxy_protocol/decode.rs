//! Reads a header from bytes of the network: it is incomplete, malformed, or names both ends of a connection.
//!
//! ```text
//! version 1   PROXY TCP4 192.0.2.1 192.0.2.2 56324 443\r\n      107 bytes at most
//! version 2   signature 12 | version, command 1 | family, transport 1 | length 2 | addresses, then TLVs
//! ```
//! While a header is incomplete, every byte so far belongs to it. A header of the proxy's own connection (LOCAL), or of
//! anything but TCP over IP (UNKNOWN, UNSPEC, UNIX, datagrams), names no ends: those of the connection hold. TLVs are
//! skipped.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use tollgate_proxy_config::AcceptedVersion;

use super::{SIGNATURE, TCP4, TCP6, VERSION_LOCAL, VERSION_PROXY};

/// Longest header of version 1, with its end (section 2.1).
pub const V1_BYTES_MAX: usize = 107;
/// Most bytes after the fixed part of version 2. Addresses take 216 at most; the rest is for TLVs.
pub const V2_REST_BYTES_MAX: usize = 4_096;
/// Bytes of the fixed part of version 2.
pub(super) const V2_HEAD_BYTES: usize = 16;
/// Longest header of either version.
pub const BYTES_MAX: usize = V2_HEAD_BYTES + V2_REST_BYTES_MAX;
/// The beginning of every header of version 1.
const V1_START: &[u8] = b"PROXY ";

/// A complete header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    /// Length of the header; the client's own bytes follow.
    pub bytes: usize,
    /// Source and destination; `None` = those of the connection itself.
    pub ends: Option<(SocketAddr, SocketAddr)>,
}

/// The bytes begin no header that is accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the connection begins with no PROXY header that is accepted: {0}")]
pub struct Malformed(pub &'static str);

/// Reads the header at the beginning of `bytes`; `None` = the header is incomplete.
///
/// # Errors
/// No further byte can make `bytes` a header of an accepted version.
pub fn decode(bytes: &[u8], accepted: AcceptedVersion) -> Result<Option<Header>, Malformed> {
    match accepted {
        AcceptedVersion::V1 => v1(bytes),
        AcceptedVersion::V2 => v2(bytes),
        // The first byte tells the versions apart.
        AcceptedVersion::Any if bytes.first() == SIGNATURE.first() => v2(bytes),
        AcceptedVersion::Any => v1(bytes),
    }
}

/// Returns whether one is a prefix of the other.
fn agree(bytes: &[u8], start: &[u8]) -> bool {
    bytes.iter().zip(start).all(|(byte, expected)| byte == expected)
}

/// Reads version 1 (section 2.1).
fn v1(bytes: &[u8]) -> Result<Option<Header>, Malformed> {
    if !agree(bytes, V1_START) {
        return Err(Malformed("it does not begin with `PROXY `"));
    }
    let window = &bytes[..bytes.len().min(V1_BYTES_MAX)];
    let Some(end) = memchr::memchr(b'\n', window) else {
        return match bytes.len() < V1_BYTES_MAX {
            true => Ok(None),
            false => Err(Malformed("version 1 is too long")),
        };
    };
    let line = window[..end].strip_suffix(b"\r").ok_or(Malformed("its line does not end in CR LF"))?;
    let line = std::str::from_utf8(line).map_err(|_| Malformed("its line is not ASCII"))?;
    let mut words = line.split(' ').skip(1);
    let family = words.next();
    let bytes = end + 1;
    if family == Some("UNKNOWN") {
        // The rest of the line means nothing (section 2.1).
        return Ok(Some(Header { bytes, ends: None }));
    }
    let mut word = || words.next().ok_or(Malformed("a word is missing"));
    let (from, to, from_port, to_port) = (word()?, word()?, word()?, word()?);
    if words.next().is_some() {
        return Err(Malformed("there is a word too many"));
    }
    let address = match family {
        Some("TCP4") => |text: &str| text.parse::<Ipv4Addr>().ok().map(IpAddr::V4),
        Some("TCP6") => |text: &str| text.parse::<Ipv6Addr>().ok().map(IpAddr::V6),
        _ => return Err(Malformed("its family is not TCP4, TCP6 or UNKNOWN")),
    };
    let end = |ip: &str, number: &str| {
        let ip = address(ip).ok_or(Malformed("an address is not of its family"))?;
        Ok(SocketAddr::new(ip, port(number)?))
    };
    Ok(Some(Header { bytes, ends: Some((end(from, from_port)?, end(to, to_port)?)) }))
}

/// Reads digits without leading zeros.
fn port(text: &str) -> Result<u16, Malformed> {
    let plain = text.bytes().all(|byte| byte.is_ascii_digit()) && (text == "0" || !text.starts_with('0'));
    text.parse().ok().filter(|_| plain).ok_or(Malformed("a port is no number up to 65535"))
}

/// Reads version 2 (section 2.2).
fn v2(bytes: &[u8]) -> Result<Option<Header>, Malformed> {
    if !agree(bytes, SIGNATURE) {
        return Err(Malformed("it does not begin with version 2's signature"));
    }
    let command = bytes.get(12).copied();
    if command.is_some_and(|command| command != VERSION_LOCAL && command != VERSION_PROXY) {
        return Err(Malformed("its version is not 2, or its command neither LOCAL nor PROXY"));
    }
    let family = bytes.get(13).copied();
    // Families 0 to 3 and transports 0 to 2 are defined; all others are reserved.
    if family.is_some_and(|family| family >> 4 > 3 || family & 0xf > 2) {
        return Err(Malformed("its family or transport is reserved"));
    }
    let (Some(command), Some(family), Some(length)) = (command, family, bytes.get(14..V2_HEAD_BYTES)) else {
        return Ok(None);
    };
    let length = usize::from(u16::from_be_bytes([length[0], length[1]]));
    if length > V2_REST_BYTES_MAX {
        return Err(Malformed("version 2 is too long"));
    }
    let short = Err(Malformed("it is shorter than the addresses of its family"));
    let proxied = command == VERSION_PROXY;
    let addresses = match family >> 4 {
        1 => 12,
        2 => 36,
        3 => 216,
        _ => 0,
    };
    if proxied && length < addresses {
        return short;
    }
    let Some(rest) = bytes.get(V2_HEAD_BYTES..V2_HEAD_BYTES + length) else { return Ok(None) };
    let ends = match family {
        TCP4 if proxied => ends::<4>(rest),
        TCP6 if proxied => ends::<16>(rest),
        _ => None,
    };
    Ok(Some(Header { bytes: V2_HEAD_BYTES + length, ends }))
}

/// Reads two addresses of `N` bytes, then two ports.
fn ends<const N: usize>(rest: &[u8]) -> Option<(SocketAddr, SocketAddr)>
where
    IpAddr: From<[u8; N]>,
{
    let (from, rest) = rest.split_first_chunk::<N>()?;
    let (to, rest) = rest.split_first_chunk::<N>()?;
    let (from_port, rest) = rest.split_first_chunk::<2>()?;
    let (to_port, _tlvs) = rest.split_first_chunk::<2>()?;
    let end = |ip: &[u8; N], port: &[u8; 2]| SocketAddr::new(IpAddr::from(*ip), u16::from_be_bytes(*port));
    Some((end(from, from_port), end(to, to_port)))
}
