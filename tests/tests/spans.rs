//! A request with a traceparent, sent by curl through proxy and collector, arrives as a span at a receiver of another make: under the
//! caller's trace and span, with its stages inside. What the caller did not sample does not arrive, unless it failed.

use anyhow::{Context, ensure};
use serde_json::Value;
use tollgate_tests::client::{Got, curl, psql};
use tollgate_tests::net::wait_for;
use tollgate_tests::spans::SpanReceiver;
use tollgate_tests::stack::{Options, Stack};

/// A trace that a ratio of one half keeps, and one that it does not, each without its last digit: the last eight bytes decide.
const IN_HALF: &str = "4bf92f3577b34da6123ce929d0e0e47";
const OUT_OF_HALF: &str = "4bf92f3577b34da6f23ce929d0e0e47";
const PARENT: &str = "00f067aa0ba902b7";

/// Sends a request in a trace of its own.
fn send(url: &str, trace: &str, flags: &str, status: u16) -> anyhow::Result<Got> {
    let got = curl(&["-H", &format!("traceparent: 00-{trace}-{PARENT}-{flags}"), url])?;
    ensure!(got.status == status, "{url} answers {}", got.status);
    Ok(got)
}

fn of_trace<'a>(spans: &'a [Value], trace: &str) -> Vec<&'a Value> {
    spans.iter().filter(|span| span["trace_id"] == trace).collect()
}

fn ns(span: &Value, key: &str) -> anyhow::Result<u64> {
    span[key].as_u64().with_context(|| format!("no {key} in {span}"))
}

fn check_span(stack: &Stack, spans: &[Value], trace: &str, got: &Got) -> anyhow::Result<()> {
    let spans = of_trace(spans, trace);
    let server: Vec<_> = spans.iter().filter(|span| span["kind"] == "SPAN_KIND_SERVER").collect();
    ensure!(server.len() == 1, "{spans:?}");
    let (span, said) = (server[0], &server[0]["attributes"]);
    ensure!(span["parent_span_id"] == PARENT && span["status"] == "STATUS_CODE_UNSET", "{span}");
    ensure!(span["flags"] == 0x301 && span["resource"]["service.instance.id"] == "edge-1", "{span}");
    for (key, value) in [
        ("http.request.method", Value::from("GET")),
        ("http.response.status_code", 200.into()),
        ("http.request.id", got.request_id()?.into()),
        ("network.protocol.version", "1.1".into()),
        ("server.address", "127.0.0.1".into()),
        ("server.port", stack.ports.http.into()),
        ("client.address", "127.0.0.1".into()),
        ("tollgate.service", "members".into()),
        ("tollgate.termination", "complete".into()),
        ("url.scheme", "http".into()),
    ] {
        ensure!(said[key] == value, "{key} is not {value}: {span}");
    }
    ensure!(said["url.query"].as_str().is_some_and(|query| !query.contains("s3cret")), "{span}");
    let (begin, end) = (ns(span, "start_ns")?, ns(span, "end_ns")?);
    ensure!(begin < end, "{span}");
    let stages: Vec<_> = spans.iter().filter(|stage| stage["parent_span_id"] == span["span_id"]).collect();
    let names: Vec<_> = stages.iter().filter_map(|stage| stage["name"].as_str()).collect();
    ensure!(
        spans.len() == 1 + stages.len() && names.ends_with(&["upstream.first_byte", "upstream.receive"]),
        "{names:?}"
    );
    for stage in stages {
        let (from, to) = (ns(stage, "start_ns")?, ns(stage, "end_ns")?);
        ensure!(begin <= from && from <= to && to <= end, "{stage} is not within {span}");
    }
    let row = psql(
        stack.ports.postgres,
        &format!(
            "SELECT trace_id, span_id, parent_span_id, trace_sampled, total_us FROM transactions WHERE trace_id = '{trace}'"
        ),
    )?;
    let id = span["span_id"].as_str().context("no id")?;
    ensure!(row == [format!("{trace}|{id}|{PARENT}|t|{}", (end - begin) / 1_000)], "SQL says {row:?}");
    Ok(())
}

#[test]
fn a_callers_trace_goes_on_in_a_span() -> anyhow::Result<()> {
    let dir = tempfile::tempdir()?;
    let receiver = SpanReceiver::start()?;
    let mut stack = Stack::start(dir.path(), Options { spans: Some(receiver.port), ..Options::default() })?;
    let trace = |half: &str, number: u8| format!("{half}{number:x}");
    let members = stack.http("/members/4711?token=s3cret");
    // First what is not to arrive: when the rest is there, it would be too.
    send(&members, &trace(IN_HALF, 0), "00", 200)?;
    send(&members, &trace(OUT_OF_HALF, 1), "01", 200)?;
    let got = send(&members, &trace(IN_HALF, 2), "01", 200)?;
    send(&stack.http("/failing"), &trace(OUT_OF_HALF, 3), "00", 500)?;
    ensure!(curl(&[&members])?.status == 200, "a request without a trace");

    let metrics = format!("http://127.0.0.1:{}/metrics", stack.ports.collector_admin);
    wait_for("two traces to be exported and two to be left out", || {
        let text = String::from_utf8(curl(&[&metrics])?.body)?;
        let line = text.lines().find(|line| line.starts_with("tollgate_spans_sampled_out_total "));
        let spans = receiver.spans()?;
        let failed = of_trace(&spans, &trace(OUT_OF_HALF, 3));
        ensure!(line == Some("tollgate_spans_sampled_out_total 2") && !failed.is_empty(), "{line:?}, {spans:?}");
        ensure!(!of_trace(&spans, &trace(IN_HALF, 2)).is_empty(), "{spans:?}");
        Ok(())
    })?;
    let spans = receiver.spans()?;
    check_span(&stack, &spans, &trace(IN_HALF, 2), &got)?;
    let failed = of_trace(&spans, &trace(OUT_OF_HALF, 3))[0];
    ensure!(
        failed["status"] == "STATUS_CODE_ERROR" && failed["attributes"]["error.type"] == "upstream_5xx",
        "{failed}"
    );
    for left_out in [trace(IN_HALF, 0), trace(OUT_OF_HALF, 1)] {
        ensure!(of_trace(&spans, &left_out).is_empty(), "{left_out} was exported: {spans:?}");
    }
    ensure!(stack.proxy.stop()?.success(), "the proxy's end: {}", stack.proxy.output());
    ensure!(stack.collector.stop()?.success(), "the collector's end: {}", stack.collector.output());
    Ok(())
}
