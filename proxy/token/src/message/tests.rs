use aws_lc_rs::hmac as lc;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::header::{HeaderMap, HeaderValue};

use super::*;

const NOW: u64 = 1_800_000_000;
const SECRET: &[u8] = b"0123456789abcdef0123456789abcdef";
const INPUT: &str =
    r#"("@method" "@target-uri" "date" "content-digest" "x-order");created=1800000000;keyid="h1";nonce="n1""#;

fn digest_of(body: &[u8]) -> String {
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, body);
    format!("sha-256=:{}:", STANDARD.encode(digest.as_ref()))
}

fn headers() -> HeaderMap {
    let date = httpdate::fmt_http_date(std::time::UNIX_EPOCH + std::time::Duration::from_secs(NOW));
    let mut headers = HeaderMap::new();
    headers.insert("date", HeaderValue::from_str(&date).unwrap());
    headers.insert("content-digest", HeaderValue::from_str(&digest_of(b"{}")).unwrap());
    headers.insert("x-order", HeaderValue::from_static(" 7 "));
    headers
}

fn request(headers: &HeaderMap) -> Request<'_> {
    Request {
        method: "POST",
        scheme: "https",
        authority: "API.example.com:443",
        path: "/orders",
        query: Some("a=1"),
        headers,
        has_body: true,
    }
}

/// Signs by hand, so that the parser's own base is not what it is checked against.
fn sign(headers: &mut HeaderMap, input: &str, base: &str) {
    let text = format!("{base}\"@signature-params\": {input}");
    let tag = lc::sign(&lc::Key::new(lc::HMAC_SHA256, SECRET), text.as_bytes());
    headers.insert("signature-input", HeaderValue::from_str(&format!("sig1={input}")).unwrap());
    headers.insert("signature", HeaderValue::from_str(&format!("sig1=:{}:", STANDARD.encode(tag.as_ref()))).unwrap());
}

fn base(headers: &HeaderMap) -> String {
    format!(
        "\"@method\": POST\n\"@target-uri\": https://api.example.com/orders?a=1\n\"date\": {}\n\"content-digest\": {}\n\"x-order\": 7\n",
        headers["date"].to_str().unwrap(),
        headers["content-digest"].to_str().unwrap(),
    )
}

fn verify(request: &Request<'_>, now_s: u64) -> Result<Proof, MessageError> {
    let mut all = parse(request)?;
    assert_eq!(all.len(), 1);
    let signed = all.remove(0);
    assert_eq!(signed.key_id, "h1");
    signed.verify(&Secret::new(SECRET).unwrap(), now_s, 60)
}

fn signed() -> HeaderMap {
    let mut headers = headers();
    let base = base(&headers);
    sign(&mut headers, INPUT, &base);
    headers
}

#[test]
fn a_signed_request_verifies_within_the_skew_and_its_body_is_the_one_that_was_signed() {
    let headers = signed();
    for (now_s, expected) in [
        (NOW, Ok(())),
        (NOW + 60, Ok(())),
        (NOW + 61, Err(MessageError::Expired)),
        (NOW - 60, Ok(())),
        (NOW - 61, Err(MessageError::NotYet)),
    ] {
        assert_eq!(verify(&request(&headers), now_s).map(|_| ()), expected, "{now_s}");
    }
    let proof = verify(&request(&headers), NOW).unwrap();
    for (body, agrees) in [("{}", true), ("{ }", false), ("", false)] {
        let mut running = proof.digest.clone().unwrap().begin();
        running.update(body.as_bytes());
        assert_eq!(running.agrees(), agrees);
    }
}

#[test]
fn any_covered_part_that_is_changed_is_noticed() {
    let good = signed();
    let refused = |request: Request<'_>| verify(&request, NOW).map(|_| ()).unwrap_err();
    assert_eq!(refused(Request { method: "PUT", ..request(&good) }), MessageError::Signature);
    assert_eq!(refused(Request { scheme: "http", ..request(&good) }), MessageError::Signature);
    assert_eq!(refused(Request { authority: "api.example.org", ..request(&good) }), MessageError::Signature);
    assert_eq!(refused(Request { path: "/order", ..request(&good) }), MessageError::Signature);
    assert_eq!(refused(Request { query: Some("a=2"), ..request(&good) }), MessageError::Signature);
    assert_eq!(refused(Request { query: None, ..request(&good) }), MessageError::Signature);
    for (name, value) in [
        ("x-order", "8"),
        ("content-digest", digest_of(b"[]").as_str()),
        ("date", "Fri, 15 Jan 2027 08:00:01 GMT"),
        ("signature", "sig1=:AAAA:"),
        ("signature-input", format!("sig1={}", INPUT.replace("n1", "n2")).as_str()),
    ] {
        let mut changed = good.clone();
        changed.insert(http::HeaderName::from_static(name), HeaderValue::from_str(value).unwrap());
        assert_eq!(refused(request(&changed)), MessageError::Signature, "{name}");
    }
    let mut twice = good.clone();
    twice.append("x-order", HeaderValue::from_static("7"));
    assert_eq!(refused(request(&twice)), MessageError::Signature);
    let mut gone = good;
    gone.remove("x-order");
    assert_eq!(refused(request(&gone)), MessageError::NoField);
}

#[test]
fn what_must_be_covered_is_named_when_it_is_not() {
    for (input, missing) in [
        (r#"("@target-uri" "content-digest");created=1;keyid="h1""#, "`@method`"),
        (r#"("@method" "@path" "@query" "content-digest");created=1;keyid="h1""#, "@authority"),
        (r#"("@method" "@authority" "@query" "content-digest");created=1;keyid="h1""#, "@path"),
        (r#"("@method" "@authority" "@path" "content-digest");created=1;keyid="h1""#, "@query"),
        (r#"("@method" "@target-uri" "content-digest");keyid="h1""#, "created"),
        (r#"("@method" "@target-uri" "date");keyid="h1""#, "content-digest"),
    ] {
        let mut headers = headers();
        sign(&mut headers, input, "");
        let Err(MessageError::NotCovered(what)) = parse(&request(&headers)) else { panic!("{input}") };
        assert!(what.contains(missing), "{input}: {what}");
        if missing == "content-digest" {
            let without_body = Request { has_body: false, ..request(&headers) };
            assert!(parse(&without_body).is_ok());
        }
    }
}

#[test]
fn what_is_not_understood_is_refused() {
    let ok = r#""@method" "@target-uri" "content-digest""#;
    for input in [
        format!(r#"({ok} "x-order";sf);created=1;keyid="h1""#),
        format!(r#"({ok} "@query-param";name="a");created=1;keyid="h1""#),
        format!(r#"({ok} "@status");created=1;keyid="h1""#),
        format!(r#"({ok} "X-Order");created=1;keyid="h1""#),
        format!(r#"({ok} "@method");created=1;keyid="h1""#),
        format!("({ok});created=1"),
        format!(r#"({ok});created="1";keyid="h1""#),
        format!(r#"({ok});created=-1;keyid="h1""#),
        format!(r#"({ok});created=1;keyid=h1"#),
        format!(r#"({ok});created=1;keyid="""#),
        "1".into(),
        "(".into(),
    ] {
        let mut headers = headers();
        sign(&mut headers, &input, "");
        assert_eq!(parse(&request(&headers)).unwrap_err(), MessageError::Malformed, "{input}");
    }
    let mut headers = headers();
    sign(&mut headers, &format!(r#"({ok});created=1;keyid="h1";alg="rsa-v1_5-sha256""#), "");
    assert_eq!(parse(&request(&headers)).unwrap_err(), MessageError::Algorithm);
    assert!(Secret::new(&SECRET[1..]).is_none(), "a secret of 31 bytes");
}

#[test]
fn the_signature_of_the_rfc_verifies() {
    // RFC 9421 appendix B.2.5, which covers too little for `parse`.
    let secret = STANDARD
        .decode("uzvJfB4u3N0Jy4T7NZ75MDVcr8zSTInedJtkgcu46YW4XByzNJjxBdtjUkdJPBtbmHhIDi6pcl8jsasjlTMtDQ==")
        .unwrap();
    let mut headers = HeaderMap::new();
    headers.insert("date", HeaderValue::from_static("Tue, 20 Apr 2021 02:07:55 GMT"));
    headers.insert("content-type", HeaderValue::from_static("application/json"));
    let input = r#"("date" "@authority" "content-type");created=1618884473;keyid="test-shared-secret""#;
    let list = match sfv::Parser::new(&format!("sig={input}")).parse::<sfv::Dictionary>().unwrap().get("sig") {
        Some(sfv::ListEntry::InnerList(list)) => list.clone(),
        other => panic!("{other:?}"),
    };
    let request = Request {
        method: "POST",
        scheme: "https",
        authority: "example.com",
        path: "/foo",
        query: None,
        headers: &headers,
        has_body: false,
    };
    assert!(matches!(super::base::signature_base(&request, &list), Err(MessageError::NotCovered(_))));
    let (base, _) = super::base::text_of(&request, &list).unwrap();
    let tag = lc::sign(&lc::Key::new(lc::HMAC_SHA256, &secret), base.as_bytes());
    assert_eq!(STANDARD.encode(tag.as_ref()), "pxcQw6G3AjtMBQjwo8XzkZf/bws5LelbaMk5rGIGtE8=");
}
