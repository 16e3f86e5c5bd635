//! What stands beside data files lives as long as they do, and nobody else sees it.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use deltalake::operations::vacuum::VacuumMode;
use url::Url;

use super::{Feed, SECOND, T0, config, open, stored_seqs};
use crate::Table;
use crate::durable::Disk;
use crate::rollup::ROLLUPS;
use crate::sidecar::{self, rebuilt};

const HOUR: i64 = 3_600 * SECOND;

/// Makes roll-ups and filters beside every active data file, whatever its writer made.
fn make_sidecars(table: &Table) {
    for file in table.snapshot().files.iter() {
        sidecar::discard(table.root(), &file.path);
        let parts = rebuilt(table.root(), file, None).unwrap();
        let parts = parts.write(&Disk::default(), table.root(), &file.path).unwrap();
        assert_eq!(parts.len(), ROLLUPS.len() + 1);
    }
}

/// Folders beside data files.
fn folders(root: &Path) -> usize {
    let days = std::fs::read_dir(root.join("_tollgate/v1")).unwrap();
    days.map(|day| std::fs::read_dir(day.unwrap().path()).unwrap().count()).sum()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sidecar_goes_when_its_data_file_is_gone() {
    let dir = tempfile::tempdir().unwrap();
    let mut feed = Feed::new();
    let (mut sink, table) = open(config(dir.path())).await.unwrap();
    for frame in feed.frames(10, 30) {
        sink.deliver(&[frame]).await.unwrap();
    }
    make_sidecars(&table);
    let files = table.snapshot().files;
    assert_eq!(folders(table.root()), 10);
    assert_eq!(table.compact_by(T0 + 2 * HOUR).await.unwrap(), 10);
    let after_merge = folders(table.root());
    // No version needs them, and older readers may.
    assert_eq!(table.collect_sidecars_older_than(Duration::ZERO).await.unwrap(), 0);
    for file in files.iter() {
        std::fs::remove_file(table.root().join(&file.path)).unwrap();
    }
    assert_eq!(table.collect_sidecars().await.unwrap(), 0, "too young");
    assert_eq!(table.collect_sidecars_older_than(Duration::ZERO).await.unwrap(), 10);
    assert_eq!(folders(table.root()), after_merge - 10);
    // An active file keeps its own.
    make_sidecars(&table);
    assert_eq!(table.collect_sidecars_older_than(Duration::ZERO).await.unwrap(), 0);
    assert_eq!(stored_seqs(&table).len(), 300);
}

#[tokio::test(flavor = "multi_thread")]
async fn deltas_own_vacuum_spares_sidecars() {
    let dir = tempfile::tempdir().unwrap();
    let mut feed = Feed::new();
    let (mut sink, table) = open(config(dir.path())).await.unwrap();
    sink.deliver(&[feed.frame(30)]).await.unwrap();
    make_sidecars(&table);
    let day = table.root().join("date=2026-11-23");
    std::fs::write(day.join("orphan.parquet"), "of nobody").unwrap();
    let delta = deltalake::open_table(Url::from_directory_path(table.root()).unwrap()).await.unwrap();
    let vacuum = delta.vacuum().with_mode(VacuumMode::Full).with_retention_period(chrono::Duration::zero());
    let (_, metrics) = vacuum.with_enforce_retention_duration(false).await.unwrap();
    assert_eq!(metrics.files_deleted.len(), 1, "{:?}", metrics.files_deleted);
    assert!(!day.join("orphan.parquet").exists());
    let file = &table.snapshot().files[0];
    for part in ROLLUPS.iter().map(|rollup| rollup.name).chain(["ids"]) {
        assert!(table.root().join(file.sidecar_path(part)).exists(), "{part}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_check_tells_what_is_not_of_the_rows() {
    let dir = tempfile::tempdir().unwrap();
    let mut feed = Feed::new();
    let (mut sink, table) = open(config(dir.path())).await.unwrap();
    for frame in feed.frames(2, 500) {
        sink.deliver(&[frame]).await.unwrap();
    }
    let files = table.snapshot().files;
    let made = files.iter().map(|file| {
        sidecar::discard(table.root(), &file.path);
        let parts = rebuilt(table.root(), file, None).unwrap();
        let mut file = file.clone();
        file.sidecar = Arc::new(parts.write(&Disk::default(), table.root(), &file.path).unwrap());
        file
    });
    let made: Vec<_> = made.collect();
    for file in &made {
        assert_eq!(table.check_sidecar(file).await.unwrap(), Vec::<String>::new());
    }
    // The parts of one file beside the rows of the other.
    for part in made[0].sidecar.keys() {
        std::fs::copy(table.root().join(made[1].sidecar_path(part)), table.root().join(made[0].sidecar_path(part)))
            .unwrap();
    }
    let mut found = table.check_sidecar(&made[0]).await.unwrap();
    found.sort();
    let parts: Vec<&str> = found.iter().filter_map(|difference| Some(difference.split_once(':')?.0)).collect();
    assert_eq!(parts, ["certificate_1h", "ids", "producer_1h", "service_1h", "service_5m", "tls_1h"], "{found:?}");
}
