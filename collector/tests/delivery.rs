//! Bringing frames to sinks: at their own pace, again after a failure, and to the dead letters.

mod support;

use std::sync::Arc;

use http::StatusCode;
use support::{Order, Producer, Site, TestSink, TestTail, eventually, get, parts, start_soon};
use tollgate_collector::{Parts, start};
use tollgate_config::ByteSize;

#[tokio::test]
async fn a_sink_that_is_down_delays_no_other() {
    let site = Site::new();
    let (slow, quick) = (TestSink::new("slow"), TestSink::new("quick"));
    slow.seen(|seen| seen.down = true);
    let running = start(site.config(), parts(vec![slow.boxed(), quick.boxed()])).await.expect("starts");
    let client = site.client("gw-1", running.ingest_addr).await;
    let mut producer = Producer::new("gw-1");
    for position in 0..10 {
        assert_eq!(client.post(producer.batch(5).bytes).await.position(), position);
    }
    quick.wait_for("delivery", |seen| seen.delivered.len() == 10).await;
    assert!(slow.delivered().is_empty());
    slow.seen(|seen| seen.down = false);
    slow.wait_for("delivery", |seen| seen.delivered == (0..10).collect::<Vec<_>>()).await;
    running.stop().await;
}

#[tokio::test]
async fn retry_offers_the_same_frames_again() {
    let site = Site::new();
    let sink = TestSink::new("test");
    sink.seen(|seen| seen.orders.extend([Order::Retry, Order::Retry, Order::Retry]));
    let running = start(site.config(), parts(vec![sink.boxed()])).await.expect("starts");
    let client = site.client("gw-1", running.ingest_addr).await;
    client.post(Producer::new("gw-1").batch(5).bytes).await;
    sink.wait_for("delivery", |seen| seen.delivered == [0]).await;
    assert_eq!(sink.seen(|seen| (seen.recoveries, seen.orders.len())), (1, 0));
    running.stop().await;
}

#[tokio::test]
async fn rebuild_recovers_and_goes_on_from_what_the_destination_knows() {
    let site = Site::new();
    let sink = TestSink::new("test");
    sink.seen(|seen| seen.knows = true);
    let running = start(site.config(), parts(vec![sink.boxed()])).await.expect("starts");
    let client = site.client("gw-1", running.ingest_addr).await;
    let mut producer = Producer::new("gw-1");
    client.post(producer.batch(5).bytes).await;
    sink.wait_for("delivery", |seen| seen.delivered == [0]).await;
    // Held frames are lost with the client: they come again from what is stored.
    sink.seen(|seen| seen.orders.push_back(Order::Hold));
    client.post(producer.batch(5).bytes).await;
    client.post(producer.batch(5).bytes).await;
    sink.wait_for("held", |seen| seen.delivered == [0, 1, 2]).await;
    sink.seen(|seen| seen.orders = [Order::Rebuild].into());
    client.post(producer.batch(5).bytes).await;
    sink.wait_for("again", |seen| seen.delivered == [0, 1, 2, 1, 2, 3]).await;
    assert_eq!(sink.seen(|seen| seen.recoveries), 2);
    running.stop().await;
}

#[tokio::test]
async fn a_refused_frame_goes_to_the_dead_letters_and_can_be_replayed() {
    let site = Site::new();
    let sink = TestSink::new("test");
    sink.seen(|seen| seen.orders.push_back(Order::Reject(1)));
    let running = start(site.config(), parts(vec![sink.boxed()])).await.expect("starts");
    let client = site.client("gw-1", running.ingest_addr).await;
    let mut producer = Producer::new("gw-1");
    client.post(producer.batch(5).bytes).await;
    let refused = producer.batch(6).bytes;
    client.post(refused.clone()).await;
    client.post(producer.batch(7).bytes).await;
    sink.wait_for("delivery", |seen| seen.delivered.contains(&2)).await;
    assert!(!sink.delivered().contains(&1));
    let letters = site.data().join("dlq/test");
    let payload = std::fs::read(letters.join("00000000000000000001.arrows.zst")).expect("payload");
    assert_eq!(payload, refused);
    let why = std::fs::read(letters.join("00000000000000000001.json")).expect("reason");
    let why: serde_json::Value = serde_json::from_slice(&why).expect("JSON");
    assert_eq!(why["reason"], "too large for the broker");
    assert_eq!((&why["rows"], &why["producer"]), (&6.into(), &"gw-1/5f/0".into()));
    assert!(client.post(payload.into()).await.is_duplicate(), "the ledger knows it");
    let replay = letters.join("replay");
    std::fs::create_dir(&replay).expect("folder");
    let letter = "00000000000000000001.arrows.zst";
    sink.seen(|seen| seen.orders.push_back(Order::Reject(1)));
    std::fs::rename(letters.join(letter), replay.join(letter)).expect("moves");
    eventually("put back", || letters.join(letter).exists() && !replay.join(letter).exists()).await;
    std::fs::write(replay.join("00000000000000000009.arrows.zst"), b"no batch").expect("writes");
    std::fs::rename(letters.join(letter), replay.join(letter)).expect("moves");
    sink.wait_for("replay", |seen| seen.delivered.iter().filter(|position| **position == 1).count() == 1).await;
    eventually("deleted", || !replay.join(letter).exists()).await;
    eventually("the other put back", || letters.join("00000000000000000009.arrows.zst").exists()).await;
    assert_eq!(std::fs::read_dir(&replay).expect("lists").count(), 0);
    running.stop().await;
    let cursor = std::fs::read(site.data().join("cursors/test.cursor")).expect("cursor");
    assert_eq!(tollgate_collector::decode_cursor(&cursor), Some(3));
}

#[tokio::test]
async fn refused_rows_are_set_aside_alone_and_the_others_count_as_delivered() {
    let site = Site::new();
    let sink = TestSink::new("test");
    // The first frame is held and refused in part only when the second is there.
    sink.seen(|seen| seen.orders.extend([Order::Hold]));
    let running = start(site.config(), parts(vec![sink.boxed()])).await.expect("starts");
    let client = site.client("gw-1", running.ingest_addr).await;
    let mut producer = Producer::new("gw-1");
    client.post(producer.batch(30).bytes).await;
    sink.wait_for("held", |seen| seen.delivered == [0]).await;
    sink.seen(|seen| seen.orders = [Order::RejectRows(0, vec![3, 17])].into());
    client.post(producer.batch(5).bytes).await;
    sink.wait_for("the second frame", |seen| seen.delivered == [0, 1]).await;
    assert_eq!(sink.seen(|seen| seen.recoveries), 1, "a frame of an earlier call may be refused");

    let admin = running.admin_addr;
    let counts = "tollgate_sink_delivered_records_total{sink=\"test\"} 33";
    let metrics = async || get(admin, "/metrics").await.1;
    while !metrics().await.contains(counts) {
        tokio::time::sleep(std::time::Duration::from_millis(2)).await;
    }
    let metrics = metrics().await;
    assert!(metrics.contains("tollgate_sink_rejected_records_total{sink=\"test\"} 2"), "{metrics}");
    let payload = std::fs::read(site.data().join("dlq/test/00000000000000000000.arrows.zst")).expect("payload");
    let letter = tollgate_record::decode(&payload, &tollgate_record::DecodeLimits::default()).expect("a batch");
    assert_eq!((letter.records.num_rows(), letter.meta.first_seq, letter.meta.last_seq), (2, 4, 18));
    running.stop().await;
    let cursor = std::fs::read(site.data().join("cursors/test.cursor")).expect("cursor");
    assert_eq!(tollgate_collector::decode_cursor(&cursor), Some(2));
}

#[tokio::test]
async fn a_refused_last_frame_moves_the_cursor_too() {
    let site = Site::new();
    let sink = TestSink::new("test");
    sink.seen(|seen| seen.orders.push_back(Order::Reject(0)));
    let running = start(site.config(), parts(vec![sink.boxed()])).await.expect("starts");
    let client = site.client("gw-1", running.ingest_addr).await;
    client.post(Producer::new("gw-1").batch(5).bytes).await;
    let cursor = site.data().join("cursors/test.cursor");
    eventually("cursor", || std::fs::read(&cursor).is_ok_and(|b| tollgate_collector::decode_cursor(&b) == Some(1)))
        .await;
    assert!(sink.delivered().is_empty());
    running.stop().await;
}

#[tokio::test]
async fn held_frames_do_not_move_the_cursor_and_come_again_after_a_kill() {
    let site = Site::new();
    let sink = TestSink::new("test");
    let config = site.config();
    let running = start(config.clone(), parts(vec![sink.boxed()])).await.expect("starts");
    let client = site.client("gw-1", running.ingest_addr).await;
    let mut producer = Producer::new("gw-1");
    for _ in 0..3 {
        client.post(producer.batch(5).bytes).await;
    }
    let cursor = site.data().join("cursors/test.cursor");
    eventually("cursor", || std::fs::read(&cursor).is_ok_and(|b| tollgate_collector::decode_cursor(&b) == Some(3)))
        .await;
    sink.seen(|seen| seen.orders.push_back(Order::Hold));
    for _ in 0..4 {
        client.post(producer.batch(5).bytes).await;
    }
    sink.wait_for("held", |seen| seen.delivered.len() == 7).await;
    drop(running);
    let again = TestSink::new("test");
    let running = start_soon(&config, || parts(vec![again.boxed()])).await;
    again.wait_for("exactly what was not stored", |seen| seen.delivered == [3, 4, 5, 6]).await;
    assert_eq!(running.restart_report().frames, 7);
    running.stop().await;
}

#[tokio::test]
async fn the_hot_rows_see_every_frame_in_order_and_again_after_a_restart() {
    let site = Site::new();
    let config = site.config();
    let tail = Arc::new(TestTail::default());
    let make = |tail: &Arc<TestTail>| Parts {
        sinks: Vec::new(),
        tail: Some(Arc::clone(tail) as _),
        metrics: prometheus::Registry::new(),
    };
    let running = start(config.clone(), make(&tail)).await.expect("starts");
    let client = site.client("gw-1", running.ingest_addr).await;
    let mut producer = Producer::new("gw-1");
    let batches: Vec<_> = (0..16).map(|_| producer.batch(20).bytes).collect();
    let client = Arc::new(client);
    let posts: Vec<_> = batches
        .into_iter()
        .map(|batch| {
            let client = Arc::clone(&client);
            tokio::spawn(async move { client.post(batch).await.position() })
        })
        .collect();
    for post in posts {
        let position = post.await.expect("posts");
        assert!(tail.shown.lock().expect("no panic").contains(&position), "shown before it is acknowledged");
    }
    assert_eq!(*tail.shown.lock().expect("no panic"), (0..16).collect::<Vec<_>>());
    drop(running);
    let tail = Arc::new(TestTail::default());
    *tail.needs_from.lock().expect("no panic") = 10;
    let running = start_soon(&config, || make(&tail)).await;
    assert_eq!(*tail.shown.lock().expect("no panic"), (10..16).collect::<Vec<_>>());
    assert_eq!(running.restart_report().frames_replayed, 6);
    running.stop().await;
}

#[tokio::test]
async fn a_sink_that_may_skip_does_so_and_says_how_much() {
    let site = Site::new();
    let mut config = site.small_segments();
    config.journal.high_water_bytes = ByteSize::kib(64);
    config.journal.bytes_max = ByteSize::kib(96);
    config.delivery.skip_when_full = vec!["slow".to_owned()];
    let (slow, quick) = (TestSink::new("slow"), TestSink::new("quick"));
    slow.seen(|seen| seen.down = true);
    let running = start(config, parts(vec![slow.boxed(), quick.boxed()])).await.expect("starts");
    let client = site.client("gw-1", running.ingest_addr).await;
    let mut producer = Producer::new("gw-1");
    let mut stored = 0;
    while stored < 60 {
        let batch = producer.batch(200).bytes;
        let mut answer = client.post(batch.clone()).await;
        while answer.status == StatusCode::SERVICE_UNAVAILABLE {
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
            answer = client.post(batch.clone()).await;
        }
        assert_eq!(answer.position(), stored);
        stored += 1;
    }
    quick.wait_for("all", |seen| seen.delivered.len() == 60).await;
    slow.seen(|seen| seen.down = false);
    slow.wait_for("the last", |seen| seen.delivered.last() == Some(&59)).await;
    running.stop().await;
    let notes = std::fs::read_to_string(site.data().join("dlq/slow/skipped.jsonl")).expect("notes");
    let frames: u64 = notes
        .lines()
        .map(|line| {
            let note: serde_json::Value = serde_json::from_str(line).expect("JSON");
            assert_eq!(note["rows"].as_u64(), note["frames"].as_u64().map(|frames| frames * 200));
            note["frames"].as_u64().expect("frames")
        })
        .sum();
    assert_eq!(frames as usize + slow.delivered().len(), 60, "each frame is delivered or counted as skipped");
}
