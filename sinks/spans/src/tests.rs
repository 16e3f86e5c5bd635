//! Records and the spans that they become.

use std::collections::BTreeMap;

use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::trace::v1::Span;
use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
use opentelemetry_proto::tonic::trace::v1::status::StatusCode;
use tollgate_record::vocabulary::{ErrorClass, Kind, Termination};
use tollgate_record::{Batch, BatchBuilder, BatchHeader, DecodeLimits, Record, SealLimits, decode};

use crate::row::Row;
use crate::{attributes, span};

const BEGAN_US: i64 = 1_767_323_045_000_000;

fn batch(record: &Record<'_>) -> Batch {
    let header = BatchHeader {
        producer: "gate-1/6441d2f3a7c00/0".into(),
        node_id: "gate-1".into(),
        gateway_version: "0.1.0".into(),
        environment: "test".into(),
        ..BatchHeader::default()
    };
    let mut builder = BatchBuilder::new(header, SealLimits::default());
    builder.append(record);
    decode(&builder.seal(1).unwrap().bytes, &DecodeLimits::default()).unwrap()
}

/// A record in a trace.
fn traced() -> Record<'static> {
    Record {
        time_us: BEGAN_US,
        seq: 1,
        trace_id: Some(&[0xab; 16]),
        span_id: Some(&[0xcd; 8]),
        method: Some("GET"),
        status: Some(200),
        termination: Some(Termination::Complete),
        total_us: Some(1_000),
        ..Record::default()
    }
}

fn spans(record: &Record<'_>) -> Vec<Span> {
    let batch = batch(record);
    let mut spans = Vec::new();
    if let Some(row) = Row::new(&batch.records, 0) {
        span::append(&row, &mut spans);
    }
    spans
}

fn said(span: &Span) -> BTreeMap<String, String> {
    let shown = |value: &Value| match value {
        Value::StringValue(text) => text.clone(),
        Value::IntValue(number) => number.to_string(),
        Value::BoolValue(flag) => flag.to_string(),
        other => format!("{other:?}"),
    };
    let pairs = span.attributes.iter().map(|pair| {
        let value = pair.value.as_ref().and_then(|any| any.value.as_ref()).map(shown);
        (pair.key.clone(), value.unwrap_or_default())
    });
    pairs.collect()
}

#[test]
fn a_record_says_everything_that_the_conventions_ask_for() {
    let spans = spans(&Record {
        parent_span_id: Some(&[0xef; 8]),
        trace_sampled: Some(true),
        http_route: Some("/members/{id}"),
        path: Some("/members/{redacted}"),
        query: Some("page=2&token=REDACTED"),
        host: Some("api.example.com:8443"),
        server_port: Some(443),
        client_ip: Some("192.0.2.7"),
        client_port: Some(50_000),
        peer_ip: Some("10.0.0.1"),
        http_version: Some("2"),
        tls_version: Some("1.3"),
        tls_resumed: Some(true),
        user_agent: Some("curl/8"),
        request_bytes: Some(3),
        response_bytes: Some(5),
        app_id: Some("team-a"),
        consumer: Some("partner"),
        gateway_us: Some(40),
        ..traced()
    });
    let span = &spans[0];
    assert_eq!(
        (&*span.trace_id, &*span.span_id, &*span.parent_span_id),
        (&[0xab; 16][..], &[0xcd; 8][..], &[0xef; 8][..])
    );
    assert_eq!((span.name.as_str(), span.kind(), span.flags), ("GET /members/{id}", SpanKind::Server, 0x301));
    assert_eq!(span.start_time_unix_nano, BEGAN_US as u64 * 1_000);
    assert_eq!(span.end_time_unix_nano - span.start_time_unix_nano, 1_000_000);
    assert_eq!(span.status, None);
    let mut said = said(span);
    // The id of the request is a UUID; that it is the record's own is checked with the real proxy.
    assert_eq!(said.remove("http.request.id").map(|id| id.len()), Some(36));
    let wanted = [
        ("client.address", "192.0.2.7"),
        ("client.port", "50000"),
        ("http.request.body.size", "3"),
        ("http.request.method", "GET"),
        ("http.response.body.size", "5"),
        ("http.response.status_code", "200"),
        ("http.route", "/members/{id}"),
        ("network.peer.address", "10.0.0.1"),
        ("network.protocol.name", "http"),
        ("network.protocol.version", "2"),
        ("server.address", "api.example.com"),
        ("server.port", "8443"),
        ("tls.protocol.version", "1.3"),
        ("tls.resumed", "true"),
        ("tollgate.app_id", "team-a"),
        ("tollgate.gateway_us", "40"),
        ("tollgate.termination", "complete"),
        ("url.path", "/members/{redacted}"),
        ("url.query", "page=2&token=REDACTED"),
        ("url.scheme", "https"),
        ("user_agent.original", "curl/8"),
    ];
    assert_eq!(said, wanted.map(|(key, value)| (key.to_owned(), value.to_owned())).into());
}

#[test]
fn names_have_no_more_values_than_the_configuration() {
    for (method, http_route, name) in [
        (Some("POST"), Some("/a/{b}"), "POST /a/{b}"),
        (Some("POST"), None, "POST"),
        (Some("_OTHER"), Some("/a"), "HTTP /a"),
        (None, None, "HTTP"),
    ] {
        let record = Record { method, http_route, path: Some("/chosen/by/clients"), ..traced() };
        assert_eq!(spans(&record)[0].name, name);
    }
}

#[test]
fn errors_are_the_servers_and_what_broke_off() {
    use ErrorClass::*;
    use Termination::*;
    for (what, status, termination, class, failed, code, error_type) in [
        ("fine", Some(200), Complete, None, false, Some("200"), None),
        ("redirected", Some(302), Complete, None, false, Some("302"), None),
        ("the caller's", Some(401), Gateway, Some(Auth), false, Some("401"), None),
        ("not found by the upstream", Some(404), Complete, None, false, Some("404"), None),
        ("failed by the upstream", Some(500), Complete, Some(Upstream5xx), true, Some("500"), Some("upstream_5xx")),
        ("failed, cause unknown", Some(503), Complete, None, true, Some("503"), Some("503")),
        ("no upstream", Some(502), Gateway, Some(ConnectRefused), true, Some("502"), Some("connect_refused")),
        ("the upstream broke off", Some(200), Upstream, Some(UpstreamReset), true, Some("200"), Some("upstream_reset")),
        ("a tunnel that was closed for its silence", Some(101), Gateway, None, false, Some("101"), None),
        ("the client left", Some(499), Client, Some(ClientAbort), true, None, Some("client_abort")),
        ("an upstream that says 499", Some(499), Complete, None, false, Some("499"), None),
        ("no answer", None, Gateway, None, true, None, Some("internal")),
    ] {
        let termination = Some(termination);
        let record = Record { status, termination, error_class: class, error_detail: Some("why"), ..traced() };
        let spans = spans(&record);
        let said = said(&spans[0]);
        let error = spans[0].status.as_ref().map(|status| (status.code(), status.message.as_str()));
        assert_eq!(error, failed.then_some((StatusCode::Error, "why")), "{what}");
        assert_eq!(said.get("http.response.status_code").map(String::as_str), code, "{what}");
        assert_eq!(said.get("error.type").map(String::as_str), error_type, "{what}");
        assert_eq!(said.get("tollgate.error_class").map(String::as_str), class.map(ErrorClass::as_str), "{what}");
    }
}

/// Name, begin and end of each stage, in microseconds from the transaction's begin.
fn stages(record: &Record<'_>) -> Vec<(String, i64, i64)> {
    let spans = spans(record);
    let us = |ns: u64| ns as i64 / 1_000 - BEGAN_US;
    let stage = |span: &Span| (span.name.clone(), us(span.start_time_unix_nano), us(span.end_time_unix_nano));
    spans[1..].iter().map(stage).collect()
}

#[test]
fn stages_stand_where_they_were() {
    let whole = Record {
        upstream_dns_us: Some(100),
        upstream_connect_us: Some(50),
        upstream_tls_us: Some(150),
        upstream_ttfb_us: Some(400),
        upstream_receive_us: Some(200),
        ..traced()
    };
    let stage = |name: &str, from, to| (format!("upstream.{name}"), from, to);
    let (first_byte, receive) = (stage("first_byte", 400, 800), stage("receive", 800, 1_000));
    let wanted = [stage("dns", 0, 100), stage("connect", 100, 150), stage("tls", 150, 300), first_byte, receive];
    assert_eq!(stages(&whole), wanted);
    let reused = Record { upstream_dns_us: None, upstream_connect_us: None, upstream_tls_us: None, ..whole };
    assert_eq!(stages(&reused), wanted[3..]);
    assert_eq!(stages(&traced()), []);
    // Clocks that disagree, and a record of another make: none is before its begin or outside of the transaction.
    for change in [i64::MIN, -1, 5_000, i64::MAX] {
        for (_, from, to) in
            stages(&Record { upstream_connect_us: Some(change), upstream_ttfb_us: Some(change), ..whole })
        {
            assert!((0..=1_000).contains(&from) && (from..=1_000).contains(&to), "{change}: {from} {to}");
        }
    }
}

#[test]
fn stages_are_children_with_ids_that_stay() {
    let record =
        Record { trace_sampled: Some(true), upstream_ttfb_us: Some(4), upstream_receive_us: Some(2), ..traced() };
    let (first, again) = (spans(&record), spans(&record));
    assert_eq!(first, again);
    let ids: std::collections::BTreeSet<&[u8]> = first.iter().map(|span| &*span.span_id).collect();
    assert_eq!(ids.len(), 3);
    for stage in &first[1..] {
        assert_eq!((&stage.trace_id, &stage.parent_span_id), (&first[0].trace_id, &first[0].span_id));
        assert_eq!((stage.kind(), stage.flags, stage.span_id.len()), (SpanKind::Internal, 0x101, 8));
    }
}

#[test]
fn only_transactions_in_a_trace_are_spans() {
    for record in [
        Record { trace_id: None, ..traced() },
        Record { span_id: None, ..traced() },
        Record { kind: Kind::HandshakeFailed, ..traced() },
    ] {
        assert_eq!(spans(&record), []);
    }
    assert_eq!(spans(&traced())[0].flags, 0, "neither sampled nor a child");
}

#[test]
fn the_resource_is_the_proxy_unless_said_otherwise() {
    let meta = batch(&traced()).meta;
    let of = |said: &[(&str, &str)]| {
        let said = said.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        let attributes = attributes::of_resource(&meta, &said).attributes;
        self::said(&Span { attributes, ..Span::default() })
    };
    let ours = of(&[]);
    let wanted = [
        ("deployment.environment.name", "test"),
        ("service.instance.id", "gate-1"),
        ("service.name", "tollgate-proxy"),
        ("service.version", "0.1.0"),
    ];
    assert_eq!(ours, wanted.map(|(key, value)| (key.to_owned(), value.to_owned())).into());
    let named = of(&[("service.name", "edge"), ("team", "gateway")]);
    assert_eq!((named["service.name"].as_str(), named["team"].as_str(), named.len()), ("edge", "gateway", 5));
}
