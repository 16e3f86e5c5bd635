//! A process is killed again and again, at whatever it is doing, and nothing is lost or doubled.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use super::{Feed, config, open, stored_seqs};
use crate::Position;

const KILLS: u64 = 12;
const ROWS: usize = 20;
const DIR: &str = "TOLLGATE_TEST_TABLE";
/// What the collector persists: the last position that the sink answered.
const CURSOR: &str = "cursor";

fn cursor(dir: &Path) -> Option<Position> {
    std::fs::read_to_string(dir.join(CURSOR)).ok()?.parse().ok()
}

/// Feeds the same frames as ever, from the recovered position on. Does nothing unless the test below starts it.
#[tokio::test(flavor = "multi_thread")]
async fn child() {
    let Some(dir) = std::env::var_os(DIR).map(PathBuf::from) else { return };
    let mut config = config(&dir.join("table"));
    config.checkpoint_commits = 5;
    let (mut sink, table) = open(config).await.unwrap();
    let recovered = sink.recover().await.unwrap();
    assert!(recovered >= cursor(&dir), "a position was answered that is not in the table");
    let mut feed = Feed::new();
    loop {
        let frames = feed.frames(1, ROWS);
        let through = sink.deliver(&frames).await.unwrap().unwrap();
        let fresh = dir.join("cursor.new");
        std::fs::write(&fresh, through.to_string()).unwrap();
        std::fs::rename(&fresh, dir.join(CURSOR)).unwrap();
        if through % 9 == 0 {
            table.compact_by(i64::MAX).await.unwrap();
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_lost_or_doubled_by_kills() {
    let dir = tempfile::tempdir().unwrap();
    for kill in 0..KILLS {
        let before = cursor(dir.path());
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "tests::kill::child", "--test-threads=1"])
            .env(DIR, dir.path())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        // Each process gets somewhere, and is killed at another moment.
        let deadline = Instant::now() + Duration::from_secs(60);
        while cursor(dir.path()) == before {
            assert!(child.try_wait().unwrap().is_none(), "the writer failed");
            assert!(Instant::now() < deadline, "the writer is stuck");
            std::thread::sleep(Duration::from_millis(1));
        }
        std::thread::sleep(Duration::from_millis(kill * 37 % 101));
        child.kill().unwrap();
        child.wait().unwrap();
    }
    let (mut sink, table) = open(config(&dir.path().join("table"))).await.unwrap();
    let through = sink.recover().await.unwrap();
    assert!(through >= cursor(dir.path()));
    let seqs = stored_seqs(&table);
    let expected = (through.unwrap() + 1) * ROWS as u64;
    assert_eq!(seqs.len() as u64, expected);
    assert_eq!(seqs.last(), Some(&(expected as i64)));
    // What stands beside the files was written before the commits that name it.
    for file in table.snapshot().files.iter() {
        assert!(file.sidecar.contains_key("ids"), "{}", file.path);
        assert_eq!(table.check_sidecar(file).await.unwrap(), Vec::<String>::new(), "{}", file.path);
    }
}
