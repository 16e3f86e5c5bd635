//! Others read the table: Python's `deltalake` with pyarrow the table, DuckDB its files.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use super::{Feed, SECOND, T0, config, open_at};

const READ: &str = r#"
import datetime, sys, deltalake, duckdb
table = deltalake.DeltaTable(sys.argv[1])
protocol = table.protocol()
rows = table.to_pyarrow_table()
seqs = sorted(rows["seq"].to_pylist())
assert seqs == list(range(1, len(seqs) + 1)), "a seq is missing or doubled"
days = table.to_pyarrow_table(filters=[("date", "=", datetime.date(2026, 11, 24))])
groups = rows["auth_groups"].to_pylist()
assert all(g == ["staff", "claims-readers"] for g in groups), groups[0]
stats = table.get_add_actions(flatten=True)
errors = duckdb.sql("select count(*) from rows where error_class = 'connect_refused' and status = 502").fetchall()[0][0]
files = [table.table_uri.removeprefix("file://").rstrip("/") + "/" + path for path in table.to_pyarrow_dataset().files]
parquet = duckdb.sql(f"select count(*), min(time)::varchar from read_parquet({files})").fetchall()[0]
print(protocol.min_reader_version, protocol.min_writer_version, rows.num_rows, days.num_rows, errors > 0, parquet[0], table.transaction_version("tollgate-journal-default"), sep=" ")
"#;

/// An interpreter with the packages, made by the script of the repository. `None` where it cannot be had.
fn python() -> Option<PathBuf> {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../scripts/python-tools.sh");
    let output = Command::new(&script).output();
    let found = output.ok().filter(|output| output.status.success()).and_then(|output| {
        let text = String::from_utf8(output.stdout).ok()?;
        Some(PathBuf::from(text.lines().last()?))
    });
    if found.is_none() {
        assert!(std::env::var("CI").as_deref() != Ok("true"), "{} must work in CI", script.display());
        eprintln!("SKIPPED: {} failed, so no other reader was tried", script.display());
    }
    found
}

/// What Python sees: versions, rows, rows of the second day, whether failures are there, rows of the files, position.
fn read(python: &Path, dir: &Path) -> String {
    let output = Command::new(python).args(["-c", READ]).arg(dir).output().unwrap();
    let (stdout, stderr) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{stderr}");
    stdout.trim().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn python_reads_what_was_written_after_every_step_of_maintenance() {
    let Some(python) = python() else { return };
    let dir = tempfile::tempdir().unwrap();
    let mut feed = Feed::new();
    let now_us = Arc::new(AtomicI64::new(T0 + 60 * SECOND));
    let (mut sink, table) = open_at(config(dir.path()), &now_us).await.unwrap();
    for frame in feed.frames(12, 100) {
        sink.deliver(&[frame]).await.unwrap();
    }
    assert_eq!(read(&python, dir.path()), "1 2 1200 0 True 1200 11");
    let merge_at = async |at_us| {
        now_us.store(at_us, Ordering::SeqCst);
        table.compact_by(at_us).await.unwrap()
    };
    assert_eq!(merge_at(T0 + 360 * SECOND).await, 12);
    assert_eq!(read(&python, dir.path()), "1 2 1200 0 True 1200 11");
    feed.skip_to(T0 + 1_800 * SECOND);
    sink.deliver(&[feed.frame(100)]).await.unwrap();
    // The five minutes, and then the hour, by rows as they are few.
    assert_eq!(merge_at(T0 + 3 * 3_600 * SECOND).await, 1 + 4);
    assert_eq!(table.snapshot().files.iter().map(|file| file.level).collect::<Vec<_>>(), [2, 2]);
    table.checkpoint().await.unwrap();
    table.vacuum().await.unwrap();
    feed.skip_to(T0 + (24 * 3_600 + 10) * SECOND);
    sink.deliver(&[feed.frame(100)]).await.unwrap();
    assert_eq!(read(&python, dir.path()), "1 2 1400 100 True 1400 13");
}
