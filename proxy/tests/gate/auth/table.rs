//! The product table: each method × {absent, valid, invalid, expired, somebody else's} × {any_of, all_of, optional}.
//!
//! Beside the method of the row stands another one, with which the row's credential is combined: an API key beside a
//! certificate or a password, a password beside an API key. `any_of` and `optional` rows present the row's credential
//! alone. `all_of` rows present the other method's valid credential of `acme` too.

use serde_json::{Value, json};

use super::{KEY, OLD_KEY, OLD_PASSWORD, OTHER_KEY, OTHER_PASSWORD, PASSWORD, ask, basic, gate, status};
use crate::rig::{Gate, Upstream, assert_row};

const OK: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello";

/// What a request presents: a certificate by name and DNS name, and fields.
type Presented = (Option<(&'static str, &'static str)>, String);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Method {
    Mtls,
    ApiKey,
    Basic,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum What {
    Absent,
    Valid,
    Invalid,
    Expired,
    Others,
}

const METHODS: [Method; 3] = [Method::Mtls, Method::ApiKey, Method::Basic];
const WHATS: [What; 5] = [What::Absent, What::Valid, What::Invalid, What::Expired, What::Others];

impl Method {
    fn name(self) -> &'static str {
        match self {
            Self::Mtls => "mtls",
            Self::ApiKey => "api_key",
            Self::Basic => "basic",
        }
    }

    fn beside(self) -> Self {
        if self == Self::ApiKey { Self::Basic } else { Self::ApiKey }
    }

    fn presents(self, what: What) -> Presented {
        let key = |key: &str| (None, format!("X-Api-Key: {key}\r\n"));
        match (self, what) {
            (_, What::Absent) => (None, String::new()),
            (Self::Mtls, What::Valid) => (Some(("acme-cert", "acme.example.com")), String::new()),
            // A certificate that has expired is refused in its handshake; see `tls.rs`.
            (Self::Mtls, What::Invalid | What::Expired) => (Some(("nobody", "nobody.example.com")), String::new()),
            (Self::Mtls, What::Others) => (Some(("other", "other.example.com")), String::new()),
            (Self::ApiKey, What::Valid) => key(KEY),
            (Self::ApiKey, What::Invalid) => key("no-such-key"),
            (Self::ApiKey, What::Expired) => key(OLD_KEY),
            (Self::ApiKey, What::Others) => key(OTHER_KEY),
            (Self::Basic, What::Valid) => (None, basic("acme", PASSWORD)),
            (Self::Basic, What::Invalid) => (None, basic("acme", "wrong")),
            (Self::Basic, What::Expired) => (None, basic("acme-old", OLD_PASSWORD)),
            (Self::Basic, What::Others) => (None, basic("other", OTHER_PASSWORD)),
        }
    }

    fn credential(self, what: What) -> Value {
        match (self, what) {
            (Self::Mtls, What::Valid) => json!("dns:acme.example.com"),
            (Self::Mtls, What::Others) => json!("cn:other"),
            (Self::ApiKey, What::Valid) => json!("k1"),
            (Self::ApiKey, What::Expired) => json!("k0"),
            (Self::ApiKey, What::Others) => json!("o1"),
            (Self::Basic, What::Valid) => json!("acme"),
            (Self::Basic, What::Expired) => json!("acme-old"),
            (Self::Basic, What::Others) => json!("other"),
            _ => json!(null),
        }
    }
}

/// The columns of a row, with null where nothing is said.
fn row(fields: Value) -> Value {
    let mut row = json!({
        "error.type": null, "tollgate.auth_fail_reason": null, "user.name": null, "tollgate.credential_id": null,
        "user.roles": null, "tollgate.acl_decision": "none",
    });
    row.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
    row
}

fn accepted(method: Method, what: What) -> Value {
    let (consumer, groups) = match what {
        What::Others => ("other", json!(["others"])),
        _ => ("acme", json!(["partners", "testers"])),
    };
    row(json!({
        "http.response.status_code": 200, "tollgate.auth_pattern": method.name(), "tollgate.auth_result": "success",
        "user.name": consumer, "tollgate.credential_id": method.credential(what), "user.roles": groups,
    }))
}

fn refused(method: Method, reason: &str) -> Value {
    row(json!({
        "http.response.status_code": 401, "error.type": "auth", "tollgate.auth_pattern": method.name(),
        "tollgate.auth_result": "failed", "tollgate.auth_fail_reason": reason, "tollgate.upstream_attempts": 0,
    }))
}

/// What the record of a row says.
fn expected(method: Method, what: What, combination: &str) -> Value {
    match (combination, what) {
        ("optional", What::Absent) => row(json!({"http.response.status_code": 200, "tollgate.auth_pattern": "none",
                       "tollgate.auth_result": "anonymous"})),
        (_, What::Absent) => refused(method, "missing"),
        (_, What::Expired) if method != Method::Mtls => {
            let mut row = refused(method, "expired");
            row["user.name"] = json!("acme");
            row["tollgate.credential_id"] = method.credential(what);
            row
        }
        (_, What::Invalid | What::Expired) => refused(method, "unknown"),
        ("all_of", What::Others) => refused(method, "conflict"),
        (_, What::Valid | What::Others) => accepted(method, what),
    }
}

fn check(method: Method, combination: &str) {
    let beside = method.beside();
    let methods = format!("[{}, {}]", method.name(), beside.name());
    let auth = match combination {
        "optional" => format!("auth: {{any_of: {methods}, optional: true}}"),
        "any_of" => format!("auth: {{any_of: {methods}}}"),
        _ => format!("auth: {{all_of: {methods}}}"),
    };
    let gate: Gate = gate(&Upstream::answering(OK), &auth, "");
    for (nth, what) in WHATS.into_iter().enumerate() {
        let (certificate, mut fields) = method.presents(what);
        if combination == "all_of" {
            fields.push_str(&beside.presents(What::Valid).1);
        }
        let answer = ask(&gate, certificate, "/api", &fields);
        let expected = expected(method, what, combination);
        let told = format!("{method:?} {what:?} {combination}: {answer}");
        assert_eq!(json!(status(&answer)), expected["http.response.status_code"], "{told}");
        assert_eq!(
            answer.matches("\r\nwww-authenticate: ").count(),
            if status(&answer) == 401 { 2 } else { 0 },
            "{told}"
        );
        let rows = gate.rows(nth + 1);
        assert_eq!(rows.len(), nth + 1, "one record: {told}");
        assert_row(&rows[nth], expected);
        let hashed = fields.contains(": ");
        assert_eq!(rows[nth]["tollgate.token_hmac"].is_string(), hashed, "failed ones have a hash too: {told}");
    }
    assert_eq!(gate.finish().len(), WHATS.len());
}

#[test]
fn any_of() {
    METHODS.into_iter().for_each(|method| check(method, "any_of"));
}

#[test]
fn all_of() {
    METHODS.into_iter().for_each(|method| check(method, "all_of"));
}

#[test]
fn optional() {
    METHODS.into_iter().for_each(|method| check(method, "optional"));
}

#[test]
fn a_credential_that_fails_is_401_even_beside_one_that_succeeds_and_two_callers_are_a_conflict() {
    let auth = "auth: {any_of: [mtls, api_key, basic], optional: true}";
    let gate = gate(&Upstream::answering(OK), auth, "");
    let acme = Some(("acme-cert", "acme.example.com"));
    let key = |key: &str| format!("X-Api-Key: {key}\r\n");
    for (nth, (fields, reason)) in [
        (key("wrong"), json!("unknown")),
        (key(OTHER_KEY), json!("conflict")),
        (key(KEY), json!(null)),
        (format!("{}{}", key(KEY), basic("acme", PASSWORD)), json!(null)),
        (format!("{}{}", key(KEY), key(KEY)), json!("malformed")),
        ("Authorization: Basic !\r\n".to_owned(), json!("malformed")),
        (format!("{}Authorization: Bearer x\r\n", basic("acme", PASSWORD)), json!("malformed")),
        // Of another scheme than the route's: not looked at, and passed on.
        ("Authorization: Bearer x\r\n".to_owned(), json!(null)),
    ]
    .into_iter()
    .enumerate()
    {
        let answer = ask(&gate, acme, "/api", &fields);
        assert_eq!(status(&answer), if reason.is_null() { 200 } else { 401 }, "{fields}: {answer}");
        let rows = gate.rows(nth + 1);
        assert_row(&rows[nth], json!({"tollgate.auth_fail_reason": reason}));
    }
}
