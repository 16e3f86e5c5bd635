//! What [`decode`] promises for any bytes from the network. A property test drives these checks for a moment, the fuzz
//! target `decode` for as long as one likes.

use std::net::SocketAddr;

use tollgate_proxy_config::{AcceptedVersion, ProxyProtocol};

use super::{decode, encode};

/// Panics unless a complete header is complete for its own bytes alone, a wrong one stays wrong, an incomplete one is
/// bounded, and its addresses can be passed on.
pub fn any_bytes(bytes: &[u8]) {
    for accepted in [AcceptedVersion::V1, AcceptedVersion::V2, AcceptedVersion::Any] {
        match decode::decode(bytes, accepted) {
            Ok(None) => assert!(bytes.len() < decode::BYTES_MAX),
            Ok(Some(header)) => complete(bytes, accepted, header),
            Err(_) => assert!(decode::decode(&[bytes, b"\r\n"].concat(), accepted).is_err()),
        }
    }
}

fn complete(bytes: &[u8], accepted: AcceptedVersion, header: decode::Header) {
    let own = &bytes[..header.bytes];
    assert_eq!(decode::decode(own, accepted), Ok(Some(header)));
    for shorter in [0, 1, own.len() / 2, own.len() - 1] {
        assert_eq!(decode::decode(&own[..shorter], accepted), Ok(None));
    }
    let Some((from, to)) = header.ends else { return };
    let plain = |end: SocketAddr| SocketAddr::new(end.ip().to_canonical(), end.port());
    for version in [ProxyProtocol::V1, ProxyProtocol::V2] {
        let told = decode::decode(&encode::header(version, from, to), AcceptedVersion::Any);
        let ends = told.ok().flatten().and_then(|header| header.ends).map(|(from, to)| (plain(from), plain(to)));
        assert_eq!(ends, Some((plain(from), plain(to))));
    }
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;
    use crate::test_words::words;

    const PROXY: &[&[u8]] = &[
        b"PROXY ",
        b"TCP4",
        b"TCP6",
        b"UNKNOWN",
        b" ",
        b"192.0.2.1",
        b"::1",
        b"1",
        b"65535",
        b"\r\n",
        b"\r",
        b"\n",
        b"\r\n\r\n\0\r\nQUIT\n",
        b"\x21\x11\0\x0c",
        b"\x20\0\0\0",
        b"\x21\x21\0\x24",
        b"\0\0\0\0\0\0\0\0\0\0\0\0",
    ];

    proptest! {
        #[test]
        fn any_header(bytes in vec(any::<u8>(), 0..300)) {
            any_bytes(&bytes);
        }

        #[test]
        fn nearly_headers(bytes in words(PROXY)) {
            any_bytes(&bytes);
        }
    }
}
