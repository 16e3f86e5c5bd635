//! Whatever the rows, and however they are split into files and put together again: cells are the sums of the rows, and
//! filters deny nothing.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use arrow::util::display::array_value_to_string;
use arrow_array::cast::AsArray as _;
use arrow_array::types::{Int64Type, TimestampMicrosecondType};
use arrow_array::{Array as _, RecordBatch};
use object_store::ObjectStore;
use proptest::prelude::*;
use tollgate_record::vocabulary::{ErrorClass, Kind, MtlsVerify};
use tollgate_record::{BatchBuilder, BatchHeader, DecodeLimits, Record, SealLimits, decode};
use tollgate_sketch::Sketch;

use super::{SidecarBuilder, concatenate, part_path, verified};
use crate::durable::{Disk, DurableStore};
use crate::rollup::{self, Part, ROLLUPS, ROWS, Rollup, RollupBuilder};
use crate::snapshot::DataFile;
use crate::tags::RowOrder;
use crate::{candidates, row_groups_with, sidecars_damaged_total};

/// 2026-11-23T09:00:00Z.
const T0: i64 = 1_795_424_400_000_000;

struct Scatter(u64);

impl Scatter {
    fn below(&mut self, below: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        (mixed ^ (mixed >> 27)) % below
    }

    fn text<'a>(&mut self, texts: &[&'a str]) -> Option<&'a str> {
        texts.get(self.below(texts.len() as u64 + 1) as usize).copied()
    }

    fn number(&mut self, below: u64) -> Option<i64> {
        (self.below(9) > 0).then(|| self.below(below) as i64)
    }
}

/// Rows as they come from one producer.
fn rows(scatter: &mut Scatter, rows: usize) -> RecordBatch {
    let node = ["gate-1", "gate-2"][scatter.below(2) as usize];
    let header = BatchHeader {
        producer: format!("{node}/6441d2f3a7c00/{}", scatter.below(2)),
        node_id: node.to_owned(),
        ..BatchHeader::default()
    };
    let mut builder = BatchBuilder::new(header, SealLimits::default());
    for seq in 1..=rows as i64 {
        let (trace, hash) = ([scatter.below(256) as u8; 16], [scatter.below(3) as u8; 32]);
        let certificate = scatter.below(3) == 0;
        let correlation_id = format!("corr-{}", scatter.below(1 << 40));
        let client_ip = format!("10.0.0.{}", scatter.below(40));
        builder.append(&Record {
            time_us: T0 + scatter.below(4_000_000_000) as i64,
            seq,
            kind: [Kind::Transaction, Kind::HandshakeFailed][scatter.below(2) as usize],
            correlation_id: (scatter.below(4) > 0).then_some(correlation_id.as_str()),
            trace_id: (scatter.below(4) > 0).then_some(&trace),
            client_ip: Some(&client_ip),
            service: scatter.text(&["members", "claims", "pharmacy"]),
            app_id: scatter.text(&["core"]),
            consumer: scatter.text(&["portal", "batch"]),
            status: scatter.text(&["x"]).map(|_| 200 + 100 * scatter.below(4) as i32),
            error_class: scatter.text(&["x"]).map(|_| ErrorClass::ConnectRefused),
            tls_version: scatter.text(&["1.2", "1.3"]),
            tls_cipher: scatter.text(&["TLS_AES_128_GCM_SHA256"]),
            tls_resumed: scatter.text(&["x"]).map(|_| scatter.below(2) == 0),
            http_version: scatter.text(&["1.1", "2"]),
            mtls_verify: scatter.text(&["x"]).map(|_| MtlsVerify::Success),
            client_cert_sha256: certificate.then_some(&hash),
            client_cert_subject: scatter.text(&["CN=a", "CN=b"]).filter(|_| certificate),
            client_cert_serial: scatter.text(&["01", "02"]).filter(|_| certificate),
            client_cert_not_after_us: certificate.then(|| T0 + scatter.below(2) as i64),
            // Few values, so that cells have several, and some that make sums wrap.
            total_us: scatter.number(3_000).map(|us| if us == 7 { i64::MAX / 3 } else { us }),
            gateway_us: scatter.number(100),
            upstream_ttfb_us: scatter.number(1_000),
            request_bytes: scatter.number(10),
            response_bytes: scatter.number(1 << 40),
            gap_count: scatter.number(5),
            ..Record::default()
        });
    }
    let sealed = builder.seal(1).unwrap();
    decode(&sealed.bytes, &DecodeLimits::default()).unwrap().records
}

/// A data file's row groups, and what the log says of it. The data file itself is not there.
struct Written {
    groups: Vec<RecordBatch>,
    file: DataFile,
}

fn data_file(name: &str, rows: usize) -> DataFile {
    DataFile {
        path: format!("date=2026-11-23/{name}.parquet"),
        size: 1,
        modified_ms: 0,
        rows: rows as u64,
        date: Some("2026-11-23".to_owned()),
        min_time_us: T0,
        max_time_us: T0 + 4_000_000_000,
        min_seq: 0,
        max_seq: i64::MAX,
        stats: Arc::default(),
        order: RowOrder::Unknown,
        values: Arc::default(),
        sidecar: Arc::default(),
        level: 0,
        failures: None,
    }
}

fn write(root: &Path, name: &str, groups: Vec<RecordBatch>, chunk: usize) -> Written {
    let lengths: Vec<usize> = groups.iter().map(RecordBatch::num_rows).collect();
    let mut builder = SidecarBuilder::new(&lengths, true);
    let pairs = |by_group: bool| -> Vec<(usize, &'static str)> {
        let columns = SidecarBuilder::columns();
        let (outer, inner) = if by_group { (groups.len(), columns.len()) } else { (columns.len(), groups.len()) };
        let pairs = (0..outer).flat_map(|outer| (0..inner).map(move |inner| (outer, inner)));
        pairs.map(|(outer, inner)| if by_group { (outer, columns[inner]) } else { (inner, columns[outer]) }).collect()
    };
    for (at, column) in pairs(chunk.is_multiple_of(2)) {
        let values = groups[at].column_by_name(column).unwrap();
        for from in (0..values.len()).step_by(chunk) {
            builder.add(at, column, &values.slice(from, chunk.min(values.len() - from))).unwrap();
        }
    }
    let mut file = data_file(name, lengths.iter().sum());
    file.sidecar = Arc::new(builder.write(&Disk::default(), root, &file.path).unwrap());
    Written { groups, file }
}

fn joined(root: &Path, name: &str, inputs: Vec<Written>) -> Written {
    let files: Vec<DataFile> = inputs.iter().map(|input| input.file.clone()).collect();
    let mut file = data_file(name, files.iter().map(|file| file.rows as usize).sum());
    file.sidecar = Arc::new(concatenate(&Disk::default(), root, &files, &file.path).unwrap());
    Written { groups: inputs.into_iter().flat_map(|input| input.groups).collect(), file }
}

#[derive(Debug, Default, Clone, PartialEq)]
struct Sums {
    rows: i64,
    measures: BTreeMap<String, Numbers>,
}

/// Count, sum, smallest, largest and distribution.
type Numbers = (i64, i64, Option<i64>, Option<i64>, Sketch);
type Cells = BTreeMap<Vec<String>, Sums>;

fn integer(column: &arrow_array::ArrayRef, row: usize) -> Option<i64> {
    let value = match column.as_primitive_opt::<TimestampMicrosecondType>() {
        Some(times) => times.value(row),
        None => column.as_primitive::<Int64Type>().value(row),
    };
    column.is_valid(row).then_some(value)
}

/// The cells of rows, one row after the other.
fn brute_force(rollup: &Rollup, groups: &[RecordBatch]) -> Cells {
    let mut cells = Cells::new();
    for batch in groups {
        let column = |name: &str| batch.column_by_name(name).unwrap();
        for row in 0..batch.num_rows() {
            let bucket = integer(column("time"), row).unwrap().div_euclid(rollup.grain.us()) * rollup.grain.us();
            let keys = rollup.keys.iter().map(|key| match column(key).is_null(row) {
                true => "null".to_owned(),
                false => array_value_to_string(column(key), row).unwrap(),
            });
            let cell = cells.entry(keys.chain([bucket.to_string()]).collect()).or_default();
            cell.rows += 1;
            for measure in rollup.measures {
                let kept = cell.measures.entry(measure.column.to_owned()).or_default();
                let Some(value) = integer(column(measure.column), row) else { continue };
                kept.0 += 1;
                kept.1 = kept.1.wrapping_add(value);
                kept.2 = Some(kept.2.map_or(value, |min| min.min(value)));
                kept.3 = Some(kept.3.map_or(value, |max| max.max(value)));
                kept.4.add(value as f64);
            }
        }
    }
    cells
}

/// Compares a roll-up's file with the cells of its rows.
fn assert_cells(root: &Path, written: &Written, rollup: &Rollup) {
    let expected = brute_force(rollup, &written.groups);
    let batches = rollup::read(&part_path(root, &written.file.path, rollup.name)).unwrap();
    let batches: Vec<RecordBatch> = batches.map(Result::unwrap).collect();
    assert!(batches.iter().all(|batch| batch.schema() == rollup.schema()), "{}", rollup.name);
    let found = arrow::compute::concat_batches(&rollup.schema(), &batches).unwrap();
    assert_eq!(found.num_rows(), expected.len(), "{}", rollup.name);
    let column = |name: &str| found.column_by_name(name).unwrap();
    for row in 0..found.num_rows() {
        let keys = rollup.keys.iter().map(|key| match column(key).is_null(row) {
            true => "null".to_owned(),
            false => array_value_to_string(column(key), row).unwrap(),
        });
        let key: Vec<_> = keys.chain([integer(column("bucket"), row).unwrap().to_string()]).collect();
        let cell = &expected[&key];
        assert_eq!(integer(column(ROWS), row), Some(cell.rows));
        for measure in rollup.measures {
            let (count, sum, min, max, sketch) = &cell.measures[measure.column];
            for part in measure.parts {
                let values = column(&Rollup::column(measure.column, *part));
                match part {
                    Part::Count => assert_eq!(integer(values, row), Some(*count)),
                    Part::Sum => assert_eq!(integer(values, row), min.map(|_| *sum)),
                    Part::Min => assert_eq!(integer(values, row), *min),
                    Part::Max => assert_eq!(integer(values, row), *max),
                    Part::Sketch => {
                        let bytes = values.is_valid(row).then(|| values.as_binary::<i32>().value(row).to_vec());
                        assert_eq!(bytes, min.map(|_| sketch.to_bytes()), "sketches are equal byte for byte");
                    }
                }
            }
        }
    }
}

async fn assert_ids(store: &Arc<dyn ObjectStore>, written: &Written) {
    for (group, batch) in written.groups.iter().enumerate() {
        let texts = batch.column_by_name("correlation_id").unwrap().as_string::<i32>();
        let traces = batch.column_by_name("trace_id").unwrap().as_binary::<i32>();
        let addresses = batch.column_by_name("client_ip").unwrap().as_string::<i32>();
        for row in (0..batch.num_rows()).step_by(5) {
            let values = [
                ("correlation_id", texts.is_valid(row).then(|| texts.value(row).as_bytes())),
                ("trace_id", traces.is_valid(row).then(|| traces.value(row))),
                ("client_ip", Some(addresses.value(row).as_bytes())),
            ];
            for (column, value) in values.into_iter().filter_map(|(column, value)| Some((column, value?))) {
                let found = row_groups_with(store, &written.file, column, value).await.unwrap();
                assert!(found.contains(&group), "{column} is denied in row group {group}: {found:?}");
            }
        }
    }
    assert_eq!(row_groups_with(store, &written.file, "correlation_id", b"nobody's").await, Some(vec![]));
    assert_eq!(row_groups_with(store, &written.file, "service", b"members").await, None);
}

fn store(root: &Path) -> Arc<dyn ObjectStore> {
    Arc::new(DurableStore::rooted(root, Arc::default()).unwrap())
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().build().unwrap()
}

fn some_files(root: &Path, scatter: &mut Scatter, files: usize) -> Vec<Written> {
    let file = |at: usize, scatter: &mut Scatter| {
        let groups = (0..1 + scatter.below(3)).map(|_| {
            // Batches of two producers in one row group: their dictionaries differ.
            let parts = [1 + scatter.below(60) as usize, 1 + scatter.below(60) as usize].map(|len| rows(scatter, len));
            arrow::compute::concat_batches(&parts[0].schema(), &parts).unwrap()
        });
        let groups = groups.collect();
        write(root, &format!("part-{at}"), groups, 1 + scatter.below(50) as usize)
    };
    (0..files).map(|at| file(at, scatter)).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn cells_are_the_sums_of_the_rows_and_filters_deny_nothing(seed in any::<u64>(), files in 1_usize..6) {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().canonicalize().unwrap();
        let mut scatter = Scatter(seed);
        let mut written = some_files(&root, &mut scatter, files);
        let mut step = 0;
        while written.len() > 1 {
            let first = written.swap_remove(scatter.below(written.len() as u64) as usize);
            let second = written.swap_remove(scatter.below(written.len() as u64) as usize);
            written.push(joined(&root, &format!("joined-{step}"), vec![first, second]));
            step += 1;
        }
        let whole = &written[0];
        prop_assert_eq!(whole.file.sidecar.len(), ROLLUPS.len() + 1);
        ROLLUPS.iter().for_each(|rollup| assert_cells(&root, whole, rollup));
        let store = store(&root);
        runtime().block_on(async {
            assert_ids(&store, whole).await;
            for part in whole.file.sidecar.keys() {
                assert!(verified(&store, &whole.file, part).await, "{part}");
            }
        });
    }
}

#[test]
fn a_damaged_part_is_noticed_once_and_left_out_of_a_concatenation() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().canonicalize().unwrap();
    let files = some_files(&root, &mut Scatter(1), 4);
    let store = store(&root);
    let path = |at: usize, part: &str| part_path(&root, &files[at].file.path, part);
    let mut bytes = std::fs::read(path(0, "service_5m")).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 4;
    std::fs::write(path(0, "service_5m"), bytes).unwrap();
    std::fs::remove_file(path(1, "tls_1h")).unwrap();
    std::fs::remove_file(path(1, "ids")).unwrap();
    let short = std::fs::read(path(2, "ids")).unwrap();
    std::fs::write(path(2, "ids"), &short[1..]).unwrap();

    // Other tests count as well.
    let before = sidecars_damaged_total();
    runtime().block_on(async {
        for _ in 0..2 {
            assert!(!verified(&store, &files[0].file, "service_5m").await);
            assert!(!verified(&store, &files[1].file, "tls_1h").await);
            assert!(!verified(&store, &files[1].file, "nothing").await);
            assert!(verified(&store, &files[1].file, "service_5m").await);
            let asked: Vec<&DataFile> = files.iter().map(|written| &written.file).collect();
            let found = candidates(&store, &asked, "correlation_id", b"nobody's").await;
            assert_eq!(found, [(1, None), (2, None)], "files with damaged filters are scanned, others are left out");
        }
    });
    assert!(sidecars_damaged_total() >= before + 4);
    let whole = joined(&root, "joined", files);
    let parts: Vec<&str> = whole.file.sidecar.keys().map(String::as_str).collect();
    assert_eq!(parts, ["certificate_1h", "producer_1h", "service_1h"]);
}

#[test]
fn rows_without_a_time_and_columns_out_of_order_make_no_roll_ups() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path();
    let batch = rows(&mut Scatter(3), 20);
    let unordered = |columns: Vec<&str>| {
        let mut builder = SidecarBuilder::new(&[batch.num_rows()], true);
        for column in columns {
            builder.add(0, column, batch.column_by_name(column).unwrap()).unwrap();
        }
        builder
    };
    let mut late = SidecarBuilder::columns().to_vec();
    late.swap(1, 20);
    for (name, columns) in [("late", late), ("short", SidecarBuilder::columns()[1..].to_vec())] {
        let parts = unordered(columns).write(&Disk::default(), root, &format!("date=x/{name}.parquet")).unwrap();
        assert_eq!(parts.keys().collect::<Vec<_>>(), ["ids"], "{name}");
    }
    let mut builder = SidecarBuilder::new(&[2], true);
    let times = arrow_array::TimestampMicrosecondArray::from(vec![Some(1), None]).with_timezone("UTC");
    builder.add(0, "time", &(Arc::new(times) as arrow_array::ArrayRef)).unwrap();
    assert_eq!(builder.write(&Disk::default(), root, "date=x/null.parquet").unwrap().len(), 1);
}

#[test]
fn a_roll_up_with_too_many_cells_is_left_out_and_the_others_stay() {
    let batch = rows(&mut Scatter(5), 200);
    let made = |cells_max: usize| -> Vec<&'static str> {
        let mut builder = RollupBuilder::with_cells_max(&[batch.num_rows()], cells_max);
        for column in rollup::COLUMNS {
            builder.add(0, column, batch.column_by_name(column).unwrap()).unwrap();
        }
        builder.finish().unwrap().iter().map(|(rollup, _)| rollup.name).collect()
    };
    let cells = |name: &str| brute_force(Rollup::named(name).unwrap(), std::slice::from_ref(&batch)).len();
    assert!(cells("producer_1h") < 10 && cells("tls_1h") > 10);
    assert_eq!(made(10), ["producer_1h"]);
    let (tls, all) = (cells("tls_1h"), cells("service_5m").max(cells("certificate_1h")));
    assert!(made(tls).contains(&"tls_1h") && !made(tls - 1).contains(&"tls_1h"));
    assert_eq!(made(all.max(tls)).len(), 4);
}

#[test]
fn sums_that_do_not_fit_leave_their_roll_up_out() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().canonicalize().unwrap();
    let batch = |seconds: &[i64]| {
        let (producer, node_id) = ("gate-1/6441d2f3a7c00/0".to_owned(), "gate-1".to_owned());
        let header = BatchHeader { producer, node_id, ..BatchHeader::default() };
        let mut builder = BatchBuilder::new(header, SealLimits::default());
        for (seq, second) in (1..).zip(seconds) {
            let time_us = T0 + second * 1_000_000;
            builder.append(&Record { seq, time_us, total_us: Some(i64::MAX - 1), ..Record::default() });
        }
        decode(&builder.seal(1).unwrap().bytes, &DecodeLimits::default()).unwrap().records
    };
    let made = |name: &str, seconds: &[i64]| write(&root, name, vec![batch(seconds)], 10);
    let parts = |written: &Written| written.file.sidecar.keys().cloned().collect::<Vec<_>>();
    let others = ["certificate_1h", "ids", "producer_1h", "tls_1h"];
    assert_eq!(parts(&made("together", &[1, 2])), others);
    let apart = made("apart", &[1, 301]);
    assert_eq!(parts(&apart), ["certificate_1h", "ids", "producer_1h", "service_5m", "tls_1h"]);
    assert_cells(&root, &apart, Rollup::named("service_5m").unwrap());
    let one = |name| made(name, &[1]);
    assert_eq!(parts(&one("alone")).len(), ROLLUPS.len() + 1);
    assert_eq!(parts(&joined(&root, "joined", vec![one("first"), one("second")])), others);
}
