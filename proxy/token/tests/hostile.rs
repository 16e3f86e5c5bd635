//! Tokens that must not pass, each of which would pass somewhere.

use std::sync::LazyLock;

use aws_lc_rs::hmac;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use tollgate_proxy_token::testkit::{Issuer, encoded};
use tollgate_proxy_token::{ClaimRules, Head, KeySet, TOKEN_BYTES_MAX, TokenError, TokenRules, Verified, algorithm};

const NOW: u64 = 1_800_000_000;

static RSA: LazyLock<Issuer> = LazyLock::new(|| Issuer::rsa("r1"));
static EC: LazyLock<Issuer> = LazyLock::new(|| Issuer::p256("e1"));
/// Another issuer, with a key of the same id.
static OTHER: LazyLock<Issuer> = LazyLock::new(|| Issuer::rsa("r1"));

fn rules() -> TokenRules {
    TokenRules {
        algorithms: ["RS256", "ES256"].into_iter().filter_map(algorithm).collect(),
        claims: ClaimRules {
            issuer: "https://idp.example.com".into(),
            audiences: Some(vec!["members-api".into()]),
            skew_s: 30,
            groups_claim: Some("groups".into()),
            consumer_claim: None,
        },
    }
}

fn keys() -> KeySet {
    KeySet::parse(json!({"keys": [RSA.jwk(), EC.jwk()]}).to_string().as_bytes()).unwrap()
}

fn claims() -> Value {
    json!({"iss": "https://idp.example.com", "aud": "members-api", "exp": NOW + 60, "nbf": NOW - 60, "sub": "s",
           "groups": ["staff"]})
}

fn with(name: &str, value: Value) -> Value {
    let mut claims = claims();
    claims[name] = value;
    claims
}

fn without(name: &str) -> Value {
    let mut claims = claims();
    claims.as_object_mut().unwrap().remove(name);
    claims
}

fn verify(token: &str) -> Result<Verified, TokenError> {
    Head::parse(token)?.verify(&rules(), &keys(), NOW)
}

fn header(more: Value) -> String {
    let mut header = json!({"alg": "RS256", "kid": "r1"});
    header.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    header.to_string()
}

/// A token signed with a public key as the secret.
fn hs256(secret: &[u8]) -> String {
    let message = format!("{}.{}", encoded(header(json!({"alg": "HS256"}))), encoded(claims().to_string()));
    let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, secret), message.as_bytes());
    format!("{message}.{}", encoded(tag.as_ref()))
}

fn unsigned(algorithm: &str) -> String {
    format!("{}.{}.", encoded(header(json!({"alg": algorithm}))), encoded(claims().to_string()))
}

fn with_signature(token: &str, signature: &[u8]) -> String {
    format!("{}.{}", token.rsplit_once('.').unwrap().0, encoded(signature))
}

#[test]
fn good_tokens_pass() {
    for issuer in [&*RSA, &*EC] {
        let verified = verify(&issuer.token(&claims())).unwrap();
        assert_eq!(verified.key_id.as_deref(), Some(issuer.key_id.as_str()));
        assert_eq!((verified.claims.groups, verified.claims.expires_at_s), (vec!["staff".to_owned()], Some(NOW + 60)));
    }
    let many = with("aud", json!(["x", "members-api"]));
    assert!(verify(&RSA.token(&many)).is_ok());
    let foreign_fields = header(json!({"jku": "https://idp.example.com/keys", "typ": "at+jwt"}));
    assert!(
        verify(&RSA.sign(&foreign_fields, &claims().to_string())).is_ok(),
        "what names a key elsewhere is not read"
    );
}

/// Each with what is wrong about it.
fn hostile() -> Vec<(&'static str, String, TokenError)> {
    let rsa = |claims: Value| RSA.token(&claims);
    let signed = |more: Value| RSA.sign(&header(more), &claims().to_string());
    let by_other = |more: Value| OTHER.sign(&header(more), &claims().to_string());
    let n = RSA.jwk()["n"].as_str().unwrap().to_owned();
    let jwk = RSA.jwk().to_string();
    let pem = format!("-----BEGIN PUBLIC KEY-----\n{}\n-----END PUBLIC KEY-----\n", STANDARD.encode(&n));
    let good = rsa(claims());
    let twice = claims().to_string().replacen('{', r#"{"groups":["admin"],"#, 1);
    vec![
        ("alg none", unsigned("none"), TokenError::Algorithm),
        ("alg NoNe", unsigned("NoNe"), TokenError::Algorithm),
        ("no signature under RS256", unsigned("RS256"), TokenError::Signature),
        ("HS256 with the modulus", hs256(n.as_bytes()), TokenError::Algorithm),
        ("HS256 with the key as JWK", hs256(jwk.as_bytes()), TokenError::Algorithm),
        ("HS256 with the key as PEM", hs256(pem.as_bytes()), TokenError::Algorithm),
        ("exp as a text", rsa(with("exp", json!("9999999999"))), TokenError::WrongClaim("exp")),
        ("nbf as a text", rsa(with("nbf", json!("9999999999"))), TokenError::WrongClaim("nbf")),
        ("iss as a list", rsa(with("iss", json!(["https://idp.example.com"]))), TokenError::WrongClaim("iss")),
        ("aud as an object", rsa(with("aud", json!({"members-api": 1}))), TokenError::WrongClaim("aud")),
        ("no exp", rsa(without("exp")), TokenError::NoClaim("exp")),
        ("exp null", rsa(with("exp", Value::Null)), TokenError::WrongClaim("exp")),
        ("no aud", rsa(without("aud")), TokenError::NoClaim("aud")),
        ("no iss", rsa(without("iss")), TokenError::NoClaim("iss")),
        ("unknown crit", signed(json!({"crit": ["x"], "x": 1})), TokenError::Critical),
        ("unencoded payload", signed(json!({"b64": false, "crit": ["b64"]})), TokenError::Critical),
        ("its own key", by_other(json!({"jwk": OTHER.jwk()})), TokenError::Signature),
        ("its own jku", by_other(json!({"jku": "https://evil.example/keys"})), TokenError::Signature),
        ("its own x5u", by_other(json!({"x5u": "https://evil.example/cert"})), TokenError::Signature),
        (
            "its own jku and kid",
            by_other(json!({"jku": "https://evil.example", "kid": "evil"})),
            TokenError::UnknownKey,
        ),
        ("a path as kid", signed(json!({"kid": "../../../../dev/null"})), TokenError::UnknownKey),
        ("kid as a number", signed(json!({"kid": 1})), TokenError::NotJwt),
        ("kid with a line end", signed(json!({"kid": "r1\nx"})), TokenError::NotJwt),
        ("another issuer's key", OTHER.token(&claims()), TokenError::Signature),
        ("another issuer's name", rsa(with("iss", json!("https://idp.example.com/"))), TokenError::Issuer),
        ("another audience", rsa(with("aud", json!("members-api2"))), TokenError::Audience),
        ("1 MB", rsa(with("pad", json!("x".repeat(1_000_000)))), TokenError::TooLong),
        ("a claim twice", RSA.sign(&header(json!({})), &twice), TokenError::NotJwt),
        (
            "alg twice",
            RSA.sign(r#"{"alg":"none","kid":"r1","alg":"RS256"}"#, &claims().to_string()),
            TokenError::NotJwt,
        ),
        ("ES256 with r = s = 0", with_signature(&EC.token(&claims()), &[0; 64]), TokenError::Signature),
        ("ES256 in DER", with_signature(&EC.token(&claims()), &[0x30, 6, 2, 1, 1, 2, 1, 1]), TokenError::Signature),
        (
            "ES256 under an RSA key",
            EC.sign(&header(json!({"alg": "ES256"})), &claims().to_string()),
            TokenError::UnknownKey,
        ),
        ("an algorithm that is off", signed(json!({"alg": "RS512"})), TokenError::Algorithm),
        (
            "a changed payload",
            good.replacen(&encoded(claims().to_string()), &encoded(with("sub", json!("x")).to_string()), 1),
            TokenError::Signature,
        ),
        ("four parts", format!("{good}.x"), TokenError::NotJwt),
        ("a blank in the signature", format!("{good} "), TokenError::Signature),
        ("padding", format!("{good}="), TokenError::Signature),
        ("five parts, as encrypted ones have", "a.b.c.d.e".into(), TokenError::NotJwt),
        ("nothing", String::new(), TokenError::NotJwt),
        ("expired", rsa(with("exp", json!(NOW - 31))), TokenError::Expired),
        ("not yet", rsa(with("nbf", json!(NOW + 31))), TokenError::NotYet),
        (
            "deep",
            RSA.sign(&header(json!({})), &format!("{}{}", "[".repeat(5_000), "]".repeat(5_000))),
            TokenError::NotJwt,
        ),
    ]
}

#[test]
fn hostile_tokens_do_not_pass() {
    let hostile = hostile();
    assert!(hostile.len() >= 24);
    for (what, token, expected) in hostile {
        assert_eq!(verify(&token), Err(expected), "{what}");
    }
}

#[test]
fn the_skew_is_allowed_and_a_second_more_is_not() {
    for (claims, passes) in [
        (with("exp", json!(NOW - 30)), true),
        (with("exp", json!(NOW - 31)), false),
        (with("nbf", json!(NOW + 30)), true),
        (with("nbf", json!(NOW + 31)), false),
    ] {
        assert_eq!(verify(&RSA.token(&claims)).is_ok(), passes, "{claims}");
    }
}

#[test]
fn a_token_of_the_largest_size_is_read_and_one_byte_more_is_not() {
    let of = |bytes: usize| format!("{}.{}.x", encoded(r#"{"alg":"RS256"}"#), "A".repeat(bytes));
    let rest = of(0).len();
    assert!(Head::parse(&of(TOKEN_BYTES_MAX - rest)).is_ok());
    assert_eq!(Head::parse(&of(TOKEN_BYTES_MAX - rest + 1)).unwrap_err(), TokenError::TooLong);
}
