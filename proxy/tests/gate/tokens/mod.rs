//! Tokens: signed ones from a key file, an issuer's of the tests, and a real provider's.

mod issuer;
mod methods;
mod provider;

use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};
use tollgate_proxy_token::testkit::Issuer;

use crate::rig::{Gate, Setup, Upstream};

/// `iss` of the tests' own tokens.
const ISSUER: &str = "https://idp.example.com";

/// Seconds since 1970.
fn now_s() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()
}

/// Claims that pass.
fn claims() -> Value {
    json!({"iss": ISSUER, "aud": ["members-api"], "exp": now_s() + 300, "sub": "alice", "azp": "portal",
           "realm_access": {"roles": ["staff", "readers"]}})
}

/// The claims with one of them changed; `null` removes it.
fn with(name: &str, value: Value) -> Value {
    let mut claims = claims();
    match value {
        Value::Null => drop(claims.as_object_mut().unwrap().remove(name)),
        value => claims[name] = value,
    }
    claims
}

/// A gate whose provider `corp` has its keys in a file, with this `auth` of the service and more keys at the top.
fn gate(issuer: &Issuer, auth: &str, extra: &str) -> Gate {
    let keys = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(keys.path(), issuer.key_set()).unwrap();
    let identity = format!(
        "identity:\n  providers:\n    - {{name: corp, issuer: {ISSUER}, jwks: {{file: {}}}, audiences: [members-api], \
         groups_claim: realm_access.roles}}\n{extra}",
        keys.path().display()
    );
    Gate::with(&Setup {
        targets: &[format!("http://{}", Upstream::echo().addr)],
        service: &format!("    auth: {auth}"),
        extra: &identity,
        ..Setup::default()
    })
}

/// One request with these fields.
fn ask(gate: &Gate, fields: &str) -> String {
    gate.exchange(&format!("GET /api HTTP/1.1\r\nhost: api.example.com\r\nconnection: close\r\n{fields}\r\n"))
}

/// One request with a token.
fn bearer(gate: &Gate, token: &str) -> String {
    ask(gate, &format!("authorization: Bearer {token}\r\n"))
}

/// The status of an answer.
fn status(answer: &str) -> u16 {
    answer.get(9..12).and_then(|status| status.parse().ok()).unwrap_or_else(|| panic!("no answer: {answer:?}"))
}
