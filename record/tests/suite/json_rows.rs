//! Rows as JSON.

use serde_json::{Value, json};
use tollgate_record::columns::COLUMNS;
use tollgate_record::redact::text::cleaned;
use tollgate_record::vocabulary::{ErrorClass, Kind};
use tollgate_record::{BatchBuilder, DecodeLimits, Record, SealLimits, decode, extract, json as rows};

use crate::plausible::header;
use crate::streams::decoded;

fn object(record: Record<'_>) -> Value {
    let mut builder = BatchBuilder::new(header(), SealLimits::default());
    builder.append(&record);
    let batch = decode(&builder.seal(1).unwrap().bytes, &DecodeLimits::default()).unwrap();
    let mut out = Vec::new();
    rows::Rows::of(&batch.records, &batch.meta).write(0, &mut out);
    serde_json::from_slice(&out).unwrap()
}

#[test]
fn a_row_is_a_flat_object_with_known_names() {
    let row = object(Record {
        time_us: 1_767_225_600_123_456,
        seq: 42,
        kind: Kind::Transaction,
        method: Some("GET"),
        status: Some(503),
        error_class: Some(ErrorClass::Upstream5xx),
        tls_resumed: Some(false),
        trace_id: Some(&[0xab; 16]),
        auth_groups: &["a", "b"],
        waf_rule_ids: &[941_100, 942_100],
        user_agent: Some("say \"hi\"\\\n\u{1}é"),
        headers: Some("{\"x-tenant\":\"acme\"}"),
        client_cert_not_after_us: Some(-1),
        ..Record::default()
    });
    let expected = json!({
        "Timestamp": "2026-01-01T00:00:00.123456Z",
        "service.instance.id": "gate-1",
        "tollgate.producer": "gate-1/6475c2e8d4000/0",
        "tollgate.seq": 42,
        "tollgate.kind": "transaction",
        "http.request.id": row["http.request.id"],
        "http.request.method": "GET",
        "http.response.status_code": 503,
        "error.type": "upstream_5xx",
        "tls.resumed": false,
        "trace.id": "abababababababababababababababab",
        "user.roles": ["a", "b"],
        "tollgate.waf_rule_ids": [941100, 942100],
        "user_agent.original": "say \"hi\"\\\\x0a\\x01é",
        "tollgate.headers": {"x-tenant": "acme"},
        "tls.client.not_after": "1969-12-31T23:59:59.999999Z",
        "deployment.environment.name": "production",
        "cloud.availability_zone": "dc1-a",
        "service.version": "0.1.0",
    });
    assert_eq!(row, expected);
}

/// A row among others takes its values from dictionaries; alone in its batch it shares all of them with every row.
#[test]
fn a_row_among_others_is_the_row_alone() {
    let agents = [Some("curl"), None, Some("say \"hi\""), Some("curl")];
    let methods = [Some("GET"), Some("GET"), Some("POST"), None];
    let record = |row: usize| Record {
        time_us: row as i64,
        seq: row as i64 + 1,
        kind: if row == 2 { Kind::HandshakeFailed } else { Kind::Transaction },
        user_agent: agents[row],
        method: methods[row],
        path: [None, Some("/a"), None, Some("/b\n")][row],
        status: (row != 1).then_some(200 + row as i32),
        auth_groups: [&[][..], &["a"], &["a", "b"], &[]][row],
        ..Record::default()
    };
    let mut builder = BatchBuilder::new(header(), SealLimits::default());
    (0..4).for_each(|row| builder.append(&record(row)));
    let batch = decode(&builder.seal(1).unwrap().bytes, &DecodeLimits::default()).unwrap();
    let mut rows = rows::Rows::of(&batch.records, &batch.meta);
    for row in [3, 0, 2, 1, 2, 3] {
        let mut out = Vec::new();
        rows.write(row, &mut out);
        assert_eq!(serde_json::from_slice::<Value>(&out).unwrap(), object(record(row)), "row {row}");
    }
}

/// Past what is kept of rendered values, a row is the same as before.
#[test]
fn rows_with_more_than_is_kept_are_whole() {
    let path = |row: usize| format!("/{row}/{}", "a".repeat(2_000));
    let long_agent = "\u{1}".repeat(2_000);
    let limits = SealLimits { bytes_max: 64 << 20, ..SealLimits::default() };
    let mut builder = BatchBuilder::new(header(), limits);
    for row in 0..3_000 {
        let path = path(row % 1_500);
        builder.append(&Record {
            seq: row as i64 + 1,
            path: Some(&path),
            user_agent: Some(&long_agent),
            ..Record::default()
        });
    }
    let batch = decode(&builder.seal(1).unwrap().bytes, &DecodeLimits::default()).unwrap();
    let mut rows = rows::Rows::of(&batch.records, &batch.meta);
    for row in 0..3_000 {
        let (mut among, mut alone) = (Vec::new(), Vec::new());
        rows.write(row, &mut among);
        rows::Rows::of(&batch.records, &batch.meta).write(row, &mut alone);
        assert!(among == alone, "row {row}");
        let among: Value = serde_json::from_slice(&among).unwrap();
        assert!(among["url.path"].as_str().unwrap().starts_with(&format!("/{}/a", row % 1_500)));
    }
}

#[test]
fn each_row_has_its_request_id() {
    let batch = decoded(20);
    let mut rows = rows::Rows::of(&batch.records, &batch.meta);
    for row in 0..20 {
        let mut out = Vec::new();
        rows.write(row, &mut out);
        let object: Value = serde_json::from_slice(&out).unwrap();
        let id = extract::request_id(&batch.records, row).unwrap();
        assert_eq!(object["http.request.id"], json!(id.to_string()));
        assert_eq!(id.seq(), row as i64 + 1);
    }
}

#[test]
fn a_row_that_is_not_there_is_empty() {
    let batch = decoded(1);
    let mut out = Vec::new();
    rows::Rows::of(&batch.records, &batch.meta).write(1, &mut out);
    assert_eq!(out, b"{}");
}

#[test]
fn headers_that_are_no_object_of_strings_are_quoted() {
    for text in ["{", "{}x", "{\"a\":1}", "{\"a\":\"b\",}", "{\"a\":\"\\x\"}", "{\"a\":\"\n\"}", "[]", ""] {
        let row = object(Record { seq: 1, headers: Some(text), ..Record::default() });
        assert_eq!(row["tollgate.headers"], json!(cleaned(text, 64)));
    }
    let row = object(Record { seq: 1, headers: Some("{\"a\":\"\\u0041\\n\",\"b\":\"\"}"), ..Record::default() });
    assert_eq!(row["tollgate.headers"], json!({"a": "A\n", "b": ""}));
}

#[test]
fn instants_are_rfc_3339_at_the_edges() {
    let cases = [
        (0, json!("1970-01-01T00:00:00.000000Z")),
        (951_782_400_000_000, json!("2000-02-29T00:00:00.000000Z")),
        (4_107_542_399_999_999, json!("2100-02-28T23:59:59.999999Z")),
        (253_402_300_799_999_999, json!("9999-12-31T23:59:59.999999Z")),
        (253_402_300_800_000_000, json!(253_402_300_800_000_000_i64)),
        (i64::MIN, json!(i64::MIN)),
        (i64::MAX, json!(i64::MAX)),
    ];
    for (time_us, expected) in cases {
        assert_eq!(object(Record { seq: 1, time_us, ..Record::default() })["Timestamp"], expected);
    }
}

#[test]
fn no_two_columns_share_a_key() {
    let mut keys: Vec<String> = COLUMNS.iter().map(rows::key_of).collect();
    keys.push("http.request.id".to_owned());
    let all = keys.len();
    keys.sort();
    keys.dedup();
    assert_eq!(keys.len(), all);
}
