//! The specification's cases as tables, and properties of any header.

use std::net::{IpAddr, SocketAddr};

use proptest::prelude::*;
use tollgate_proxy_config::ProxyProtocol;

use super::decode::*;
use super::*;

const ANY: AcceptedVersion = AcceptedVersion::Any;

fn v2(command: u8, family: u8, rest: &[u8]) -> Vec<u8> {
    [SIGNATURE.as_slice(), &[command, family], &(rest.len() as u16).to_be_bytes(), rest].concat()
}

#[test]
fn version_1() {
    let ends = |line: &str| decode(format!("{line}\r\nGET").as_bytes(), ANY).unwrap().unwrap();
    let header = ends("PROXY TCP4 192.0.2.1 192.0.2.2 56324 443");
    assert_eq!(header.bytes, "PROXY TCP4 192.0.2.1 192.0.2.2 56324 443\r\n".len());
    assert_eq!(header.ends, Some(("192.0.2.1:56324".parse().unwrap(), "192.0.2.2:443".parse().unwrap())));
    let six = ends("PROXY TCP6 2001:db8::1 ::1 0 65535").ends;
    assert_eq!(six, Some(("[2001:db8::1]:0".parse().unwrap(), "[::1]:65535".parse().unwrap())));
    for line in ["PROXY UNKNOWN", "PROXY UNKNOWN ff:: what ever \u{e9}"] {
        assert_eq!(ends(line), Header { bytes: line.len() + 2, ends: None });
    }
}

#[test]
fn version_1_refused() {
    for text in [
        "GET / HTTP/1.1\r\n",
        "proxy TCP4 192.0.2.1 192.0.2.2 1 2\r\n",
        "PROXY\r\n",
        "PROXY \r\n",
        "PROXY TCP4\r\n",
        "PROXY UDP4 192.0.2.1 192.0.2.2 1 2\r\n",
        "PROXY TCP4 192.0.2.1 192.0.2.2 1\r\n",
        "PROXY TCP4 192.0.2.1 192.0.2.2 1 2 3\r\n",
        "PROXY TCP4 192.0.2.1 192.0.2.2 1 2 \r\n",
        "PROXY TCP4  192.0.2.1 192.0.2.2 1 2\r\n",
        "PROXY TCP4 192.0.2.1 192.0.2.2 1 2\n",
        "PROXY TCP4 192.0.2.1 192.0.2.2 1 65536\r\n",
        "PROXY TCP4 192.0.2.1 192.0.2.2 +1 2\r\n",
        "PROXY TCP4 192.0.2.1 192.0.2.2 01 2\r\n",
        "PROXY TCP4 192.0.2.1 192.0.2.2 -1 2\r\n",
        "PROXY TCP4 192.0.2.01 192.0.2.2 1 2\r\n",
        "PROXY TCP4 ::1 ::1 1 2\r\n",
        "PROXY TCP6 192.0.2.1 192.0.2.2 1 2\r\n",
        "PROXY TCP6 fe80::1%eth0 ::1 1 2\r\n",
        "PROXY TCP4 192.0.2.1:1 192.0.2.2 1 2\r\n",
    ] {
        assert!(decode(text.as_bytes(), ANY).is_err(), "{text}");
    }
}

#[test]
fn version_1_has_a_bound() {
    let line = |bytes: usize| format!("{:a<1$}\r\n", "PROXY UNKNOWN ", bytes - 2).into_bytes();
    assert_eq!(decode(&line(V1_BYTES_MAX), ANY).unwrap().unwrap().bytes, V1_BYTES_MAX);
    assert_eq!(decode(&line(V1_BYTES_MAX + 1)[..V1_BYTES_MAX - 1], ANY), Ok(None));
    assert!(decode(&line(V1_BYTES_MAX + 1)[..V1_BYTES_MAX], ANY).is_err());
    assert!(decode(&line(V1_BYTES_MAX + 1), ANY).is_err());
}

#[test]
fn version_2() {
    let four = [192, 0, 2, 1, 192, 0, 2, 2, 0xdc, 0x04, 1, 0xbb];
    let ends = Some(("192.0.2.1:56324".parse().unwrap(), "192.0.2.2:443".parse().unwrap()));
    let with_tlvs = [four.as_slice(), &[0x04, 0, 1, 0, 0xff]].concat();
    for (name, bytes, expected) in [
        ("TCP over IPv4", v2(0x21, 0x11, &four), ends),
        ("TLVs", v2(0x21, 0x11, &with_tlvs), ends),
        ("LOCAL has no addresses", v2(0x20, 0x11, &four), None),
        ("LOCAL, nothing else", v2(0x20, 0, &[]), None),
        ("LOCAL, short of its family", v2(0x20, 0x11, &[1]), None),
        ("UNSPEC", v2(0x21, 0, &[]), None),
        ("UNSPEC with something", v2(0x21, 0, &[1, 2, 3]), None),
        ("UNIX", v2(0x21, 0x31, &[0; 216]), None),
        ("UDP", v2(0x21, 0x12, &four), None),
    ] {
        let header = decode(&[bytes.as_slice(), b"GET"].concat(), ANY);
        assert_eq!(header, Ok(Some(Header { bytes: bytes.len(), ends: expected })), "{name}");
    }
}

#[test]
fn version_2_refused() {
    for (name, bytes) in [
        ("version 1 in binary", v2(0x11, 0x11, &[0; 12])),
        ("version 3", v2(0x31, 0x11, &[0; 12])),
        ("command 2", v2(0x22, 0x11, &[0; 12])),
        ("family 4", v2(0x21, 0x41, &[0; 12])),
        ("transport 3", v2(0x21, 0x13, &[0; 12])),
        ("short of IPv4", v2(0x21, 0x11, &[0; 11])),
        ("short of IPv6", v2(0x21, 0x21, &[0; 35])),
        ("short of UNIX", v2(0x21, 0x31, &[0; 215])),
        ("over the bound", v2(0x20, 0, &[0; V2_REST_BYTES_MAX + 1])),
        ("another signature", b"\r\n\r\n\0\r\nQUIT ".to_vec()),
    ] {
        assert!(decode(&bytes, ANY).is_err(), "{name}");
    }
    assert_eq!(decode(&v2(0x20, 0, &[0; V2_REST_BYTES_MAX]), ANY).unwrap().unwrap().bytes, BYTES_MAX);
}

#[test]
fn only_accepted_versions() {
    let (one, two) = (b"PROXY UNKNOWN\r\n".to_vec(), v2(0x20, 0, &[]));
    for (accepted, takes_one, takes_two) in
        [(AcceptedVersion::V1, true, false), (AcceptedVersion::V2, false, true), (ANY, true, true)]
    {
        assert_eq!(decode(&one, accepted).is_ok(), takes_one, "{accepted:?}");
        assert_eq!(decode(&two, accepted).is_ok(), takes_two, "{accepted:?}");
        // At the first byte.
        assert_eq!(decode(&one[..1], accepted).is_ok(), takes_one, "{accepted:?}");
        assert_eq!(decode(&two[..1], accepted).is_ok(), takes_two, "{accepted:?}");
    }
}

fn socket() -> impl Strategy<Value = SocketAddr> {
    prop_oneof![
        (any::<[u8; 4]>(), any::<u16>()).prop_map(|(ip, port)| (IpAddr::from(ip), port).into()),
        (any::<[u8; 16]>(), any::<u16>()).prop_map(|(ip, port)| (IpAddr::from(ip), port).into()),
    ]
}

proptest! {
    /// A written header is read back as it was written. Every part of it is incomplete, and bytes after it are not
    /// touched.
    #[test]
    fn headers_come_back(
        from in socket(),
        to in socket(),
        two: bool,
        tail in prop::collection::vec(any::<u8>(), 0..40),
    ) {
        let version = if two { ProxyProtocol::V2 } else { ProxyProtocol::V1 };
        let header = encode::header(version, from, to);
        for bytes in 0..header.len() {
            prop_assert_eq!(decode(&header[..bytes], ANY), Ok(None));
        }
        let plain = |end: SocketAddr| SocketAddr::new(end.ip().to_canonical(), end.port());
        let found = decode(&[header.as_slice(), &tail].concat(), ANY).unwrap().unwrap();
        prop_assert_eq!(found.bytes, header.len());
        let (found_from, found_to) = found.ends.unwrap();
        prop_assert_eq!((plain(found_from), plain(found_to)), (plain(from), plain(to)));
    }

    /// TLVs after the addresses of version 2 are skipped, and each part of the header is incomplete.
    #[test]
    fn tlvs_are_skipped(from in socket(), to in socket(), tlvs in prop::collection::vec(any::<u8>(), 0..200)) {
        let mut header = encode::header(ProxyProtocol::V2, from, to);
        let plain = decode(&header, ANY).unwrap().unwrap().ends;
        header.extend(&tlvs);
        let length = (header.len() - V2_HEAD_BYTES) as u16;
        header[14..16].copy_from_slice(&length.to_be_bytes());
        for bytes in 0..header.len() {
            prop_assert_eq!(decode(&header[..bytes], ANY), Ok(None));
        }
        prop_assert_eq!(decode(&header, ANY), Ok(Some(Header { bytes: header.len(), ends: plain })));
    }
}
