//! What the parsers promise for any bytes from the network, as functions that panic where a promise is broken.
//! `proxy/fuzz` drives them for as long as one likes, a property test here for a moment.

use std::net::{IpAddr, SocketAddr};
use std::path::Path;

use http::header::{FORWARDED, HOST, HeaderMap, HeaderName, HeaderValue};
use http::{Request, Version, request};

use crate::config::{AcceptedVersion, Cidr, Forwarding, Plan, ProxyProtocol};
use crate::proxy_protocol::{decode, encode};
use crate::ship::BatchName;
use crate::{forwarding, normalize, spelling};

const X_FORWARDED_FOR: &str = "x-forwarded-for";

/// PROXY headers: what is complete is so for its own bytes alone, what is wrong stays wrong, what is incomplete is
/// bounded, and addresses can be told on.
pub fn proxy_header(bytes: &[u8]) {
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

/// Request heads, a line each for method, target, version and every field: what passes has one spelling and one host,
/// carries nothing that ends at this hop, and passes again as it is.
pub fn normalized(bytes: &[u8]) {
    let Some(mut head) = head(bytes) else { return };
    let Ok(normal) = normalize::request(&mut head, u32::MAX) else { return };
    let path = head.uri.path();
    assert!(path.is_empty() || path == "*" || spelling::canonical(path).is_ok_and(|spelt| spelt == path), "{path}");
    assert!(head.headers.get_all(HOST).iter().count() <= 1);
    for gone in ["connection", "keep-alive", "proxy-connection", "upgrade", "expect", "transfer-encoding"] {
        assert!(!head.headers.contains_key(gone), "{gone}");
    }
    assert!(head.headers.get("te").is_none_or(|te| te == "trailers"));
    assert!(!head.headers.keys().any(|name| forwarding::is_disguised(name.as_str())));
    let (uri, headers) = (head.uri.clone(), head.headers.clone());
    let again = normalize::request(&mut head, u32::MAX).map(|again| again.host);
    assert_eq!(again.ok(), Some(normal.host));
    assert_eq!((head.uri, &head.headers), (uri, &headers));
    let mut trailers = headers;
    normalize::trailers(&mut trailers);
    assert!(!trailers.contains_key(HOST) && !trailers.keys().any(|name| forwarding::speaks_of_client(name.as_str())));
}

fn head(bytes: &[u8]) -> Option<request::Parts> {
    let mut lines = bytes.split(|byte| *byte == b'\n');
    let (method, target, version) = (lines.next()?, lines.next()?, lines.next()?);
    let version = match version {
        b"0" => Version::HTTP_10,
        b"2" => Version::HTTP_2,
        _ => Version::HTTP_11,
    };
    let mut request = Request::builder().method(method).uri(target).version(version);
    for line in lines {
        let colon = line.iter().position(|byte| *byte == b':')?;
        request = request.header(&line[..colon], line[colon + 1..].trim_ascii());
    }
    Some(request.body(()).ok()?.into_parts().0)
}

/// X-Forwarded-For and Forwarded, a line each, after a byte that chooses the peer: nobody is believed but trusted hops,
/// what an untrusted peer said is gone, and the next hop, which trusts this one, finds the client that was found here.
pub fn forwarded(bytes: &[u8]) {
    let Some((peer, rest)) = bytes.split_first() else { return };
    let Ok(trusted) = ["10.0.0.0/8", "fd00::/8"].map(Cidr::parse).into_iter().collect::<Result<Vec<_>, _>>() else {
        return;
    };
    // One in two is trusted.
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
    // A chain that is as long as can be read is not read to its end by the next.
    let short = rest.iter().filter(|byte| b",\n".contains(byte)).count() < 20;
    for (x_forwarded, also_forwarded) in [(true, false), (true, true), (false, true)] {
        let policy = Forwarding { x_forwarded, forwarded: also_forwarded, ..Forwarding::default() };
        let mut headers = headers.clone();
        forwarding::write(&mut headers, &hop, &policy, &trusted);
        let next = |headers: &HeaderMap| forwarding::client(IpAddr::from([10, 0, 0, 1]), headers, &trusted);
        let found = next(&headers).map(|(ip, _)| ip);
        if client.is_some() && short {
            assert_eq!(found, client);
            // Also by the other field alone.
            headers.remove(X_FORWARDED_FOR);
            assert!(!also_forwarded || next(&headers).map(|(ip, _)| ip) == client);
        } else if !believed {
            assert_eq!(found, Some(peer));
            let told = headers.get_all(X_FORWARDED_FOR).iter().collect::<Vec<_>>();
            assert_eq!(told, if x_forwarded { vec![&peer_value] } else { vec![] });
        }
    }
}

/// A configuration: whatever it says, the answer is a plan or problems that name the file, and what was accepted is read
/// the same again.
pub fn configuration(text: &str) {
    let path = Path::new("/nowhere/gate.yaml");
    match Plan::parse(path, text.to_owned()) {
        Ok(plan) => {
            assert!(!plan.listeners.is_empty());
            let again = Plan::parse(path, text.to_owned()).map(|again| again.revision);
            assert_eq!(again.ok(), Some(plan.revision));
        }
        Err(error) => assert!(error.to_string().contains("gate.yaml"), "{error}"),
    }
}

/// Names of files in a spool or a quarantine folder: one that is a batch's is spelt in this one way, and stays in its folder.
pub fn batch_file_name(name: &str) {
    if let Some(parsed) = BatchName::parse(name) {
        assert_eq!(parsed.to_string(), name);
        assert!(!name.contains(['/', '\\', '\0']) && name.ends_with(".arrows.zst"));
        assert!(Path::new(name).file_name().is_some_and(|file| file == name));
    }
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;
    use proptest::sample::select;

    use super::*;

    /// Bytes made of words that parsers look for, and of others.
    fn words(words: &'static [&'static [u8]]) -> impl Strategy<Value = Vec<u8>> {
        let word = prop_oneof![
            6 => select(words).prop_map(<[u8]>::to_vec),
            1 => vec(any::<u8>(), 0..4),
        ];
        vec(word, 0..24).prop_map(|words| words.concat())
    }

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
    const HEADS: &[&[u8]] = &[
        b"GET\n",
        b"OPTIONS\n",
        b"/a",
        b"http://a",
        b"%2e",
        b"%41",
        b"..",
        b";",
        b"*",
        b"?",
        b"\n1",
        b"\n2",
        b"\n0",
        b"\nhost:a",
        b"\nhost:b",
        b"\nconnection:",
        b"close",
        b",",
        b"upgrade",
        b"x-a",
        b"\nx-a:1",
        b"\nte:trailers",
        b"\nx_forwarded_for:1",
        b"\ntransfer-encoding:chunked",
        b"\nexpect:100-continue",
        b"\ncontent-length:007",
    ];
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

    const NAMES: &[&[u8]] = &[
        b"gate-1",
        b"-",
        b".",
        b"..",
        b"/",
        b"\\",
        b"\0",
        b"64a1f3c2b8e00",
        b"0",
        b"17",
        b"4096",
        b"9ae0daaf",
        b"+",
        b"00",
        b".arrows.zst",
        b".tmp",
        b".json",
        b"A",
        b"-0-17.4096-9ae0daaf.arrows.zst",
    ];
    const CONFIGURATION: &str = "\
node_id: gate-1
listeners:
  - {name: plain, address: \"127.0.0.1:8080\", caps: {connections_max: 9}}
services:
  - {name: api, targets: [\"http://127.0.0.1:9000\"], caps: {concurrent_max: 5}}
routes:
  - {name: all, service: api, hosts: [\"*.a.b\"], paths: [\"/members/{id}\"], methods: [GET], timeouts: {total: 10s}}
timeouts: {total: 1m}
records: {batch_age_max: 1s, spool: {dir: spool, bytes_max: 1 GiB}}
";
    /// What stands in a configuration, and what hardly should.
    const PARTS: &[&str] = &[
        "",
        "\n",
        "  ",
        "- ",
        ": ",
        ", ",
        "{",
        "}",
        "[",
        "]",
        "\"",
        "#",
        "&a ",
        "*a",
        "0",
        "-1",
        "1e9",
        "9999999999999999999",
        "1s",
        "1d",
        "0s",
        "1 GiB",
        "a",
        "/",
        "/{",
        "/{id}/{id}",
        "*",
        "**",
        "[::1]:0",
        "http://",
        "https://a:0",
        "null",
        "true",
        "hosts",
        "targets",
        "weight",
        "é",
        "\u{7}",
    ];

    proptest! {
        #[test]
        fn any_configuration(text in ".{0,200}") {
            configuration(&text);
        }

        #[test]
        fn nearly_configurations(
            changes in vec((any::<prop::sample::Index>(), 0_usize..6, select(PARTS)), 1..6)
        ) {
            configuration(CONFIGURATION);
            let mut text: Vec<char> = CONFIGURATION.chars().collect();
            for (at, gone, part) in changes {
                let at = at.index(text.len());
                let end = (at + gone).min(text.len());
                text.splice(at..end, part.chars());
            }
            configuration(&text.into_iter().collect::<String>());
        }

        #[test]
        fn nearly_names(bytes in words(NAMES)) {
            let name = String::from_utf8_lossy(&bytes);
            batch_file_name(&name);
            batch_file_name(&format!("{name}-64a1f3c2b8e00-0-17.4096-9ae0daaf.arrows.zst"));
        }

        #[test]
        fn any_bytes(bytes in vec(any::<u8>(), 0..300)) {
            proxy_header(&bytes);
            normalized(&bytes);
            forwarded(&bytes);
        }

        #[test]
        fn nearly_proxy_headers(bytes in words(PROXY)) {
            proxy_header(&bytes);
        }

        #[test]
        fn nearly_heads(bytes in words(HEADS)) {
            normalized(&bytes);
            normalized(&[b"GET\n/\n1\nhost:a".as_slice(), &bytes].concat());
        }

        #[test]
        fn nearly_chains(bytes in words(CHAINS)) {
            forwarded(&bytes);
        }
    }
}
