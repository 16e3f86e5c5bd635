//! Others read the table: Python's `deltalake` with pyarrow the table, DuckDB its files.

use std::path::{Path, PathBuf};
use std::process::Command;

use super::sidecars::make_sidecars;
use super::{Feed, SECOND, T0, config, open};

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

#[tokio::test(flavor = "multi_thread")]
async fn python_reads_what_was_written() {
    let Some(python) = python() else { return };
    let dir = tempfile::tempdir().unwrap();
    let mut feed = Feed::new();
    let (mut sink, table) = open(config(dir.path())).await.unwrap();
    for frame in feed.frames(12, 100) {
        sink.deliver(&[frame]).await.unwrap();
    }
    assert_eq!(table.compact_by(T0 + 7_200 * SECOND).await.unwrap(), 12);
    table.checkpoint().await.unwrap();
    feed.skip_to(T0 + (24 * 3_600 + 10) * SECOND);
    sink.deliver(&[feed.frame(100)]).await.unwrap();
    make_sidecars(&table);

    let output = Command::new(python).args(["-c", READ]).arg(dir.path()).output().unwrap();
    let (stdout, stderr) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{stderr}");
    assert_eq!(stdout.trim(), "1 2 1300 100 True 1300 12", "{stderr}");
}
