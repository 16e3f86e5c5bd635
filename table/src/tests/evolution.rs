//! Tables of other versions, and tables that are none.

use arrow_array::Array as _;
use arrow_array::cast::AsArray as _;
use deltalake::kernel::transaction::CommitProperties;
use deltalake::kernel::{DataType, StructField};
use deltalake::operations::create::CreateBuilder;
use tollgate_record::schema;

use super::{Feed, config, open, stored_seqs};
use crate::delta;
use crate::{Table, TableError};

/// Creates a table with the record's columns, changed by `change`.
async fn create(dir: &std::path::Path, change: impl FnOnce(&mut Vec<StructField>)) {
    let mut fields = delta::fields().unwrap();
    change(&mut fields);
    let created = CreateBuilder::new()
        .with_location(url::Url::from_directory_path(dir).unwrap())
        .with_columns(fields)
        .with_partition_columns([delta::DATE])
        .with_commit_properties(CommitProperties::default());
    created.await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_older_table_gets_the_columns_that_it_lacks() {
    let dir = tempfile::tempdir().unwrap();
    create(dir.path(), |fields| fields.retain(|field| !["waf_us", "auth_groups"].contains(&field.name().as_str())))
        .await;
    let (mut sink, table) = open(config(dir.path())).await.unwrap();
    assert_eq!(table.snapshot().version, 1);
    sink.deliver(&[Feed::new().frame(10)]).await.unwrap();
    assert_eq!(stored_seqs(&table).len(), 10);
    drop((sink, table));
    let (_sink, table) = open(config(dir.path())).await.unwrap();
    assert_eq!(table.snapshot().version, 2, "nothing is added twice");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_newer_table_keeps_its_columns() {
    let dir = tempfile::tempdir().unwrap();
    create(dir.path(), |fields| fields.push(StructField::nullable("quantum_us", DataType::LONG))).await;
    let (mut sink, table) = open(config(dir.path())).await.unwrap();
    sink.deliver(&[Feed::new().frame(10)]).await.unwrap();
    assert_eq!(table.snapshot().version, 1);
    assert_eq!(stored_seqs(&table).len(), 10);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_column_of_another_type_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    create(dir.path(), |fields| {
        fields.retain(|field| field.name() != "status");
        fields.push(StructField::nullable("status", DataType::STRING));
    })
    .await;
    let refused = open(config(dir.path())).await.map(drop);
    assert!(matches!(&refused, Err(TableError::Schema(problem)) if problem.contains("`status`")), "{refused:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_can_be_read_while_another_process_writes_it() {
    let dir = tempfile::tempdir().unwrap();
    let absent = Table::open_read_only(dir.path()).await.map(drop);
    assert!(matches!(absent, Err(TableError::Absent(_))), "{absent:?}");

    let mut feed = Feed::new();
    let (mut sink, _table) = open(config(dir.path())).await.unwrap();
    sink.deliver(&[feed.frame(10)]).await.unwrap();
    let reader = Table::open_read_only(dir.path()).await.unwrap();
    assert_eq!((reader.snapshot().rows(), reader.snapshot().through), (10, None));
    sink.deliver(&[feed.frame(10)]).await.unwrap();
    assert_eq!(reader.snapshot().rows(), 10);
    reader.refresh().await.unwrap();
    assert_eq!((reader.snapshot().rows(), reader.snapshot().version), (20, 2));
    assert_eq!(stored_seqs(&reader).len(), 20);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_that_has_slept_past_the_cleaning_of_the_log_catches_up() {
    let dir = tempfile::tempdir().unwrap();
    let mut feed = Feed::new();
    let (mut sink, table) = open(config(dir.path())).await.unwrap();
    let reader = Table::open_read_only(dir.path()).await.unwrap();
    for frame in feed.frames(5, 10) {
        sink.deliver(&[frame]).await.unwrap();
    }
    table.checkpoint().await.unwrap();
    for version in 0..4 {
        std::fs::remove_file(dir.path().join(format!("_delta_log/{version:020}.json"))).unwrap();
    }
    sink.deliver(&[feed.frame(10)]).await.unwrap();
    reader.refresh().await.unwrap();
    assert_eq!((reader.snapshot().rows(), reader.snapshot().version), (60, 6));
    assert_eq!(reader.snapshot().files, table.snapshot().files);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_column_that_is_added_meanwhile_stops_nobody() {
    let dir = tempfile::tempdir().unwrap();
    let mut feed = Feed::new();
    let (mut sink, table) = open(config(dir.path())).await.unwrap();
    sink.deliver(&[feed.frame(10)]).await.unwrap();
    let url = url::Url::from_directory_path(dir.path()).unwrap();
    let other = deltalake::open_table(url).await.unwrap();
    other.add_columns().with_fields([StructField::nullable("quantum_us", DataType::LONG)]).await.unwrap();
    sink.deliver(&[feed.frame(10)]).await.unwrap();
    assert_eq!((table.snapshot().rows(), table.snapshot().version), (20, 3));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_reads_back_as_the_batch_that_it_came_from() {
    use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder as Reader;
    let dir = tempfile::tempdir().unwrap();
    let (mut sink, table) = open(config(dir.path())).await.unwrap();
    let frame = Feed::new().frame(200);
    sink.deliver(std::slice::from_ref(&frame)).await.unwrap();
    let snapshot = table.snapshot();
    let file = std::fs::File::open(dir.path().join(&snapshot.files[0].path)).unwrap();
    let reader = Reader::try_new(file).unwrap();
    assert_eq!(reader.schema().fields(), schema::table().fields());
    let stored = reader.build().unwrap().next().unwrap().unwrap();

    let sent = &frame.batch.records;
    let order = crate::rows::order_by(&crate::rows::RowBatches::of(vec![sent.clone()]), &["time"]).unwrap();
    let sent = arrow::compute::take_record_batch(sent, &order).unwrap();
    for (at, field) in schema::table().fields().iter().enumerate() {
        let sent = arrow::compute::cast(sent.column(at), field.data_type()).unwrap();
        assert_eq!(stored.column(at), &sent, "{}", field.name());
    }
    let groups = stored.column_by_name("auth_groups").unwrap().as_list::<i32>();
    assert_eq!((groups.len(), groups.value(0).len()), (200, 2));
    let range = &snapshot.files[0].stats["service"];
    assert_eq!(range.min.as_ref().unwrap(), "claims");
    assert_eq!(range.max.as_ref().unwrap(), "pharmacy");
}
