//! What each answer of a receiver leads to.

use std::sync::Arc;
use std::time::Duration;

use prometheus::Registry;
use serde_json::{Value, json};
use tollgate_config::ConfigDuration;
use tollgate_demo_ca::{DemoCa, Lifetime};
use tollgate_record::{Batch, BatchBuilder, BatchHeader, DecodeLimits, Record, SealLimits, decode};
use tollgate_sink::{Delivery, Sink, SinkError};
use tollgate_sink_spans::{Compression, Errors, FAILURES_BEFORE_REBUILD, SpansConfig, SpansSink};
use tollgate_telemetry::exposition;

use crate::receiver::Receiver;

/// A frame of so many transactions in traces, each with one stage; the paths are `/POSITION/ROW`.
fn frame(position: u64, rows: u64) -> Delivery {
    frame_with(position, rows, |record| record)
}

fn frame_with(position: u64, rows: u64, change: impl Fn(Record<'_>) -> Record<'_>) -> Delivery {
    let header = BatchHeader { producer: "p/1/0".into(), node_id: "p".into(), ..BatchHeader::default() };
    let mut builder = BatchBuilder::new(header, SealLimits::default());
    for row in 0..rows {
        let (span_id, path) = ((position * 1_000 + row + 1).to_be_bytes(), format!("/{position}/{row}"));
        builder.append(&change(Record {
            time_us: 1_767_323_045_000_000,
            seq: row as i64 + 1,
            trace_id: Some(&[9; 16]),
            span_id: Some(&span_id),
            trace_sampled: Some(true),
            path: Some(&path),
            status: Some(200),
            total_us: Some(900),
            upstream_ttfb_us: Some(500),
            ..Record::default()
        }));
    }
    let bytes = builder.seal(1).expect("rows were appended").bytes;
    let batch: Batch = decode(&bytes, &DecodeLimits::default()).expect("a sealed batch decodes");
    Delivery { position, received_us: 1_767_323_046_000_000, batch: Arc::new(batch) }
}

async fn sink(config: SpansConfig) -> (SpansSink, Registry) {
    let registry = Registry::new();
    let mut sink = SpansSink::new(config, &registry).expect("a fresh registry");
    sink.recover().await.expect("its files are there");
    (sink, registry)
}

fn counted(registry: &Registry, name: &str) -> u64 {
    let text = exposition(registry);
    let line = text.lines().find_map(|line| line.strip_prefix(&format!("tollgate_spans_{name}_total ")));
    line.expect("the metric").parse().expect("a number")
}

fn paths(receiver: &Receiver) -> Vec<String> {
    let spans = receiver.spans();
    spans.iter().filter_map(|span| Some(span["attributes"].get("url.path")?.as_str()?.to_owned())).collect()
}

fn sizes(receiver: &Receiver) -> Vec<Value> {
    receiver.requests().iter().map(|request| request["spans"].clone()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_are_bounded_and_frames_share_them() {
    let Some(receiver) = Receiver::start(&[]) else { return };
    let (mut sink, registry) = sink(SpansConfig { batch_spans_max: 12, ..SpansConfig::new(receiver.endpoint()) }).await;
    let frames = [frame(0, 2), frame(1, 1), frame(2, 5)];
    assert_eq!(sink.deliver(&frames).await.expect("it takes all"), Some(2));
    // A transaction is not cut: the next one may have 6 spans.
    assert_eq!(sizes(&receiver), [8, 8]);
    assert_eq!(counted(&registry, "exported"), 16);
    let headers = &receiver.requests()[0]["headers"];
    assert_eq!(
        (&headers["content-encoding"], &headers["content-type"]),
        (&json!("gzip"), &json!("application/x-protobuf"))
    );
    // Frames that come again are known.
    assert_eq!(sink.deliver(&frames).await.expect("nothing to do"), Some(2));
    assert_eq!(receiver.requests().len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_in_no_trace_or_not_sampled_costs_no_request() {
    let Some(receiver) = Receiver::start(&[]) else { return };
    let (mut sink, registry) =
        sink(SpansConfig { errors: Errors::Always, ..SpansConfig::new(receiver.endpoint()) }).await;
    fn not_sampled(record: Record<'_>) -> Record<'_> {
        Record { trace_sampled: Some(false), ..record }
    }
    let frames =
        [frame_with(0, 3, |record| Record { trace_id: None, span_id: None, ..record }), frame_with(1, 4, not_sampled)];
    assert_eq!(sink.deliver(&frames).await.expect("nothing to send"), Some(1));
    assert_eq!((receiver.requests().len(), counted(&registry, "sampled_out")), (0, 4));
    let failed = frame_with(2, 1, |record| Record { status: Some(502), ..not_sampled(record) });
    assert_eq!(sink.deliver(&[failed]).await.expect("it is sent"), Some(2));
    assert_eq!(paths(&receiver), ["/2/0"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_busy_receiver_is_left_alone_for_as_long_as_it_asks() {
    let Some(receiver) = Receiver::start(&[]) else { return };
    let config = SpansConfig { retry_after_max: ConfigDuration::secs(90), ..SpansConfig::new(receiver.endpoint()) };
    let (mut sink, _) = sink(config).await;
    for (status, asked, after) in [(429, "7", Some(7)), (503, "3600", Some(90)), (502, "x", None), (504, "0", Some(0))]
    {
        receiver.rules(json!({"status": status, "retry_after": asked, "body": "busy"}));
        match sink.deliver(&[frame(0, 1)]).await {
            Err(SinkError::Retry { reason, after: found }) => {
                assert!(reason.contains(&status.to_string()) && reason.ends_with(": busy"), "{reason}");
                assert_eq!(found, after.map(Duration::from_secs), "{status}");
            }
            other => panic!("{status}: {other:?}"),
        }
    }
    receiver.rules(json!({}));
    assert_eq!(sink.deliver(&[frame(0, 1)]).await.expect("it takes it"), Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failure_in_the_middle_repeats_nothing_that_was_taken() {
    let Some(receiver) = Receiver::start(&[]) else { return };
    let (mut sink, _) = sink(SpansConfig { batch_spans_max: 8, ..SpansConfig::new(receiver.endpoint()) }).await;
    // Two transactions a request; the fifth row cannot be sent.
    receiver.rules(json!({"poison": "/0/4"}));
    let answer = sink.deliver(&[frame(0, 6)]).await;
    assert!(matches!(answer, Err(SinkError::Reject { position: 0, .. })), "{answer:?}");
    receiver.rules(json!({}));
    assert_eq!(sink.deliver(&[frame(0, 6)]).await.expect("it takes the rest"), Some(0));
    assert_eq!(paths(&receiver), ["/0/0", "/0/1", "/0/2", "/0/3", "/0/4", "/0/5"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn of_several_frames_the_refused_one_is_named() {
    let Some(receiver) = Receiver::start(&[]) else { return };
    let (mut sink, _) = sink(SpansConfig::new(receiver.endpoint())).await;
    receiver.rules(json!({"poison": "/12/1"}));
    let frames = [frame(10, 2), frame(11, 2), frame(12, 2), frame(13, 2)];
    match sink.deliver(&frames).await {
        Err(SinkError::Reject { position: 12, reason }) => {
            assert!(reason.ends_with("400 Bad Request: poisoned"), "{reason}")
        }
        other => panic!("{other:?}"),
    }
    let rest = [frame(10, 2), frame(11, 2), frame(13, 2)];
    assert_eq!(sink.deliver(&rest).await.expect("the rest is taken"), Some(13));
    assert_eq!(paths(&receiver), ["/10/0", "/10/1", "/11/0", "/11/1", "/13/0", "/13/1"]);
    receiver.rules(json!({}));
    sink.replay(&frames[2]).await.expect("the letter is taken now");
    assert_eq!(paths(&receiver)[6..], ["/12/0", "/12/1"]);
    assert_eq!(sink.deliver(&[]).await.expect("a poll"), Some(13));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_receiver_of_small_requests_gets_small_ones() {
    let Some(receiver) = Receiver::start(&[]) else { return };
    let (mut sink, _) = sink(SpansConfig::new(receiver.endpoint())).await;
    receiver.rules(json!({"spans_max": 5}));
    assert_eq!(sink.deliver(&[frame(0, 9)]).await.expect("it takes the pieces"), Some(0));
    assert_eq!(paths(&receiver).len(), 9);
    receiver.rules(json!({"spans_max": 1}));
    let answer = sink.deliver(&[frame(1, 1)]).await;
    assert!(matches!(answer, Err(SinkError::Reject { position: 1, .. })), "one transaction is not cut: {answer:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn spans_that_are_refused_beside_others_are_counted() {
    let Some(receiver) = Receiver::start(&[]) else { return };
    let (mut sink, registry) = sink(SpansConfig::new(receiver.endpoint())).await;
    receiver.rules(json!({"partial": 3}));
    assert_eq!(sink.deliver(&[frame(0, 4)]).await.expect("a success"), Some(0));
    assert_eq!((counted(&registry, "exported"), counted(&registry, "refused")), (5, 3));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_key_loses_nothing_and_a_new_one_is_read() {
    let Some(receiver) = Receiver::start(&[]) else { return };
    let dir = tempfile::tempdir().expect("a folder");
    let file = dir.path().join("headers");
    std::fs::write(&file, "X-Api-Key: old\n\nX-Tenant: team a\n").expect("written");
    let config = SpansConfig {
        headers_file: Some(file.as_path().into()),
        compression: Compression::None,
        ..SpansConfig::new(receiver.endpoint())
    };
    let (mut sink, _) = sink(config).await;
    receiver.rules(json!({"key": "s3cret"}));
    match sink.deliver(&[frame(0, 1)]).await {
        Err(SinkError::Rebuild { reason }) => assert!(reason.ends_with("401 Unauthorized: no such key"), "{reason}"),
        other => panic!("{other:?}"),
    }
    std::fs::write(&file, "X-Api-Key: s3cret\nX-Tenant: team a\n").expect("written");
    sink.recover().await.expect("its files are there");
    assert_eq!(sink.deliver(&[frame(0, 1)]).await.expect("it takes it"), Some(0));
    let headers = &receiver.requests()[1]["headers"];
    assert_eq!((&headers["x-tenant"], headers.get("content-encoding")), (&json!("team a"), None));
}

#[tokio::test(flavor = "multi_thread")]
async fn other_answers_wait_for_repair() {
    let Some(receiver) = Receiver::start(&[]) else { return };
    let (mut sink, _) = sink(SpansConfig::new(receiver.endpoint())).await;
    for status in [301, 403, 404, 405, 500, 501] {
        receiver.rules(json!({"status": status}));
        let answer = sink.deliver(&[frame(0, 1)]).await;
        assert!(matches!(answer, Err(SinkError::Rebuild { .. })), "{status}: {answer:?}");
    }
    receiver.rules(json!({"status": 200, "media": "text/html; charset=utf-8", "body": "<h1>Log in</h1>"}));
    match sink.deliver(&[frame(0, 1)]).await {
        Err(SinkError::Rebuild { reason }) => assert!(reason.contains("a web page"), "{reason}"),
        other => panic!("{other:?}"),
    }
    receiver.rules(json!({"status": 200, "media": "application/json", "body": "{\"partialSuccess\":{}}"}));
    assert_eq!(sink.deliver(&[frame(0, 1)]).await.expect("some answer in JSON"), Some(0));
    let (mut elsewhere, _) = self::sink(SpansConfig::new(format!("{}/otlp", receiver.endpoint()))).await;
    receiver.rules(json!({}));
    let answer = elsewhere.deliver(&[frame(0, 1)]).await;
    assert!(matches!(answer, Err(SinkError::Rebuild { .. })), "another path: {answer:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn silence_and_closed_ports_are_tried_again_and_then_with_a_new_client() {
    let silent = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    let endpoint = format!("http://{}", silent.local_addr().expect("its address"));
    let (mut sink, _) = sink(SpansConfig { timeout: ConfigDuration::millis(50), ..SpansConfig::new(&endpoint) }).await;
    match sink.deliver(&[frame(0, 1)]).await {
        Err(SinkError::Retry { reason, after: None }) => assert!(reason.contains("no answer within 50ms"), "{reason}"),
        other => panic!("{other:?}"),
    }
    drop(silent);
    for failure in 2..=FAILURES_BEFORE_REBUILD {
        let answer = sink.deliver(&[frame(0, 1)]).await;
        let is_last = failure == FAILURES_BEFORE_REBUILD;
        assert_eq!(matches!(answer, Err(SinkError::Rebuild { .. })), is_last, "{failure}: {answer:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn tls_is_spoken_and_checked() {
    let dir = tempfile::tempdir().expect("a folder");
    let ca = DemoCa::open(&dir.path().join("ca")).expect("an authority");
    let stranger = DemoCa::open(&dir.path().join("stranger")).expect("another authority");
    let server = ca.server("receiver", &["localhost"], Lifetime::days(2)).expect("a certificate");
    let (cert, key) = (server.cert.to_string_lossy(), server.key.to_string_lossy());
    let Some(receiver) = Receiver::start(&["--certificate", &cert, "--key", &key]) else { return };
    let config = |ca: &DemoCa, host: &str| SpansConfig {
        ca: Some(ca.roots().into()),
        ..SpansConfig::new(format!("https://{host}:{}", receiver.port))
    };
    let (mut trusting, _) = sink(config(&ca, "localhost")).await;
    assert_eq!(trusting.deliver(&[frame(0, 1)]).await.expect("it takes it"), Some(0));
    for (config, words) in
        [(config(&stranger, "localhost"), "UnknownIssuer"), (config(&ca, "127.0.0.1"), "not valid for name")]
    {
        let (mut sink, _) = sink(config).await;
        match sink.deliver(&[frame(0, 1)]).await {
            Err(SinkError::Retry { reason, .. }) => assert!(reason.contains(words), "{reason}"),
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(receiver.spans().len(), 2);
}
