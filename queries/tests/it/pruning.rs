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

use super::fixture::{Fixture, PRODUCERS};

/// A store that remembers which files were read, and which ranges of column data.
#[derive(Debug)]
struct Watched {
    inner: Arc<dyn ObjectStore>,
    read: Mutex<BTreeSet<String>>,
    ranges: Mutex<Vec<(Path, Range<u64>)>>,
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

    // The scan asks for pages this way, and for footers by `get_opts`.
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
    let store = Arc::new(Watched { inner: fixture.table.store(), read: Mutex::default(), ranges: Mutex::default() });
    let source = WatchedTable { table: fixture.table.clone(), store: store.clone() };
    let engine = Engine::new(Arc::new(source), Limits::default()).expect("engine");
    (fixture, engine, store)
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
