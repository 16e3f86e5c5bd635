//! What [`client`](super::client) and [`write`](super::write) promise for any chain of hops. A property test drives
//! these checks for a moment, the fuzz target `forwarded` for as long as one likes.

use std::net::IpAddr;

use http::header::{FORWARDED, HeaderMap, HeaderName, HeaderValue};
use tollgate_proxy_config::Forwarding;

use crate::cidr::Cidr;
use crate::forwarding;

const X_FORWARDED_FOR: &str = "x-forwarded-for";

/// Reads a byte that chooses the peer, then X-Forwarded-For and Forwarded, a line each. Panics unless only trusted hops
/// are believed, what an untrusted peer said is gone, and the next hop, which trusts this one, finds the client found
/// here.
pub fn any_bytes(bytes: &[u8]) {
    let Some((peer, rest)) = bytes.split_first() else { return };
    let Ok(trusted) = ["10.0.0.0/8", "fd00::/8"].map(Cidr::parse).into_iter().collect::<Result<Vec<_>, _>>() else {
        return;
    };
    // Every second peer is trusted.
    let peer = IpAddr::from([if peer % 2 == 0 { 10 } else { 192 }, 0, 2, *peer]);
    let mut headers = HeaderMap::new();
    for (index, line) in rest.split(|byte| *byte == b'\n').enumerate() {
        let name = if index % 2 == 0 { HeaderName::from_static(X_FORWARDED_FOR) } else { FORWARDED };
        let Ok(value) = HeaderValue::from_bytes(line) else { return };
        headers.append(name, value);
    }
    let client = forwarding::client(peer, &headers, &trusted).map(|(ip, _)| ip);
    let believed = forwarding::is_trusted(peer, &trusted);
    assert!(believed || client.is_none());
    let (Ok(peer_value), host) = (HeaderValue::from_str(&peer.to_string()), HeaderValue::from_static("a")) else {
        return;
    };
    let hop = forwarding::Hop { peer, peer_value: &peer_value, secure: true, host: &host, told: true };
    // The next hop does not read the end of a chain that has the longest length already.
    let short = rest.iter().filter(|byte| b",\n".contains(byte)).count() < 20;
    for (x_forwarded, also_forwarded) in [(true, false), (true, true), (false, true)] {
        let policy = Forwarding { x_forwarded, forwarded: also_forwarded, ..Forwarding::default() };
        let mut headers = headers.clone();
        forwarding::write(&mut headers, &hop, &policy, &trusted);
        let next = |headers: &HeaderMap| forwarding::client(IpAddr::from([10, 0, 0, 1]), headers, &trusted);
        let found = next(&headers).map(|(ip, _)| ip);
        if client.is_some() && short {
            assert_eq!(found, client);
            // Forwarded alone names the same client.
            headers.remove(X_FORWARDED_FOR);
            assert!(!also_forwarded || next(&headers).map(|(ip, _)| ip) == client);
        } else if !believed {
            assert_eq!(found, Some(peer));
            let told = headers.get_all(X_FORWARDED_FOR).iter().collect::<Vec<_>>();
            assert_eq!(told, if x_forwarded { vec![&peer_value] } else { vec![] });
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;
    use crate::test_words::words;

    const CHAINS: &[&[u8]] = &[
        b"for=\"10.0.0.1:_a\"",
        b"for=_a",
        b"for=2.2.2.2;host=\"a, for=3.3.3.3\"",
        b"\nfor=10.0.0.2, for=",
        b"\0",
        b"\x01",
        b"1.1.1.1",
        b"10.0.0.7",
        b", ",
        b",",
        b"\n",
        b"for=",
        b"for=\"[::1]:8\"",
        b";",
        b"\"",
        b"[fd00::1]",
        b"unknown",
        b"::ffff:10.0.0.1",
        b"1.1.1.1:80",
    ];

    proptest! {
        #[test]
        fn any_chain(bytes in vec(any::<u8>(), 0..300)) {
            any_bytes(&bytes);
        }

        #[test]
        fn nearly_chains(bytes in words(CHAINS)) {
            any_bytes(&bytes);
        }
    }
}
