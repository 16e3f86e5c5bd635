//! Chains of hops, as tables.

use super::*;

fn headers(fields: &[(&'static str, &'static str)]) -> HeaderMap {
    let mut map = HeaderMap::new();
    for (name, value) in fields {
        map.append(*name, HeaderValue::from_static(value));
    }
    map
}

#[test]
fn only_trusted_hops_are_believed() {
    let trusted = [Cidr::parse("10.0.0.0/8").unwrap(), Cidr::parse("fd00::/8").unwrap()];
    type Row<'a> = (&'a str, &'a [(&'static str, &'static str)], Option<&'a str>);
    let table: &[Row<'_>] = &[
        ("192.0.2.1", &[("x-forwarded-for", "198.51.100.7")], None),
        ("10.0.0.1", &[], None),
        ("10.0.0.1", &[("x-forwarded-for", "198.51.100.7")], Some("198.51.100.7")),
        ("10.0.0.1", &[("x-forwarded-for", "1.2.3.4, 198.51.100.7, 10.9.9.9")], Some("198.51.100.7")),
        ("10.0.0.1", &[("x-forwarded-for", "1.2.3.4"), ("x-forwarded-for", "198.51.100.7:99")], Some("198.51.100.7")),
        ("10.0.0.1", &[("x-forwarded-for", "1.2.3.4, unknown")], None),
        ("10.0.0.1", &[("x-forwarded-for", "10.0.0.2")], Some("10.0.0.2")),
        ("::ffff:10.0.0.1", &[("forwarded", "for=\"[2001:db8::1]:4711\";proto=https")], Some("2001:db8::1")),
        ("fd00::1", &[("forwarded", "for=1.2.3.4, For=198.51.100.7;by=x")], Some("198.51.100.7")),
        ("fd00::1", &[("forwarded", "for=198.51.100.7;host=\"a, for=1.2.3.4\"")], Some("198.51.100.7")),
        ("fd00::1", &[("forwarded", "for=1.2.3.4, for=_hidden, for=10.0.0.2")], None),
        ("fd00::1", &[("forwarded", "for=198.51.100.7, for=\"10.0.0.2:_p\"")], Some("198.51.100.7")),
        ("fd00::1", &[("x-forwarded-for", "unknown"), ("forwarded", "for=198.51.100.7")], Some("198.51.100.7")),
    ];
    for (peer, fields, expected) in table {
        let found = client(peer.parse().unwrap(), &headers(fields), &trusted);
        assert_eq!(found.map(|(ip, _)| ip.to_string()).as_deref(), *expected, "{peer} {fields:?}");
    }
}

#[test]
fn upstreams_are_told_the_truth() {
    let trusted = [Cidr::parse("10.0.0.0/8").unwrap()];
    let policy = Forwarding { forwarded: true, via: true, ..Forwarding::default() };
    let tell = |peer: &'static str, fields: &[(&'static str, &'static str)]| {
        let mut map = headers(fields);
        let (peer_value, host) = (HeaderValue::from_static(peer), HeaderValue::from_static("api"));
        let hop = Hop { peer: peer.parse().unwrap(), peer_value: &peer_value, secure: true, host: &host, told: true };
        write(&mut map, &hop, &policy, &trusted);
        map
    };
    let forged = tell(
        "192.0.2.1",
        &[
            ("x-forwarded-for", "1.1.1.1"),
            ("x-forwarded-proto", "http"),
            ("x-real-ip", "1"),
            ("x-forwarded-client-cert", "Subject=root"),
            ("x-forwarded-prefix", "/admin"),
        ],
    );
    assert_eq!(forged["x-forwarded-for"], "192.0.2.1");
    assert_eq!(forged["x-forwarded-proto"], "https");
    assert_eq!(forged["x-forwarded-host"], "api");
    assert_eq!(forged["forwarded"], "for=192.0.2.1;host=\"api\";proto=https");
    assert_eq!(forged["via"], "1.1 tollgate");
    for name in ["x-real-ip", "x-forwarded-client-cert", "x-forwarded-prefix"] {
        assert!(!forged.contains_key(name), "{name}");
    }
    let passed = tell("10.0.0.1", &[("x-forwarded-for", "1.1.1.1"), ("x-forwarded-proto", "http")]);
    assert_eq!(passed["x-forwarded-for"], "1.1.1.1, 10.0.0.1");
    assert_eq!(passed["x-forwarded-proto"], "http");
}
#[test]
fn a_trusted_chain_grows_also_without_x_forwarded() {
    let trusted = [Cidr::parse("10.0.0.0/8").unwrap()];
    let policy = Forwarding { forwarded: true, x_forwarded: false, ..Forwarding::default() };
    let mut map = headers(&[("forwarded", "for=1.1.1.1"), ("x-forwarded-for", "1.1.1.1")]);
    let (peer_value, host) = (HeaderValue::from_static("10.0.0.1"), HeaderValue::from_static("api"));
    let hop =
        Hop { peer: "10.0.0.1".parse().unwrap(), peer_value: &peer_value, secure: false, host: &host, told: true };
    write(&mut map, &hop, &policy, &trusted);
    assert_eq!(map["forwarded"], "for=1.1.1.1, for=10.0.0.1;host=\"api\";proto=http");
    assert!(!map.contains_key("x-forwarded-for"));
}

#[test]
fn the_next_hop_finds_the_same_client_whichever_field_it_reads() {
    let trusted = [Cidr::parse("10.0.0.0/8").unwrap()];
    let both = Forwarding { forwarded: true, ..Forwarding::default() };
    let only_xff = Forwarding::default();
    let only_forwarded = Forwarding { forwarded: true, x_forwarded: false, ..Forwarding::default() };
    let us = "host=\"api\";proto=http";
    type Row<'a> = (&'a Forwarding, &'a [(&'static str, &'static str)], Option<&'a str>, Option<String>);
    let table: &[Row<'_>] = &[
        (&only_xff, &[("forwarded", "for=1.1.1.1")], Some("1.1.1.1, 10.0.0.1"), Some("for=1.1.1.1".into())),
        (
            &both,
            &[("forwarded", "for=2.2.2.2, for=\"[2001:db8::1]:80\", for=10.0.0.9")],
            Some("2001:db8::1, 10.0.0.9, 10.0.0.1"),
            Some(format!("for=2.2.2.2, for=\"[2001:db8::1]:80\", for=10.0.0.9, for=10.0.0.1;{us}")),
        ),
        (
            &both,
            &[("x-forwarded-for", "2001:db8::1, 10.0.0.9")],
            Some("2001:db8::1, 10.0.0.9, 10.0.0.1"),
            Some(format!("for=\"[2001:db8::1]\", for=10.0.0.9, for=10.0.0.1;{us}")),
        ),
        (&only_forwarded, &[("x-forwarded-for", "1.1.1.1")], None, Some(format!("for=1.1.1.1, for=10.0.0.1;{us}"))),
        (
            &only_xff,
            &[("x-forwarded-for", "1.1.1.1"), ("forwarded", "for=2.2.2.2")],
            Some("1.1.1.1, 10.0.0.1"),
            Some("for=1.1.1.1".into()),
        ),
        (
            &only_xff,
            &[("x-forwarded-for", "3.3.3.3, unknown"), ("forwarded", "for=2.2.2.2")],
            Some("2.2.2.2, 10.0.0.1"),
            Some("for=2.2.2.2".into()),
        ),
        (&only_xff, &[("forwarded", "for=_a")], Some("10.0.0.1"), Some("for=_a".into())),
    ];
    for (policy, fields, xff, forwarded) in table {
        let mut map = headers(fields);
        let (peer_value, host) = (HeaderValue::from_static("10.0.0.1"), HeaderValue::from_static("api"));
        let hop =
            Hop { peer: "10.0.0.1".parse().unwrap(), peer_value: &peer_value, secure: false, host: &host, told: true };
        write(&mut map, &hop, policy, &trusted);
        let field = |name: &str| map.get(name).map(|value| value.to_str().unwrap());
        assert_eq!(field("x-forwarded-for"), *xff, "{fields:?}");
        assert_eq!(field("forwarded"), forwarded.as_deref(), "{fields:?}");
    }
}
