//! A lookup by id reads one file, an audit six columns, and both say so; the store agrees.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::ops::Range;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use futures::stream::BoxStream;
use object_store::path::Path;
use object_store::{
    CopyOptions, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore, PutMultipartOptions,
    PutOptions, PutPayload, PutResult, Result,
};
use parquet::file::reader::{FileReader, SerializedFileReader};
use tollgate_queries::questions::ask;
use tollgate_queries::{Engine, Limits, Source};
use tollgate_table::{Snapshot, Table};

use super::fixture::{Fixture, PRODUCERS, rows};
use super::rollups::three_hours;

/// A store that remembers which files were read, and which ranges of column data.
#[derive(Debug)]
struct Watched {
    inner: Arc<dyn ObjectStore>,
    read: Mutex<BTreeSet<String>>,
    ranges: Mutex<Vec<(Path, Range<u64>)>>,
}

impl Watched {
    fn over(table: &Table) -> Arc<Self> {
        Arc::new(Self { inner: table.store(), read: Mutex::default(), ranges: Mutex::default() })
    }

    /// The data files that were read since the last call.
    fn opened(&self) -> BTreeSet<String> {
        let mut read = std::mem::take(&mut *self.read.lock().expect("lock"));
        read.retain(|path| !path.starts_with("_tollgate"));
        read
    }
}

impl fmt::Display for Watched {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("watched")
    }
}

#[async_trait::async_trait]
impl ObjectStore for Watched {
    async fn put_opts(&self, at: &Path, payload: PutPayload, options: PutOptions) -> Result<PutResult> {
        self.inner.put_opts(at, payload, options).await
    }

    async fn put_multipart_opts(&self, at: &Path, options: PutMultipartOptions) -> Result<Box<dyn MultipartUpload>> {
        self.inner.put_multipart_opts(at, options).await
    }

    async fn get_opts(&self, at: &Path, options: GetOptions) -> Result<GetResult> {
        self.read.lock().expect("lock").insert(at.to_string());
        self.inner.get_opts(at, options).await
    }

    // The scan asks for pages and for footers this way.
    async fn get_ranges(&self, at: &Path, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
        self.read.lock().expect("lock").insert(at.to_string());
        self.ranges.lock().expect("lock").extend(ranges.iter().map(|range| (at.clone(), range.clone())));
        self.inner.get_ranges(at, ranges).await
    }

    fn delete_stream(&self, locations: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        self.inner.delete_stream(locations)
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.inner.list(prefix)
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.inner.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.inner.copy_opts(from, to, options).await
    }
}

#[derive(Debug)]
struct WatchedTable {
    table: Arc<Table>,
    store: Arc<Watched>,
}

impl Source for WatchedTable {
    fn snapshot(&self) -> Snapshot {
        self.table.snapshot()
    }

    fn store(&self) -> Arc<dyn ObjectStore> {
        self.store.clone()
    }
}

const FILES: i64 = 8;

/// Eight files of a hundred rows each, and no hot row.
async fn watched() -> (Fixture, Engine, Arc<Watched>) {
    let mut fixture = Fixture::empty(Limits::default()).await;
    for file in 0..FILES {
        for (index, producer) in PRODUCERS.iter().enumerate() {
            let rows = (file * 100..(file + 1) * 100).filter(|row| (row % 2) as usize == index);
            fixture.rows(producer, rows).await;
        }
        fixture.commit().await;
    }
    let (engine, store) = watched_engine(&fixture, Limits::default());
    (fixture, engine, store)
}

fn watched_engine(fixture: &Fixture, limits: Limits) -> (Engine, Arc<Watched>) {
    let store = Watched::over(&fixture.table);
    let source = WatchedTable { table: fixture.table.clone(), store: store.clone() };
    (Engine::new(Arc::new(source), limits).expect("engine"), store)
}

#[tokio::test]
async fn a_request_id_opens_one_file_of_many() {
    let (fixture, engine, store) = watched().await;
    assert!(fixture.table.snapshot().files.len() >= FILES as usize);
    for row in [0, 150, 799] {
        store.read.lock().expect("lock").clear();
        let sql = format!("SELECT * FROM transactions WHERE request_id = '{}'", fixture.id(row));
        let result = engine.query(&sql).await.expect("answer");
        assert_eq!(result.rows(), 1);
        assert_eq!(result.scanned.files_total, fixture.table.snapshot().files.len());
        assert_eq!(result.scanned.files_read, 1, "row {row}");
        assert_eq!(store.read.lock().expect("lock").len(), 1, "row {row}");
    }
}

#[tokio::test]
async fn ranges_of_time_and_of_numbers_prune_files() {
    let (fixture, engine, store) = watched().await;
    let at = |row| format!("to_timestamp_micros({})", fixture.time_us(row));
    let cases = [
        (format!("time >= {} AND time < {}", at(100), at(200)), 1),
        (format!("time BETWEEN {} AND {}", at(250), at(350)), 2),
        ("seq <= 50".to_owned(), 1),
        (format!("time < {}", at(0)), 0),
        ("service = 'nosuch'".to_owned(), 0),
        (format!("request_id = '{}' AND status >= 200", fixture.id(10)), 1),
    ];
    for (filter, files) in cases {
        store.read.lock().expect("lock").clear();
        let result =
            engine.query(&format!("SELECT count(path) FROM transactions WHERE {filter}")).await.expect("answer");
        assert_eq!(result.scanned.files_read, files, "{filter}");
        assert_eq!(store.read.lock().expect("lock").len(), files, "{filter}");
    }
}

#[tokio::test]
async fn counting_all_rows_reads_no_file() {
    let (_fixture, engine, store) = watched().await;
    let result = engine.query("SELECT count(*) FROM transactions").await.expect("answer");
    assert_eq!(result.rows(), 1);
    assert_eq!(store.read.lock().expect("lock").len(), 0);
}

/// What the numbers of producers are judged by.
const IDENTITY: [&str; 6] = ["gap_count", "gap_reason", "kind", "producer", "seq", "time"];

#[tokio::test]
async fn an_audit_reads_the_columns_of_identity_and_no_byte_of_another() {
    let (_fixture, engine, store) = watched().await;
    ask(&engine, "missing-records", &BTreeMap::new()).await.expect("answer");
    let ranges = std::mem::take(&mut *store.ranges.lock().expect("lock"));
    let mut columns = BTreeSet::new();
    for (file, read) in ranges {
        let bytes =
            store.inner.get_opts(&file, GetOptions::default()).await.expect("file").bytes().await.expect("bytes");
        let reader = SerializedFileReader::new(bytes).expect("parquet");
        for chunk in reader.metadata().row_groups().iter().flat_map(|group| group.columns()) {
            let (start, length) = chunk.byte_range();
            if read.start < start + length && start < read.end {
                columns.insert(chunk.column_path().string());
            }
        }
    }
    assert!(columns.contains("seq") && columns.contains("producer"), "{columns:?}");
    assert!(columns.iter().all(|column| IDENTITY.contains(&column.as_str())), "{columns:?}");
}

#[tokio::test]
async fn hot_batches_are_pruned_by_time() {
    let fixture = Fixture::new().await;
    let sql = format!("SELECT path FROM transactions WHERE request_id = '{}'", fixture.id(1_100));
    let result = fixture.engine.query(&sql).await.expect("answer");
    assert_eq!((result.rows(), result.scanned.files_read), (1, 0));
    assert!(result.scanned.hot_batches_read <= 2 && result.scanned.hot_batches_total == 4, "{:?}", result.scanned);
}

#[tokio::test]
async fn the_newest_rows_open_a_few_files_of_many() {
    let (fixture, engine, store) = watched().await;
    let all = fixture.table.snapshot().files.len();
    let newest = "SELECT seq, path, request_id FROM transactions ORDER BY time DESC LIMIT 100";
    let cases = [
        (newest.to_owned(), 100, 2),
        ("SELECT * FROM transactions ORDER BY time DESC, seq LIMIT 10 OFFSET 5".to_owned(), 10, 2),
        ("SELECT t FROM (SELECT time AS t, path FROM transactions) ORDER BY t LIMIT 20".to_owned(), 20, 2),
        (format!("SELECT path FROM ({newest}) WHERE seq > 0"), 100, 2),
        // A filter may leave any row out: the files are read from the newest on, until there are enough.
        ("SELECT path FROM transactions WHERE status = 200 ORDER BY time DESC LIMIT 10".to_owned(), 10, 4),
    ];
    for (sql, count, files) in cases {
        store.opened();
        let result = engine.query(&sql).await.expect("answer");
        let opened = store.opened().len();
        let plan = rows(&engine, &format!("EXPLAIN {sql}")).await;
        assert!(opened <= files && opened < all, "{sql}: {opened} of {all} files\n{plan:#?}");
        assert_eq!(result.rows(), count, "{sql}");
    }
    let expected: Vec<i64> = (790..800).rev().map(|row| fixture.time_us(row)).collect();
    let sql = "SELECT CAST(time AS bigint) AS t FROM transactions ORDER BY time DESC LIMIT 10";
    let times: Vec<i64> = rows(&engine, sql).await.iter().filter_map(|row| row["t"].as_i64()).collect();
    assert_eq!(times, expected);
}

#[tokio::test]
async fn the_ends_of_time_and_the_number_of_rows_open_no_file() {
    let (mut fixture, engine, store) = watched().await;
    let sql =
        "SELECT CAST(min(time) AS bigint) AS low, CAST(max(time) AS bigint) AS high, count(*) AS n FROM transactions";
    for (last, count) in [(799, 800), (848, 825)] {
        store.opened();
        let answer = rows(&engine, sql).await;
        assert_eq!(store.opened(), BTreeSet::new());
        let expected = (Some(fixture.time_us(0)), Some(fixture.time_us(last)), Some(count));
        assert_eq!((answer[0]["low"].as_i64(), answer[0]["high"].as_i64(), answer[0]["n"].as_i64()), expected);
        // Hot rows know their ends too.
        if count == 800 {
            fixture.rows(PRODUCERS[0], (800..850).step_by(2)).await;
        }
    }
}

#[tokio::test]
async fn an_id_opens_the_files_that_can_hold_it() {
    let (fixture, engine, store) = watched().await;
    let trace = format!("{:032x}", 150);
    for (filter, found) in [
        ("correlation_id = 'order-150'".to_owned(), 1),
        (format!("trace_id = '{trace}'"), 1),
        ("client_ip = '10.0.0.150'".to_owned(), 1),
        ("correlation_id IN ('order-150', 'order-160')".to_owned(), 2),
        ("correlation_id = 'no such order'".to_owned(), 0),
        ("trace_id = 'no trace'".to_owned(), 0),
        (format!("correlation_id = 'order-150' AND time >= to_timestamp_micros({})", fixture.base_us), 1),
    ] {
        store.opened();
        let answer = engine.query(&format!("SELECT path FROM transactions WHERE {filter}")).await.expect("answer");
        assert_eq!(answer.rows(), found, "{filter}");
        let opened = store.opened().len();
        assert!(opened <= 2 && answer.scanned.files_read == opened, "{filter}: {opened} files, {:?}", answer.scanned);
    }
    let sql = "SELECT path FROM transactions WHERE correlation_id = 'order-150' OR seq = 1";
    assert_eq!(engine.query(sql).await.expect("answer").rows(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn files_without_failures_are_not_opened_for_failures() {
    let fixture = three_hours().await;
    let (engine, store) = watched_engine(&fixture, Limits::default());
    let files = fixture.table.snapshot().files;
    let with = |column: &str, value: &str| {
        files.iter().filter(|file| file.values.get(column).is_none_or(|values| values.contains(value))).count()
    };
    let failing = files.iter().filter(|file| file.values.get("error_class").is_none_or(|values| !values.is_empty()));
    for (filter, holding) in [
        ("auth_result = 'failed'", with("auth_result", "failed")),
        ("waf_action = 'blocked'", with("waf_action", "blocked")),
        ("acl_decision IN ('deny', 'nothing')", with("acl_decision", "deny")),
        ("error_class IS NOT NULL", failing.count()),
        ("kind <> 'transaction'", with("kind", "handshake_failed")),
    ] {
        store.opened();
        let sql = format!("SELECT count(path), count(*) AS n FROM transactions WHERE {filter}");
        let answer = engine.query(&sql).await.expect("answer");
        let opened = store.opened().len();
        assert!(opened <= holding && holding < files.len(), "{filter}: {opened} of {holding} of {}", files.len());
        assert_eq!(answer.scanned.files_read, holding, "{filter}");
    }
}

#[tokio::test]
async fn a_conjunct_reaches_the_files_once() {
    let (fixture, engine, _store) = watched().await;
    let sql =
        format!("EXPLAIN SELECT path FROM transactions WHERE status >= 500 AND request_id <> '{}'", fixture.id(1));
    let plan = rows(&engine, &sql).await.iter().map(ToString::to_string).collect::<String>();
    let predicate = plan.split("predicate=").nth(1).and_then(|rest| rest.split(", pruning").next()).unwrap_or_default();
    assert_eq!(predicate.matches(">= 500").count(), 1, "{plan}");
}

#[tokio::test]
async fn footers_are_read_once_while_there_is_room_for_them() {
    let (fixture, engine, store) = watched().await;
    let sql = "SELECT count(DISTINCT path) FROM transactions";
    engine.query(sql).await.expect("answer");
    assert_eq!(footers_read(&fixture, &store), FILES as usize);
    engine.query(sql).await.expect("answer");
    assert_eq!(footers_read(&fixture, &store), 0);
    let (engine, store) = watched_engine(&fixture, Limits { metadata_bytes_max: 0, ..Limits::default() });
    for _ in 0..2 {
        engine.query(sql).await.expect("answer");
        assert_eq!(footers_read(&fixture, &store), FILES as usize);
    }
}

/// The files whose ends were read since the last call.
fn footers_read(fixture: &Fixture, store: &Watched) -> usize {
    let snapshot = fixture.table.snapshot();
    let ends: BTreeSet<_> = snapshot.files.iter().map(|file| (file.location().to_string(), file.size)).collect();
    let ranges = std::mem::take(&mut *store.ranges.lock().expect("lock"));
    let read: BTreeSet<_> = ranges.into_iter().map(|(file, range)| (file.to_string(), range.end)).collect();
    ends.intersection(&read).count()
}
