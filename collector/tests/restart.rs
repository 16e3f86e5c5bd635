//! What holds across a stop, a kill and a trim; and what a start refuses.

mod support;

use std::sync::Arc;

use http::StatusCode;
use support::{Producer, Site, TestSink, TestTail, eventually, parts, start_soon};
use tollgate_collector::{Parts, StartError, start};
use tollgate_config::ByteSize;

#[tokio::test]
async fn duplicates_are_known_after_a_kill_and_after_a_trim() {
    let site = Site::new();
    let config = site.small_segments();
    let sink = TestSink::new("test");
    let running = start(config.clone(), parts(vec![sink.boxed()])).await.expect("starts");
    let client = site.client("gw-1", running.ingest_addr).await;
    let mut producer = Producer::new("gw-1");
    let mut batches = Vec::new();
    for position in 0..40 {
        let batch = producer.batch(200).bytes;
        assert_eq!(client.post(batch.clone()).await.position(), position);
        batches.push(batch);
    }
    let first = site.data().join("00000000000000000000.seg");
    eventually("trim", || !first.exists()).await;
    drop(running);
    for round in 0..2 {
        let running = start_soon(&config, || parts(vec![TestSink::new("test").boxed()])).await;
        let client = site.client("gw-1", running.ingest_addr).await;
        for batch in &batches {
            assert!(client.post(batch.clone()).await.is_duplicate(), "round {round}");
        }
        let next = producer.batch(200).bytes;
        assert_eq!(client.post(next.clone()).await.position(), 40 + round);
        batches.push(next);
        running.stop().await;
    }
}

#[tokio::test]
async fn a_journal_that_was_deleted_gives_no_position_twice() {
    let site = Site::new();
    let config = site.config();
    let sink = TestSink::new("test");
    let running = start(config.clone(), parts(vec![sink.boxed()])).await.expect("starts");
    let client = site.client("gw-1", running.ingest_addr).await;
    let mut producer = Producer::new("gw-1");
    for _ in 0..3 {
        client.post(producer.batch(5).bytes).await;
    }
    sink.wait_for("delivery", |seen| seen.delivered == [0, 1, 2]).await;
    running.stop().await;
    for entry in std::fs::read_dir(site.data()).expect("lists") {
        let path = entry.expect("entry").path();
        if path.extension().is_some_and(|extension| extension == "seg") {
            std::fs::remove_file(path).expect("removes");
        }
    }
    let running = start_soon(&config, || parts(vec![sink.boxed()])).await;
    let client = site.client("gw-1", running.ingest_addr).await;
    assert_eq!(client.post(producer.batch(5).bytes).await.position(), 3);
    sink.wait_for("delivery", |seen| seen.delivered == [0, 1, 2, 3]).await;
    running.stop().await;
}

#[tokio::test]
async fn a_damaged_cursor_delivers_again_and_says_so() {
    let site = Site::new();
    let config = site.config();
    let running = start(config.clone(), parts(vec![TestSink::new("test").boxed()])).await.expect("starts");
    let client = site.client("gw-1", running.ingest_addr).await;
    client.post(Producer::new("gw-1").batch(5).bytes).await;
    running.stop().await;
    std::fs::write(site.data().join("cursors/test.cursor"), b"junk").expect("writes");
    std::fs::write(site.data().join("ledger.checkpoint"), b"junk").expect("writes");
    let sink = TestSink::new("test");
    let running = start_soon(&config, || parts(vec![sink.boxed()])).await;
    sink.wait_for("delivery", |seen| seen.delivered == [0]).await;
    let report = running.restart_report();
    assert_eq!(report.lost_state.len(), 2, "{report:?}");
    let client = site.client("gw-1", running.ingest_addr).await;
    assert!(client.post(Producer::new("gw-1").batch(5).bytes).await.is_duplicate(), "read from the journal");
    running.stop().await;
}

#[tokio::test]
async fn damage_in_the_journal_is_reported_and_costs_that_frame_only() {
    let site = Site::new();
    let config = site.config();
    let running = start(config.clone(), parts(vec![])).await.expect("starts");
    let client = site.client("gw-1", running.ingest_addr).await;
    let mut producer = Producer::new("gw-1");
    for _ in 0..4 {
        client.post(producer.batch(50).bytes).await;
    }
    running.stop().await;
    let segment = site.data().join("00000000000000000000.seg");
    let mut bytes = std::fs::read(&segment).expect("reads");
    let at = bytes.len() * 3 / 8;
    bytes[at] ^= 1;
    std::fs::write(&segment, bytes).expect("writes");
    let sink = TestSink::new("test");
    let running = start_soon(&config, || parts(vec![sink.boxed()])).await;
    sink.wait_for("the others", |seen| seen.delivered == [0, 2, 3]).await;
    let report = running.restart_report();
    assert_eq!((report.frames, report.quarantined), (3, 1), "{report:?}");
    let (_, metrics) = support::get(running.admin_addr, "/metrics").await;
    assert!(metrics.contains("tollgate_journal_quarantined_frames_total 1"), "{metrics}");
    let cursor = site.data().join("cursors/test.cursor");
    eventually("cursor", || std::fs::read(&cursor).is_ok_and(|b| tollgate_collector::decode_cursor(&b) == Some(4)))
        .await;
    running.stop().await;
}

#[tokio::test]
async fn what_was_acknowledged_is_delivered_after_a_limit_was_lowered() {
    let site = Site::new();
    let mut config = site.config();
    let running = start(config.clone(), parts(vec![])).await.expect("starts");
    let client = site.client("gw-1", running.ingest_addr).await;
    assert_eq!(client.post(Producer::new("gw-1").batch(200).bytes).await.position(), 0);
    running.stop().await;
    config.ingest.batch_rows_max = 10;
    config.ingest.batch_bytes_max = ByteSize(100);
    config.ingest.batch_raw_bytes_max = ByteSize(100);
    let (sink, tail) = (TestSink::new("test"), Arc::new(TestTail::default()));
    let make = || Parts { tail: Some(Arc::clone(&tail) as _), ..parts(vec![sink.boxed()]) };
    let running = start_soon(&config, make).await;
    assert_eq!(*tail.shown.lock().expect("no panic"), [0]);
    sink.wait_for("delivery", |seen| seen.delivered == [0]).await;
    running.stop().await;
    assert!(!site.data().join("dlq").exists());
}

#[tokio::test]
async fn a_full_disk_does_not_keep_a_journal_from_being_drained() {
    let site = Site::new();
    let mut config = site.config();
    let running = start(config.clone(), parts(vec![])).await.expect("starts");
    let client = site.client("gw-1", running.ingest_addr).await;
    let mut producer = Producer::new("gw-1");
    client.post(producer.batch(5).bytes).await;
    running.stop().await;
    config.journal.disk_free_min_bytes = ByteSize(u64::MAX);
    let sink = TestSink::new("test");
    let running = start_soon(&config, || parts(vec![sink.boxed()])).await;
    sink.wait_for("delivery", |seen| seen.delivered == [0]).await;
    let client = site.client("gw-1", running.ingest_addr).await;
    assert_eq!(client.post(producer.batch(5).bytes).await.status, StatusCode::SERVICE_UNAVAILABLE);
    running.stop().await;
}

#[tokio::test]
async fn a_destination_that_was_set_back_past_the_journal_is_a_counted_gap() {
    let site = Site::new();
    let config = site.small_segments();
    let running = start(config.clone(), parts(vec![TestSink::new("test").boxed()])).await.expect("starts");
    let client = site.client("gw-1", running.ingest_addr).await;
    let mut producer = Producer::new("gw-1");
    for _ in 0..40 {
        client.post(producer.batch(200).bytes).await;
    }
    let first = site.data().join("00000000000000000000.seg");
    eventually("trim", || !first.exists()).await;
    running.stop().await;
    let sink = TestSink::new("test");
    sink.seen(|seen| seen.known = Some(0));
    let running = start_soon(&config, || parts(vec![sink.boxed()])).await;
    let held = running.restart_report().first_position;
    let notes = site.data().join("dlq/test/skipped.jsonl");
    eventually("the note", || notes.exists()).await;
    assert!(held > 1 && held < 40, "{held}");
    sink.wait_for("the rest", |seen| seen.delivered == (held..40).collect::<Vec<_>>()).await;
    running.stop().await;
    let note = std::fs::read_to_string(notes).expect("notes");
    let note: serde_json::Value = serde_json::from_str(note.trim()).expect("one line of JSON");
    assert_eq!((note["from"].as_u64(), note["to"].as_u64()), (Some(1), Some(held)));
}

#[tokio::test]
async fn a_table_that_is_new_gets_all_that_the_journal_holds() {
    let site = Site::new();
    let config = site.config();
    let sink = TestSink::new("table");
    let make = || Parts { tail: Some(Arc::new(TestTail::default())), ..parts(vec![sink.boxed()]) };
    let running = start(config.clone(), make()).await.expect("starts");
    let client = site.client("gw-1", running.ingest_addr).await;
    let mut producer = Producer::new("gw-1");
    for _ in 0..3 {
        client.post(producer.batch(5).bytes).await;
    }
    sink.wait_for("delivery", |seen| seen.delivered == [0, 1, 2]).await;
    running.stop().await;
    let running = start_soon(&config, make).await;
    sink.wait_for("delivery again", |seen| seen.delivered == [0, 1, 2, 0, 1, 2]).await;
    running.stop().await;
}

#[tokio::test]
async fn the_sink_of_the_hot_rows_cannot_skip() {
    let site = Site::new();
    let mut config = site.config();
    config.delivery.skip_when_full = vec!["table".to_owned()];
    let tail = Arc::new(TestTail::default());
    let parts = Parts { tail: Some(tail), ..parts(vec![TestSink::new("table").boxed()]) };
    let error = start(config, parts).await.err().expect("must not start");
    assert!(matches!(error, StartError::SkipsTail("table")), "{error}");
}

async fn refusal(config: tollgate_collector::CollectorConfig) -> StartError {
    match start(config, parts(vec![])).await {
        Ok(_) => panic!("must not start"),
        Err(error) => error,
    }
}

#[tokio::test]
async fn a_start_that_cannot_work_says_which_key_and_what_to_do() {
    let site = Site::new();
    let mut config = site.config();
    config.journal.bytes_max = ByteSize::mib(1);
    config.ingest.posts_max = 0;
    let error = refusal(config).await.to_string();
    assert!(
        error.contains("journal.bytes_max: must leave room") && error.contains("ingest.posts_max: must be at least 1"),
        "{error}"
    );

    let mut config = site.config();
    config.journal.disk_free_min_bytes = ByteSize(u64::MAX);
    let error = refusal(config).await;
    assert!(matches!(error, StartError::Full { .. }) && error.to_string().contains("make room"), "{error}");

    let mut config = site.config();
    std::fs::write(site.dir.path().join("file"), b"").expect("writes");
    config.journal.dir = site.dir.path().join("file").as_path().into();
    let error = refusal(config).await.to_string();
    assert!(error.contains("journal.dir: cannot write to") && error.contains("writable"), "{error}");

    let mut config = site.config();
    config.ingest.tls.key = site.dir.path().join("no.key").as_path().into();
    let error = refusal(config).await.to_string();
    assert!(error.contains("ingest.tls") && error.contains("no.key"), "{error}");

    let mut config = site.config();
    config.delivery.skip_when_full = vec!["kafak".to_owned()];
    assert!(matches!(refusal(config).await, StartError::UnknownSink { .. }));
}

#[tokio::test]
async fn two_collectors_do_not_share_a_folder_or_an_address() {
    let site = Site::new();
    let running = start(site.config(), parts(vec![])).await.expect("starts");
    let error = refusal(site.config()).await.to_string();
    assert!(error.contains("in use by another collector"), "{error}");
    let mut config = site.config();
    config.ingest.address = running.ingest_addr;
    let error = refusal(config).await.to_string();
    assert!(error.contains("ingest.address: cannot listen on"), "{error}");
    let client = site.client("gw-1", running.ingest_addr).await;
    assert_eq!(client.post(Producer::new("gw-1").batch(1).bytes).await.status, StatusCode::OK);
    running.stop().await;
}
