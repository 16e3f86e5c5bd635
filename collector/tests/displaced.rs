//! A journal that is moved, deleted or replaced under a running collector: nothing is acknowledged that a restart would not
//! find.

mod support;

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use http::StatusCode;
use support::{Client, LONG, Producer, Site, get, parts};
use tollgate_collector::start;
use tollgate_journal::offline;

type TakeAway = fn(&Path, &Path);

/// Ways to take the journal away from its path; each gets the journal's folder and a free path beside it.
const WAYS: &[(&str, TakeAway)] = &[
    ("folder deleted", |data, _| fs::remove_dir_all(data).expect("deletes")),
    ("folder moved", |data, aside| fs::rename(data, aside).expect("moves")),
    ("folder replaced by an empty one", |data, aside| {
        fs::rename(data, aside).expect("moves");
        fs::create_dir(data).expect("creates");
    }),
    ("folder deleted and made again", |data, _| {
        fs::remove_dir_all(data).expect("deletes");
        fs::create_dir(data).expect("creates");
    }),
    ("folder replaced by a copy of it", |data, aside| {
        fs::rename(data, aside).expect("moves");
        fs::create_dir(data).expect("creates");
        for file in files(aside) {
            fs::copy(&file, data.join(file.file_name().expect("name"))).expect("copies");
        }
    }),
    ("segments deleted", |data, _| {
        files(data).iter().filter(|file| is_segment(file)).for_each(|file| fs::remove_file(file).expect("deletes"));
    }),
    ("oldest segment deleted", |data, _| {
        let mut segments: Vec<_> = files(data).into_iter().filter(|file| is_segment(file)).collect();
        segments.sort();
        fs::remove_file(&segments[0]).expect("deletes");
    }),
    ("name deleted", |data, _| fs::remove_file(data.join("ID")).expect("deletes")),
    ("lock replaced", |data, _| {
        fs::remove_file(data.join("LOCK")).expect("deletes");
        fs::write(data.join("LOCK"), "").expect("writes");
    }),
];

fn files(dir: &Path) -> Vec<PathBuf> {
    let paths = fs::read_dir(dir).expect("lists").map(|entry| entry.expect("entry").path());
    paths.filter(|path| path.is_file()).collect()
}

fn is_segment(file: &Path) -> bool {
    file.extension().is_some_and(|extension| extension == "seg")
}

/// Posts batches until one is refused; returns what was acknowledged, the refused one and the answer.
async fn post_until_refused(client: &Client, producer: &mut Producer) -> (u64, bytes::Bytes, support::Answer) {
    let mut acknowledged = 0;
    loop {
        let batch = producer.batch(50).bytes;
        let answer = client.post(batch.clone()).await;
        if answer.status != StatusCode::OK {
            return (acknowledged, batch, answer);
        }
        acknowledged += 1;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_acknowledged_once_the_journal_is_not_where_it_was() {
    for (way, take_away) in WAYS {
        let site = Site::new();
        let data = site.data();
        fs::create_dir_all(&data).expect("creates");
        fs::write(data.join("ID"), "0123456789abcdef0123456789abcdef\n").expect("writes");
        let mut config = site.small_segments();
        config.delivery.trim_interval = tollgate_config::ConfigDuration::hours(1);
        let running = start(config.clone(), parts(vec![])).await.expect("starts");
        let client = site.client("gw-1", running.ingest_addr).await;
        let mut producer = Producer::new("gw-1");
        let mut first = None;
        // Several segments, so that one of them is not the newest.
        while files(&data).iter().filter(|file| is_segment(file)).count() < 3 {
            let batch = producer.batch(50).bytes;
            assert_eq!(client.post(batch.clone()).await.status, StatusCode::OK, "{way}");
            first.get_or_insert(batch);
        }
        // Posts are under way while it happens.
        let (other, mut others) = (site.client("gw-2", running.ingest_addr).await, Producer::new("gw-2"));
        let under_way = tokio::spawn(async move { post_until_refused(&other, &mut others).await.2 });
        take_away(&data, &site.dir.path().join("aside"));
        // A segment in the middle is looked at when the next one begins and whenever the collector trims.
        let later = *way == "oldest segment deleted";
        let refused = if later {
            post_until_refused(&client, &mut producer).await.2
        } else {
            client.post(producer.batch(50).bytes).await
        };
        for answer in [refused, under_way.await.expect("ends"), client.post(first.expect("a batch")).await] {
            assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE, "{way}: {answer:?}");
            assert!(
                answer.retry_after.is_some() && answer.error().contains("restart the collector"),
                "{way}: {answer:?}"
            );
        }
        let (status, page) = get(running.admin_addr, "/readyz").await;
        assert!(status == 503 && page.contains("moved or deleted"), "{way}: {status} {page}");
        let (_, metrics) = get(running.admin_addr, "/metrics").await;
        assert!(metrics.contains("tollgate_journal_displaced 1"), "{way}: {metrics}");
        let (_, page) = get(running.admin_addr, "/status").await;
        assert!(page.contains("\"displaced\""), "{way}: {page}");
        running.stop().await;
        assert!(!data.join("ledger.checkpoint").exists(), "{way}: no ledger that vouches for what is not there");
    }
}

/// Waits until readiness has this status.
async fn until_ready_says(admin: SocketAddr, status: u16) {
    let deadline = tokio::time::Instant::now() + LONG;
    while get(admin, "/readyz").await.0 != status {
        assert!(tokio::time::Instant::now() < deadline, "never {status}");
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn an_idle_collector_is_not_ready_without_its_journal_and_goes_on_when_it_is_back() {
    let site = Site::new();
    let running = start(site.config(), parts(vec![])).await.expect("starts");
    let client = site.client("gw-1", running.ingest_addr).await;
    let mut producer = Producer::new("gw-1");
    assert_eq!(client.post(producer.batch(10).bytes).await.position(), 0);
    let aside = site.dir.path().join("aside");
    fs::rename(site.data(), &aside).expect("moves");
    until_ready_says(running.admin_addr, 503).await;
    let refused = producer.batch(10).bytes;
    assert_eq!(client.post(refused.clone()).await.status, StatusCode::SERVICE_UNAVAILABLE);
    fs::rename(&aside, site.data()).expect("moves back");
    until_ready_says(running.admin_addr, 200).await;
    assert_eq!(client.post(refused).await.position(), 1);
    running.stop().await;
    assert_eq!(offline::verify(&site.data()).expect("reads").frames, 2);
}

#[tokio::test]
async fn a_restart_begins_a_new_journal_where_the_old_one_was_deleted() {
    let site = Site::new();
    let running = start(site.config(), parts(vec![])).await.expect("starts");
    let client = site.client("gw-1", running.ingest_addr).await;
    let mut producer = Producer::new("gw-1");
    let lost = producer.batch(10).bytes;
    assert_eq!(client.post(lost.clone()).await.position(), 0);
    fs::remove_dir_all(site.data()).expect("deletes");
    assert_eq!(client.post(lost.clone()).await.status, StatusCode::SERVICE_UNAVAILABLE);
    running.stop().await;
    let running = start(site.config(), parts(vec![])).await.expect("starts again");
    let client = site.client("gw-1", running.ingest_addr).await;
    assert!(!client.post(lost).await.is_duplicate(), "what was lost is stored again");
    running.stop().await;
    assert_eq!(offline::verify(&site.data()).expect("reads").frames, 1);
}
