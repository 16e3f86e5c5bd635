//! What leaves the proxy, and what does not.

use proptest::prelude::*;
use tollgate_record::redact::{Headers, QueryPolicy, TokenHasher, clean, headers, path, query, scrub_path, text};

fn scrubbed(path: &str) -> String {
    let mut out = String::new();
    scrub_path(path, 1024, &mut out);
    out
}

fn kept(allowed: &[&str], query: &str) -> String {
    let mut out = String::new();
    QueryPolicy::new(allowed.iter().copied()).apply(query, 1024, &mut out);
    out
}

#[test]
fn paths_lose_what_identifies_a_person_or_opens_a_door() {
    for (path, expected) in [
        ("/members/jane.doe@example.com/claims", "/members/{redacted}/claims"),
        ("/members/jane%40example.com", "/members/{redacted}"),
        ("/members/jane%2540example.com", "/members/{redacted}"),
        ("/m/0192f3c4-5b6a-7c8d-9e0f-a1b2c3d4e5f6", "/m/{redacted}"),
        ("/m/FFFFABCD-5B6A-7C8D-9E0F-A1B2C3D4E5F6/x", "/m/{redacted}/x"),
        ("/m/123456", "/m/{redacted}"),
        ("/m/A12-34-5678", "/m/{redacted}"),
        ("/m/555-12-3456", "/m/{redacted}"),
        ("/m/%31%32%33%34%35%36", "/m/{redacted}"),
        ("/reset/dGhpcyBpcyBhIHRva2VuIQ9", "/reset/{redacted}"),
        ("/t/k3j5h2g4k6h7g8f9d0s1a2m4", "/t/{redacted}"),
        ("/t/deadbeef0deadbeef", "/t/{redacted}"),
        ("/cart;jsessionid=1A2B/items", "/cart/items"),
        ("/a?secret=1", "/a"),
    ] {
        assert_eq!(scrubbed(path), expected, "{path}");
    }
}

#[test]
fn paths_keep_what_names_the_api() {
    for path in [
        "/",
        "",
        "/v1/members/claims",
        "/api/v2.1/eligibility-check",
        "/members/12345",
        "/a//b/",
        "/Übersicht",
        "/internationalization-settings",
        "/orders/2024",
        "/a%20b",
    ] {
        assert_eq!(scrubbed(path), path);
    }
}

#[test]
fn queries_keep_their_keys() {
    assert_eq!(kept(&[], "a=1&b=&c"), "a=REDACTED&b=REDACTED&c");
    assert_eq!(kept(&["page"], "page=2&Page=3&name=jane"), "page=2&Page=3&name=REDACTED");
    assert_eq!(kept(&[], "&&a=1&"), "a=REDACTED");
    assert_eq!(kept(&[], "a=b=c"), "a=REDACTED");
    assert_eq!(kept(&[], "dGhpcyBpcyBhIHRva2VuIQ9"), "REDACTED");
    assert_eq!(kept(&[], "jane@example.com=1"), "REDACTED=REDACTED");
}

#[test]
fn what_signs_or_opens_is_never_kept() {
    for key in query::ALWAYS_DENIED {
        assert_eq!(kept(&[key], &format!("{key}=hush")), format!("{key}=REDACTED"));
        let upper = key.to_uppercase();
        assert_eq!(kept(&[&upper], &format!("{upper}=hush")), format!("{upper}=REDACTED"));
    }
}

#[test]
fn queries_are_bounded() {
    let many = "a=1&".repeat(query::PARAMETERS_MAX * 2);
    assert_eq!(kept(&[], &many).matches('=').count(), query::PARAMETERS_MAX);
    let long = format!("{}=1", "k".repeat(500));
    assert_eq!(kept(&[], &long).len(), query::KEY_BYTES_MAX + "=REDACTED".len());
    let mut out = String::new();
    QueryPolicy::default().apply("a=1&b=2", 12, &mut out);
    assert_eq!(out, "a=REDACTED");
}

#[test]
fn headers_are_kept_by_name_only() {
    let policy = Headers::new(["X-Tenant", "accept", "Authorization", "cookie"]);
    let sent: [(&str, &[u8]); 5] = [
        ("x-tenant", b"acme \"west\"\r\nset-cookie: a"),
        ("Accept", b"text/html"),
        ("accept", b"\xff*/*"),
        ("authorization", b"Bearer hush"),
        ("cookie", b"hush"),
    ];
    let (mut scratch, mut out) = (String::new(), String::new());
    assert!(policy.write(sent.into_iter(), &mut scratch, &mut out));
    let object: serde_json::Value = serde_json::from_str(&out).unwrap();
    let expected = serde_json::json!({
        "x-tenant": "acme \"west\"\\x0d\\x0aset-cookie: a",
        "accept": "text/html, \u{fffd}*/*",
    });
    assert_eq!(object, expected);
    out.clear();
    assert!(!policy.write([("other", b"1".as_slice())].into_iter(), &mut scratch, &mut out));
    assert!(out.is_empty());
    assert!(Headers::new(headers::ALWAYS_DENIED).is_empty());
}

#[test]
fn headers_are_bounded() {
    let names: Vec<String> = (0..40).map(|number| format!("x-{number}")).collect();
    let value = vec![b'"'; 1000];
    let sent = names.iter().map(|name| (name.as_str(), value.as_slice()));
    let (mut scratch, mut out) = (String::new(), String::new());
    assert!(Headers::new(&names).write(sent, &mut scratch, &mut out));
    assert!(out.len() <= tollgate_record::columns::HEADERS_BYTES_MAX);
    let object: serde_json::Value = serde_json::from_str(&out).unwrap();
    assert!(object.as_object().unwrap().len() > 3);
}

#[test]
fn control_characters_are_escaped() {
    let mut out = String::new();
    clean("a\nb\r\t\0\x1b[31m\u{7f}\u{85}\u{2028}\u{202e}é", 256, &mut out);
    assert_eq!(out, "a\\x0ab\\x0d\\x09\\x00\\x1b[31m\\x7f\\u{0085}\\u{2028}\\u{202e}é");
    out.clear();
    clean("aé\n", 2, &mut out);
    assert_eq!(out, "a");
    out.clear();
    text::clean_bytes(b"a\xffb\xf0\x9f", 256, &mut out);
    assert_eq!(out, "a\u{fffd}b\u{fffd}");
}

#[test]
fn a_text_that_is_cut_ends_with_a_whole_character() {
    let kept = |text: &str, bytes_max| {
        let mut out = String::new();
        clean(text, bytes_max, &mut out);
        out
    };
    for (text, bytes_max, whole) in [
        ("ab%41c", 3, "ab"),
        ("ab%41c", 4, "ab"),
        ("ab%41c", 5, "ab%41"),
        ("ab%4", 3, "ab%"),
        ("a%zz%", 2, "a%"),
        ("a%C3%A9b", 4, "a"),
        ("a%C3%A9b", 6, "a"),
        ("a%C3%A9b", 7, "a%C3%A9"),
        ("%F0%9F%98%80!", 9, ""),
        ("%F0%9F%98%80!", 11, ""),
        ("%F0%9F%98%80!", 12, "%F0%9F%98%80"),
        // No UTF-8: parted between two escapes.
        ("%9F%9F%9F%9F%9F%9F", 12, "%9F%9F%9F%9F"),
        ("a\n\n", 4, "a"),
    ] {
        assert_eq!(kept(text, bytes_max), whole, "{text} in {bytes_max}");
    }
    for short in 0..5 {
        let end = "x".repeat(1024 - short);
        assert_eq!(scrubbed(&format!("{end}%C3%A9y")), end);
    }
    let value = "v".repeat(query::VALUE_BYTES_MAX - 1);
    assert_eq!(self::kept(&["a"], &format!("a={value}%20b")), format!("a={value}"));
}

#[test]
fn a_token_gives_the_same_hash_under_the_same_key_only() {
    // RFC 4231, test case 6: a key that is longer than the block.
    let hasher = TokenHasher::new("k1", &[0xaa; 131]).unwrap();
    let hash = hasher.hash(b"Test Using Larger Than Block-Size Key - Hash Key First");
    assert_eq!(hash[..4], [0x60, 0xe4, 0x31, 0x59]);
    assert_eq!(hasher.key_id(), "k1");
    assert_ne!(TokenHasher::new("k2", &[0xab; 131]).unwrap().hash(b"t"), hasher.hash(b"t"));
    assert!(TokenHasher::new("k3", &[0; 31]).unwrap_err().to_string().contains("`k3` has 31 bytes"));
    assert_eq!(format!("{hasher:?}"), "TokenHasher { key_id: \"k1\", .. }");
}

proptest! {
    #[test]
    fn whatever_comes_is_bounded_and_clean(raw in "\\PC{0,40}[\\x00-\\x1f]{0,3}.{0,80}", bytes_max in 0_usize..200) {
        let mut out = String::from("kept");
        scrub_path(&raw, bytes_max, &mut out);
        clean(&raw, bytes_max, &mut out);
        QueryPolicy::new(["a"]).apply(&raw, bytes_max, &mut out);
        text::clean_bytes(raw.as_bytes(), bytes_max, &mut out);
        prop_assert!(out.starts_with("kept"));
        prop_assert!(out.len() <= "kept".len() + 4 * bytes_max);
        prop_assert!(!out.contains(|c: char| c.is_control()));
    }

    #[test]
    fn addresses_and_ids_do_not_survive(name in "[a-z]{1,9}", id: u128, number in 100_000_u64.., prefix in "[a-z]{0,5}") {
        let address = format!("{name}@{name}.example");
        let uuid = uuid::Uuid::from_u128(id).to_string();
        let path = format!("/{prefix}/{address}/{uuid}/{number}");
        let out = scrubbed(&path);
        prop_assert!(!out.contains(&address) && !out.contains(&number.to_string()));
        prop_assert!(!out.contains(&uuid) || !uuid.contains(|c: char| c.is_ascii_digit()));
        prop_assert!(path::is_sensitive(&address));
    }
}
