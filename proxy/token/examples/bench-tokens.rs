//! What a token costs a worker: `cargo run --release -p tollgate-proxy-token --features testkit --example bench-tokens`.
//!
//! Prints the median time of a call over several rounds, and the fastest and slowest round. It measures the functions
//! alone, without a request around them.

use std::hint::black_box;
use std::time::Instant;

use serde_json::{Value, json};
use tollgate_proxy_token::testkit::Issuer;
use tollgate_proxy_token::{Bounded, ClaimRules, Head, KeySet, TokenRules, algorithm, fingerprint};

/// Rounds of each measurement.
const ROUNDS: usize = 15;
const NOW_S: u64 = 1_800_000_000;

fn main() {
    let rules = TokenRules {
        algorithms: ["RS256", "ES256"].into_iter().filter_map(algorithm).collect(),
        claims: ClaimRules {
            issuer: "https://idp.example.com/realms/corp".into(),
            audiences: Some(vec!["members-api".into()]),
            skew_s: 30,
            groups_claim: Some("realm_access.roles".into()),
            consumer_claim: None,
        },
    };
    for issuer in [Issuer::rsa("key-2027-01"), Issuer::p256("key-2027-02")] {
        let token = issuer.token(&claims());
        let Ok(keys) = KeySet::parse(issuer.key_set().as_bytes()) else { continue };
        let name = format!("{} verified, token of {} bytes", issuer.algorithm(), token.len());
        measure(&name, 1_000, || Head::parse(&token).and_then(|head| head.verify(&rules, &keys, NOW_S)).is_ok());
        let mut known = Bounded::new(32_768);
        known.put(fingerprint(token.as_bytes()), 7, u64::MAX, 0);
        let cached = || known.get(&fingerprint(token.as_bytes()), NOW_S) == Some(&7);
        measure("the same, remembered", 20_000, cached);
    }
}

fn claims() -> Value {
    json!({
        "iss": "https://idp.example.com/realms/corp", "aud": ["members-api", "account"], "exp": NOW_S + 300,
        "iat": NOW_S, "jti": "0b6f4a4e-6d43-4a9d-8c8f-0c0f4b0d9f1e", "sub": "5d2b1f43-5f6a-4b0e-9f58-0a2f9f7b2c11",
        "azp": "portal", "realm_access": {"roles": ["staff", "readers", "offline_access"]}, "scope": "openid profile",
    })
}

fn measure(name: &str, calls: u32, mut call: impl FnMut() -> bool) {
    let mut rounds: Vec<f64> = (0..ROUNDS)
        .map(|_| {
            let began = Instant::now();
            for _ in 0..calls {
                assert!(black_box(call()));
            }
            began.elapsed().as_secs_f64() * 1e6 / f64::from(calls)
        })
        .collect();
    rounds.sort_by(f64::total_cmp);
    println!("{name}: {:.2} µs ({:.2}..{:.2})", rounds[ROUNDS / 2], rounds[0], rounds[ROUNDS - 1]);
}
