//! Signed tokens from a key file: every kind of token, on every kind of route.

use serde_json::{Value, json};
use tollgate_proxy_token::testkit::Issuer;

use super::{ask, bearer, claims, gate, now_s, status, with};
use crate::rig::assert_row;

const CONSUMERS: &str = "consumers:\n  - {name: acme, groups: [partners], tokens: [{provider: corp, subject: svc-acme}]}\n  \
     - {name: site, tokens: [{provider: corp, client: portal}]}\n";

#[test]
fn a_signed_token_passes_and_its_record_says_whose_it_is() {
    let issuer = Issuer::rsa("k1");
    let gate = gate(&issuer, "{any_of: [{jwt: corp}]}", CONSUMERS);
    let token = issuer.token(&claims());
    for _ in 0..2 {
        let answer = bearer(&gate, &token);
        assert_eq!(status(&answer), 200, "{answer}");
        let lower = answer.to_ascii_lowercase();
        assert!(!answer.contains(&token), "the token is not passed on: {answer}");
        for told in ["x-consumer-username: site", "x-consumer-groups: staff,readers", "x-consumer-subject: alice"] {
            assert!(lower.contains(told), "{told} in {answer}");
        }
    }
    let acme = issuer.token(&with("sub", json!("svc-acme")));
    assert_eq!(status(&bearer(&gate, &acme)), 200);
    let stranger = issuer.token(&with("azp", Value::Null));
    assert_eq!(status(&bearer(&gate, &stranger)), 200, "groups need no consumer");
    let rows = gate.finish();
    for row in &rows[..2] {
        assert_row(
            row,
            json!({"tollgate.auth_pattern": "jwt", "tollgate.auth_result": "success", "user.name": "site",
            "tollgate.credential_id": "portal", "user.roles": ["staff", "readers"]}),
        );
        assert!(row.get("tollgate.token_hmac").is_some(), "{row:#}");
    }
    assert_row(&rows[2], json!({"user.name": "acme", "user.roles": ["partners", "staff", "readers"]}));
    assert_row(
        &rows[3],
        json!({"user.name": null, "tollgate.credential_id": "k1", "user.roles": ["staff", "readers"]}),
    );
}

#[test]
fn a_token_that_is_not_valid_is_refused_with_its_reason_on_every_route() {
    let (issuer, other) = (Issuer::rsa("k1"), Issuer::rsa("k1"));
    let header = r#"{"alg":"RS256","kid":"k2"}"#;
    let table: Vec<(String, u16, Option<&str>)> = vec![
        (issuer.token(&claims()), 200, None),
        (issuer.token(&with("exp", json!(now_s() - 60))), 401, Some("expired")),
        (issuer.token(&with("nbf", json!(now_s() + 600))), 401, Some("expired")),
        (issuer.token(&with("exp", Value::Null)), 401, Some("malformed")),
        (issuer.token(&with("aud", json!("billing-api"))), 401, Some("unknown")),
        (issuer.token(&with("iss", json!("https://other"))), 401, Some("unknown")),
        (other.token(&claims()), 401, Some("bad_signature")),
        (issuer.sign(header, &claims().to_string()), 401, Some("unknown")),
        ("opaque-token".to_owned(), 401, Some("malformed")),
        ("a..b".to_owned(), 401, Some("malformed")),
    ];
    for auth in ["{any_of: [mtls, {jwt: corp}]}", "{any_of: [{jwt: corp}], optional: true}", "{all_of: [{jwt: corp}]}"]
    {
        let gate = gate(&issuer, auth, "");
        for (token, expected, _) in &table {
            let answer = bearer(&gate, token);
            assert_eq!(status(&answer), *expected, "{auth} {token}: {answer}");
            if *expected == 401 {
                assert!(answer.to_ascii_lowercase().contains("www-authenticate: bearer"), "{answer}");
            }
        }
        let absent = status(&ask(&gate, ""));
        assert_eq!(absent, if auth.contains("optional") { 200 } else { 401 }, "{auth} without a token");
        let rows = gate.finish();
        assert_eq!(rows.len(), table.len() + 1, "one record each");
        for (row, (token, expected, reason)) in rows.iter().zip(&table) {
            let result = if *expected == 200 { "success" } else { "failed" };
            let class = if *expected == 200 { Value::Null } else { json!("auth") };
            assert_row(
                row,
                json!({"tollgate.auth_pattern": "jwt", "tollgate.auth_result": result, "tollgate.auth_fail_reason": reason,
                "error.type": class}),
            );
            assert!(!row.to_string().contains(token.as_str()) || token.len() < 20, "the record holds no token");
        }
    }
}

#[test]
fn two_issuers_on_one_route_take_their_own_tokens_and_neither_takes_a_third_ones() {
    let (corp, partner) = (Issuer::rsa("k1"), Issuer::p256("k1"));
    let keys = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(keys.path(), partner.key_set()).unwrap();
    let second = format!(
        "    - {{name: partner, issuer: \"https://partner\", jwks: {{file: {}}}, audiences: any}}\n",
        keys.path().display()
    );
    let gate = gate(&corp, "{any_of: [{jwt: corp}, {jwt: partner}], optional: true}", &second);
    assert_eq!(status(&bearer(&gate, &corp.token(&claims()))), 200);
    let of_partner = with("iss", json!("https://partner"));
    assert_eq!(status(&bearer(&gate, &partner.token(&of_partner))), 200);
    assert_eq!(status(&bearer(&gate, &corp.token(&of_partner))), 401, "another issuer's key");
    assert_eq!(status(&bearer(&gate, &corp.token(&with("iss", json!("https://third"))))), 401, "never anonymous");
    assert_eq!(status(&bearer(&gate, "opaque")), 401);
    assert_eq!(status(&ask(&gate, "")), 200, "anonymous");
}
