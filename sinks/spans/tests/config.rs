//! What the configuration accepts, what it refuses, and with which words.

use prometheus::Registry;
use tollgate_config::ConfigDuration;
use tollgate_sink::{Sink, SinkError};
use tollgate_sink_spans::{Compression, Errors, SpansConfig, SpansSink};

fn read(yaml: &str) -> Result<SpansConfig, String> {
    serde_saphyr::from_str(yaml).map_err(|error| error.to_string())
}

fn problem(yaml: &str) -> String {
    let config = read(yaml).expect("types are right");
    config.check().first().map(ToString::to_string).unwrap_or_default()
}

#[test]
fn an_endpoint_is_all_that_is_needed() {
    let config = read("endpoint: http://localhost:4318").expect("a good configuration");
    assert_eq!(config, SpansConfig::new("http://localhost:4318"));
    assert_eq!((config.ratio, config.errors, config.compression), (1.0, Errors::Sampled, Compression::Gzip));
    assert_eq!(config.check(), []);
    assert!(read("ratio: 1").is_err(), "an endpoint has no default");
}

#[test]
fn everything_can_be_said() {
    let config = read(
        "
endpoint: http://collector.example.com/otlp
ratio: 0.01
errors: always
slow_after: 2s
headers_file: headers
timeout: 5s
retry_after_max: 1m
batch_spans_max: 100
compression: none
resource: { service.name: edge, team: gateway }
",
    )
    .expect("a good configuration");
    assert_eq!((config.slow_after, config.batch_spans_max), (Some(ConfigDuration::secs(2)), 100));
    assert_eq!(config.resource["service.name"], "edge");
}

#[test]
fn what_is_unknown_or_impossible_is_refused_with_the_cure() {
    assert!(read("{endpoint: \"http://a\", ration: 1}").is_err_and(|error| error.contains("ration")));
    assert!(read("{endpoint: \"http://a\", errors: never}").is_err());
    let dir = tempfile::tempdir().expect("a folder");
    let of = |name: &str, text: &str| {
        let file = dir.path().join(name);
        std::fs::write(&file, text).expect("written");
        format!("{{endpoint: \"http://a\", headers_file: {}}}", file.display())
    };
    let wrong = [
        ("endpoint: localhost:4318".to_owned(), "endpoint: `localhost:4318` "),
        ("endpoint: grpc://a:4317".to_owned(), "neither http:// nor https://"),
        ("endpoint: \"http://user:pw@a\"".to_owned(), "has a user"),
        ("endpoint: \"http://a/?x=1\"".to_owned(), "a query"),
        ("endpoint: http://a/v1/traces/".to_owned(), "which is added to it"),
        ("{endpoint: \"http://a\", ratio: 1.5}".to_owned(), "ratio: a ratio is a share"),
        ("{endpoint: \"http://a\", ratio: .nan}".to_owned(), "ratio: a ratio is a share"),
        ("{endpoint: \"http://a\", slow_after: 0s}".to_owned(), "slow_after"),
        ("{endpoint: \"http://a\", timeout: 0s}".to_owned(), "timeout"),
        ("{endpoint: \"http://a\", batch_spans_max: 7}".to_owned(), "batch_spans_max: must be from 8 to 8192"),
        ("{endpoint: \"http://a\", resource: {\"\": x}}".to_owned(), "resource"),
        ("{endpoint: \"http://a\", ca: /nowhere/ca.pem}".to_owned(), "ca: the endpoint has no certificate"),
        ("{endpoint: \"https://a\", ca: /nowhere/ca.pem}".to_owned(), "ca: /nowhere/ca.pem"),
        (
            "{endpoint: \"http://a\", headers_file: /nowhere/h}".to_owned(),
            "headers_file: /nowhere/h: the file cannot be read",
        ),
        (of("1", "X-Key s3cret"), "line 1: there is no colon"),
        (of("2", "\nX-Key: a\nX Key: s3cret"), "line 3: this is no name of a header"),
        (of("3", "Content-Type: s3cret"), "line 1: content-type is set by the sink"),
        (of("4", "X-Key: s3\u{1}cret"), "line 1: the value has control characters"),
    ];
    for (yaml, words) in wrong {
        let problem = problem(&yaml);
        assert!(problem.contains(words), "{yaml}: {problem}");
        assert!(!problem.contains("s3"), "a secret is told: {problem}");
    }
}

#[tokio::test]
async fn a_sink_that_is_not_ready_claims_nothing() {
    let config = SpansConfig::new("http://127.0.0.1:1");
    let mut sink = SpansSink::new(config.clone(), &Registry::new()).expect("a fresh registry");
    assert_eq!(sink.name(), "spans");
    assert!(matches!(sink.deliver(&[]).await, Ok(None)));
    let gone = SpansConfig { headers_file: Some(std::path::Path::new("/nowhere/h").into()), ..config };
    let mut sink = SpansSink::new(gone, &Registry::new()).expect("a fresh registry");
    assert!(matches!(sink.recover().await, Err(SinkError::Retry { .. })));
}
