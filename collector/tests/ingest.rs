//! Posting batches: what is acknowledged, what is refused, and that a refusal costs nobody else.

mod support;

use bytes::Bytes;
use http::{Request, StatusCode};
use http_body_util::Full;
use support::{LONG, Producer, Site, TestSink, eventually, get, parts};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tollgate_collector::start;
use tollgate_config::{ByteSize, ConfigDuration};
use tollgate_journal::offline;

#[tokio::test]
async fn an_acknowledged_batch_is_in_the_journal_byte_for_byte() {
    let site = Site::new();
    let sink = TestSink::new("test");
    let running = start(site.config(), parts(vec![sink.boxed()])).await.expect("starts");
    let client = site.client("gw-1", running.ingest_addr).await;
    let mut producer = Producer::new("gw-1");
    let batch = producer.batch(100);
    let answer = client.post(batch.bytes.clone()).await;
    assert_eq!((answer.status, answer.position()), (StatusCode::OK, 0));
    let mut frames = Vec::new();
    offline::cat(&site.data(), 0..1, |frame| frames.push(frame)).expect("reads");
    assert_eq!(frames.len(), 1);
    assert_eq!(frames[0].payload, batch.bytes);
    assert_eq!((frames[0].rows, frames[0].batch_seq, &*frames[0].producer), (100, 1, "gw-1/5f/0"));
    assert_eq!(client.post(producer.batch(1).bytes).await.position(), 1);
    sink.wait_for("delivery", |seen| seen.delivered == [0, 1] && seen.rows == 101).await;
    running.stop().await;
    assert!(sink.seen(|seen| seen.closed));
}

#[tokio::test]
async fn a_resend_is_a_duplicate_also_while_its_original_is_under_way() {
    let site = Site::new();
    let running = start(site.config(), parts(vec![])).await.expect("starts");
    let client = site.client("gw-1", running.ingest_addr).await;
    let mut producer = Producer::new("gw-1");
    for round in 0..20u64 {
        let batch = producer.batch(10).bytes;
        let (one, two, three) =
            tokio::join!(client.post(batch.clone()), client.post(batch.clone()), client.post(batch.clone()));
        let answers = [one, two, three];
        let stored: Vec<_> = answers.iter().filter(|answer| !answer.is_duplicate()).collect();
        assert_eq!(stored.len(), 1, "{answers:?}");
        assert_eq!(stored[0].position(), round);
        assert!(client.post(batch).await.is_duplicate());
    }
    running.stop().await;
    assert_eq!(offline::verify(&site.data()).expect("reads").frames, 20);
}

#[tokio::test]
async fn a_certificate_speaks_for_its_own_node_only() {
    let site = Site::new();
    let running = start(site.config(), parts(vec![])).await.expect("starts");
    let client = site.client("gw-1", running.ingest_addr).await;
    let answer = client.post(Producer::new("gw-2").batch(1).bytes).await;
    assert_eq!(answer.status, StatusCode::FORBIDDEN);
    assert!(answer.error().contains("does not speak for node \"gw-2\""), "{answer:?}");
    assert_eq!(client.post(Producer::new("gw-1").batch(1).bytes).await.position(), 0);
    let (_, metrics) = get(running.admin_addr, "/metrics").await;
    assert!(metrics.contains("tollgate_ingest_batches_total{outcome=\"forbidden\"} 1"), "{metrics}");
    running.stop().await;
}

#[tokio::test]
async fn what_is_no_batch_costs_its_own_post_only() {
    let site = Site::new();
    let mut config = site.config();
    config.ingest.batch_bytes_max = ByteSize::kib(64);
    let running = start(config, parts(vec![])).await.expect("starts");
    let client = site.client("gw-1", running.ingest_addr).await;
    let good = Producer::new("gw-1").batch(10).bytes;
    let mut bent = good.to_vec();
    let middle = bent.len() / 2;
    bent[middle] ^= 0xff;
    let empty = zstd::encode_all(&b""[..], 1).expect("compresses");
    let bomb = zstd::encode_all(&vec![0; 80 << 20][..], 1).expect("compresses");
    for body in [
        Bytes::new(),
        Bytes::from_static(b"junk"),
        bent.into(),
        good.slice(..good.len() / 2),
        empty.into(),
        bomb.into(),
    ] {
        let answer = client.post(body).await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{answer:?}");
        assert!(!answer.error().is_empty());
    }
    let answer = client.post(Bytes::from(vec![0; 65 * 1024])).await;
    assert_eq!(answer.status, StatusCode::PAYLOAD_TOO_LARGE);
    assert!(answer.error().contains("65536"), "{answer:?}");
    assert_eq!(
        client.post_as(good.clone(), "application/json", "zstd").await.status,
        StatusCode::UNSUPPORTED_MEDIA_TYPE
    );
    let plain = client.post_as(good.clone(), "application/vnd.apache.arrow.stream", "identity").await;
    assert_eq!(plain.status, StatusCode::UNSUPPORTED_MEDIA_TYPE);
    let elsewhere = Request::post("https://localhost/v2/batches").body(Full::default()).expect("request");
    assert_eq!(client.send(elsewhere).await.expect("answer").status, StatusCode::NOT_FOUND);
    let read = Request::get("https://localhost/v1/batches").body(Full::default()).expect("request");
    assert_eq!(client.send(read).await.expect("answer").status, StatusCode::METHOD_NOT_ALLOWED);
    assert_eq!(client.post(good).await.position(), 0, "the same connection still takes batches");
    running.stop().await;
}

#[tokio::test]
async fn peers_that_speak_no_tls_or_show_no_certificate_get_nowhere() {
    let site = Site::new();
    let mut config = site.config();
    config.ingest.handshake_timeout = ConfigDuration::millis(50);
    config.ingest.connections_max = 2;
    let running = start(config, parts(vec![])).await.expect("starts");
    // More of them than there are places: each gives its place back.
    let mut rude = Vec::new();
    for _ in 0..6 {
        let mut stream = TcpStream::connect(running.ingest_addr).await.expect("connects");
        stream.write_all(b"POST /v1/batches HTTP/1.1\r\n\r\n").await.expect("writes");
        rude.push(stream);
        rude.push(TcpStream::connect(running.ingest_addr).await.expect("connects"));
    }
    let client = tokio::time::timeout(LONG, site.client("gw-1", running.ingest_addr)).await.expect("gets a place");
    assert_eq!(client.post(Producer::new("gw-1").batch(1).bytes).await.position(), 0);
    running.stop().await;
}

#[tokio::test]
async fn a_journal_at_its_high_water_answers_503_until_a_sink_makes_room() {
    let site = Site::new();
    let mut config = site.small_segments();
    config.journal.high_water_bytes = ByteSize::kib(48);
    config.journal.bytes_max = ByteSize::kib(80);
    config.ingest.retry_after = ConfigDuration::secs(7);
    let sink = TestSink::new("test");
    sink.seen(|seen| seen.down = true);
    let running = start(config, parts(vec![sink.boxed()])).await.expect("starts");
    let client = site.client("gw-1", running.ingest_addr).await;
    let mut producer = Producer::new("gw-1");
    let refused = loop {
        let batch = producer.batch(200).bytes;
        let answer = client.post(batch.clone()).await;
        if answer.status != StatusCode::OK {
            break (batch, answer);
        }
    };
    let (batch, answer) = refused;
    assert_eq!((answer.status, answer.retry_after.as_deref()), (StatusCode::SERVICE_UNAVAILABLE, Some("7")));
    assert!(answer.error().contains("full"), "{answer:?}");
    let (status, reason) = get(running.admin_addr, "/readyz").await;
    assert!(status == 503 && reason.contains("full"), "{status} {reason}");
    sink.seen(|seen| seen.down = false);
    let deadline = tokio::time::Instant::now() + LONG;
    while client.post(batch.clone()).await.status != StatusCode::OK {
        assert!(tokio::time::Instant::now() < deadline, "there is room again");
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    assert_eq!(get(running.admin_addr, "/readyz").await.0, 200);
    running.stop().await;
}

#[tokio::test]
async fn an_idle_connection_is_closed_and_a_busy_collector_drains() {
    let site = Site::new();
    let mut config = site.config();
    config.ingest.idle_timeout = ConfigDuration::millis(30);
    let running = start(config, parts(vec![])).await.expect("starts");
    let client = site.client("gw-1", running.ingest_addr).await;
    let mut producer = Producer::new("gw-1");
    assert_eq!(client.post(producer.batch(1).bytes).await.position(), 0);
    tokio::time::sleep(std::time::Duration::from_millis(300)).await;
    let request = Request::post("https://localhost/v1/batches").body(Full::default()).expect("request");
    assert!(client.send(request).await.is_err(), "the connection is gone");
    let client = site.client("gw-1", running.ingest_addr).await;
    assert_eq!(client.post(producer.batch(1).bytes).await.position(), 1);
    running.stop().await;
}

#[tokio::test]
async fn the_status_page_names_who_was_refused_and_why() {
    let site = Site::new();
    let running = start(site.config(), parts(vec![])).await.expect("starts");
    let client = site.client("gw-1", running.ingest_addr).await;
    client.post(b"no batch".as_slice().into()).await;
    client.post(Producer::new("gw-2").batch(1).bytes).await;
    let (_, status) = get(running.admin_addr, "/status").await;
    let status: serde_json::Value = serde_json::from_str(&status).expect("JSON");
    let refused = &status["refused"];
    assert_eq!(refused.as_array().map(Vec::len), Some(2), "{refused}");
    assert!(refused[0]["outcome"] == "malformed" && refused[0]["producer"].is_null(), "{refused}");
    assert!(refused[1]["status"] == 403 && refused[1]["producer"] == "gw-2/5f/0", "{refused}");
    assert!(refused[1]["peer"].as_str().is_some_and(|peer| peer.contains("gw-1")), "{refused}");
    running.stop().await;
}

#[tokio::test]
async fn metrics_status_and_health_tell() {
    let site = Site::new();
    let sink = TestSink::new("test");
    let running = start(site.config(), parts(vec![sink.boxed()])).await.expect("starts");
    let client = site.client("gw-1", running.ingest_addr).await;
    client.post(Producer::new("gw-1").batch(12).bytes).await;
    sink.wait_for("delivery", |seen| seen.rows == 12).await;
    assert_eq!(get(running.admin_addr, "/healthz").await, (200, "ok\n".to_owned()));
    assert_eq!(get(running.admin_addr, "/readyz").await, (200, "ready\n".to_owned()));
    let mut metrics = String::new();
    for _ in 0..500 {
        metrics = get(running.admin_addr, "/metrics").await.1;
        if metrics.contains("tollgate_sink_lag_frames{sink=\"test\"} 0") {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    for line in [
        "tollgate_ingest_batches_total{outcome=\"accepted\"} 1",
        "tollgate_ingest_batches_total{outcome=\"duplicate\"} 0",
        "tollgate_ingest_records_total 12",
        "tollgate_ingest_durable_records_total 12",
        "tollgate_journal_last_position 0",
        "tollgate_sink_delivered_records_total{sink=\"test\"} 12",
        "tollgate_sink_lag_frames{sink=\"test\"} 0",
    ] {
        assert!(metrics.contains(line), "{line} in\n{metrics}");
    }
    let (_, status) = get(running.admin_addr, "/status").await;
    let status: serde_json::Value = serde_json::from_str(&status).expect("JSON");
    assert_eq!(status["stage"], "serving");
    assert_eq!(status["sinks"][0]["next_position"], 1);
    assert_eq!(status["restart"]["frames"], 0);
    let cursor = site.data().join("cursors/test.cursor");
    eventually("cursor", || std::fs::read(&cursor).is_ok_and(|b| tollgate_collector::decode_cursor(&b) == Some(1)))
        .await;
    running.stop().await;
}

/// The claim in the design: a batch is a file, and curl posts it again. Passes over itself where there is no curl.
#[tokio::test]
async fn curl_replays_a_batch_file() {
    let site = Site::new();
    let running = start(site.config(), parts(vec![])).await.expect("starts");
    let file = site.dir.path().join("batch.arrows.zst");
    std::fs::write(&file, Producer::new("gw-1").batch(10).bytes).expect("writes");
    let issued = site.ca.client("gw-1", "gw-1", &[], tollgate_demo_ca::Lifetime::days(2)).expect("certificate");
    for wanted in ["{\"position\":0}", "{\"duplicate\":true}"] {
        let mut curl = tokio::process::Command::new("curl");
        curl.args(["--silent", "--show-error", "--http2", "--max-time", "60", "--cacert"]).arg(site.ca.roots());
        curl.arg("--cert").arg(&issued.cert).arg("--key").arg(&issued.key);
        curl.args(["--header", "content-type: application/vnd.apache.arrow.stream"]);
        curl.args(["--header", "content-encoding: zstd", "--data-binary"]).arg(format!("@{}", file.display()));
        curl.arg(format!("https://localhost:{}/v1/batches", running.ingest_addr.port()));
        let Ok(output) = curl.output().await else { return };
        let answer = String::from_utf8_lossy(&output.stdout);
        assert_eq!(answer, wanted, "{}", String::from_utf8_lossy(&output.stderr));
    }
    running.stop().await;
}
