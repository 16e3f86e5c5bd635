//! A GROUP BY answers the same from roll-ups and from rows: whatever it asks, while files come, merge and go, and when what stands
//! beside them is damaged or missing.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use object_store::ObjectStore;
use tollgate_queries::{Engine, Limits, QueryResult, Source};
use tollgate_table::{Snapshot, Table};

use super::fixture::{Fixture, PRODUCERS, append, rows_of};

const HOUR_US: i64 = 3_600_000_000;
const ROWS: i64 = 2_000;
/// Rows by which the times of a producer's records are apart, on average.
const STEP_US: i64 = 5_000_000;

/// One picture of a table, for several engines.
#[derive(Debug)]
struct Frozen {
    snapshot: Snapshot,
    store: Arc<dyn ObjectStore>,
}

impl Source for Frozen {
    fn snapshot(&self) -> Snapshot {
        self.snapshot.clone()
    }

    fn store(&self) -> Arc<dyn ObjectStore> {
        self.store.clone()
    }
}

/// Engines over one picture of the table, that answer from roll-ups and from rows.
struct Pair {
    rolled_up: Engine,
    scanning: Engine,
}

impl Pair {
    fn of(table: &Table) -> Self {
        let frozen: Arc<dyn Source> = Arc::new(Frozen { snapshot: table.snapshot(), store: table.store() });
        let engine = |rollups| {
            let limits = Limits { threads: 2, rollups, ..Limits::default() };
            Engine::new(Arc::clone(&frozen), limits).expect("engine")
        };
        Self { rolled_up: engine(true), scanning: engine(false) }
    }

    /// The answer from roll-ups, after it was found equal to the one from rows.
    async fn same(&self, sql: &str) -> QueryResult {
        let ask = async |engine: &Engine| engine.query(sql).await.unwrap_or_else(|error| panic!("{sql}: {error}"));
        let (cells, rows) = (ask(&self.rolled_up).await, ask(&self.scanning).await);
        assert_eq!(rows.scanned.files_rolled_up, 0, "{sql}");
        let (left, right) = (sorted(&cells), sorted(&rows));
        assert_eq!(left, right, "{sql}");
        cells
    }
}

fn sorted(result: &QueryResult) -> Vec<String> {
    let mut rows: Vec<String> = rows_of(result).iter().map(ToString::to_string).collect();
    rows.sort();
    rows
}

/// Rows of nearly three hours that end now: most merged, some in files of single commits, some hot.
pub async fn three_hours() -> Fixture {
    let mut fixture = Fixture::empty(Limits { threads: 2, ..Limits::default() }).await;
    fixture.base_us = fixture.base_us / HOUR_US * HOUR_US - 3 * HOUR_US;
    for part in 0..10 {
        deliver(&mut fixture, part * ROWS / 10..(part + 1) * ROWS / 10).await;
        if part < 9 {
            fixture.commit().await;
        }
        if part == 7 {
            fixture.table.compact().await.expect("compacted");
        }
    }
    fixture
}

async fn deliver(fixture: &mut Fixture, rows: std::ops::Range<i64>) {
    let base_us = fixture.base_us;
    for (index, producer) in PRODUCERS.iter().enumerate() {
        let mut builder = fixture.builder(producer);
        for row in rows.clone().filter(|row| (row % 2) as usize == index) {
            append(&mut builder, row, row / 2 + 1, base_us + row * STEP_US + row % 7 * 123_457);
        }
        let sealed = builder.seal(1).expect("sealed");
        fixture.deliver(&sealed.bytes).await;
    }
}

/// What stands beside the active files, of one kind.
fn sidecars(table: &Table, dir: &Path, part: &str) -> Vec<PathBuf> {
    let files = table.snapshot().files;
    let with = files.iter().filter(|file| file.sidecar.contains_key(part));
    with.map(|file| dir.join(file.sidecar_path(part))).collect()
}

/// Aggregates of each kind that cells keep.
const AGGREGATES: &str = "count(*) AS n, count(error_class) AS failed, count(total_us) AS timed, sum(total_us) AS total, \
     min(total_us) AS fastest, max(total_us) AS slowest, avg(total_us) AS mean, sum(response_bytes) AS bytes, \
     min(time) AS first_seen, max(time) FILTER (WHERE status >= 500) AS last_failure, \
     sum(CASE WHEN status >= 500 THEN 1 ELSE 0 END) AS broken, avg(CASE WHEN status >= 500 THEN 1 ELSE 0 END) AS share, \
     count(*) FILTER (WHERE status BETWEEN 400 AND 499) AS refused, count(DISTINCT error_class) AS classes, \
     percentile(total_us, 0.5) AS p50, percentile(total_us, 0.99) FILTER (WHERE kind = 'transaction') AS p99";

#[tokio::test(flavor = "multi_thread")]
async fn shapes_of_questions_are_answered_from_roll_ups() {
    let fixture = three_hours().await;
    let pair = Pair::of(&fixture.table);
    let now = "to_timestamp_micros(0)";
    let cases = [
        "SELECT service, count(*) AS n, percentile(total_us, 0.5), percentile(total_us, 0.95), percentile(total_us, 0.99) \
         FROM transactions GROUP BY service ORDER BY n DESC LIMIT 20"
            .to_owned(),
        "SELECT service, error_class, count(*) FROM transactions WHERE error_class IS NOT NULL GROUP BY 1, 2".to_owned(),
        "SELECT date_bin(INTERVAL '5 minutes', time) AS at, count(*), sum(CASE WHEN status >= 500 THEN 1 ELSE 0 END), \
         percentile(total_us, 0.95) FROM transactions WHERE service = 'members' GROUP BY at ORDER BY at"
            .to_owned(),
        "SELECT tls_version, tls_cipher, count(*) FROM transactions GROUP BY 1, 2".to_owned(),
        "SELECT client_cert_sha256, client_cert_subject, min(client_cert_not_after) AS ends, count(*) FROM transactions \
         WHERE client_cert_not_after < now() + INTERVAL '30 days' GROUP BY 1, 2 ORDER BY ends"
            .to_owned(),
        "SELECT producer, count(*), min(seq), max(seq) FROM transactions GROUP BY producer".to_owned(),
        "SELECT floor(extract(epoch from time)/600)*600 AS \"time\", coalesce(service, '(none)') AS metric, count(*) AS value \
         FROM transactions WHERE time BETWEEN '2020-01-01T00:00:00Z' AND '2100-01-01T00:00:00Z' GROUP BY 1, 2 ORDER BY 1"
            .to_owned(),
        "SELECT date_trunc('hour', time), kind, count(*) FROM transactions GROUP BY 1, 2".to_owned(),
        "SELECT coalesce(service, '(no route)'), CASE WHEN status = 499 THEN '499' ELSE concat(CAST(status / 100 AS TEXT), \
         'xx') END AS class, count(*), round(100.0 * count(*) / sum(count(*)) OVER (), 2), sum(request_bytes), \
         round(avg(total_us) / 1000.0, 2) FROM transactions WHERE kind = 'transaction' AND time >= now() - INTERVAL '1 day' \
         AND (NULL IS NULL OR service = NULL) GROUP BY 1, 2"
            .to_owned(),
        "SELECT DISTINCT service FROM transactions".to_owned(),
        "SELECT count(DISTINCT service), count(DISTINCT status) FROM transactions WHERE kind = 'transaction'".to_owned(),
        "SELECT n.service, n.requests FROM (SELECT service, count(*) AS requests FROM (SELECT time AS t, service FROM \
         transactions WHERE status = 200) GROUP BY service) n WHERE n.requests > 3"
            .to_owned(),
        format!("SELECT count(*), sum(total_us), avg(total_us), max(time) FROM transactions WHERE service = 'x' OR time < {now}"),
    ];
    for sql in &cases[..cases.len() - 1] {
        let answer = pair.same(sql).await;
        assert!(answer.scanned.files_rolled_up > 0, "{sql}");
        let plan = rows_of(&pair.rolled_up.query(&format!("EXPLAIN {sql}")).await.expect("plan"));
        assert!(plan.iter().any(|row| row.to_string().contains("RollupExec: rollup=")), "{sql}: {plan:?}");
    }
    let last = &cases[cases.len() - 1];
    assert_eq!(pair.same(last).await.scanned.files_rolled_up, 0, "{last}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cells_do_not_have_is_scanned_and_explain_says_why() {
    let fixture = three_hours().await;
    let pair = Pair::of(&fixture.table);
    for sql in [
        "SELECT client_ip, count(*) FROM transactions GROUP BY 1",
        "SELECT service, count(DISTINCT client_ip) FROM transactions GROUP BY 1",
        "SELECT date_bin(INTERVAL '1 minute', time), count(*) FROM transactions GROUP BY 1",
        "SELECT date_trunc('hour', time AT TIME ZONE 'Asia/Kolkata'), count(*) FROM transactions GROUP BY 1",
        "SELECT service, sum(total_us + gateway_us) FROM transactions GROUP BY 1",
        "SELECT service, tls_version, count(*) FROM transactions GROUP BY 1, 2",
        "SELECT service, count(*) FROM transactions WHERE total_us > 20000 GROUP BY 1",
        "SELECT service, count(*) FILTER (WHERE time > now() - INTERVAL '1 hour') FROM transactions GROUP BY 1",
        "SELECT service, count(*) FROM transactions WHERE extract(minute FROM time) < 30 GROUP BY 1",
        "SELECT max(request_id) FROM transactions",
    ] {
        assert_eq!(pair.same(sql).await.scanned.files_rolled_up, 0, "{sql}");
        let plan = rows_of(&pair.rolled_up.query(&format!("EXPLAIN {sql}")).await.expect("plan"));
        assert!(plan.iter().any(|row| row.to_string().contains("rollup=none (")), "{sql}: {plan:?}");
    }
}

/// Numbers that look random and are the same each time.
struct Dice(u64);

impl Dice {
    fn pick<'c>(&mut self, choices: &[&'c str]) -> &'c str {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        choices[(self.0 >> 33) as usize % choices.len()]
    }
}

/// A query of random keys, filters and range of time.
fn any_query(dice: &mut Dice, base_us: i64) -> String {
    let keys = [
        "",
        "service",
        "status",
        "service, error_class",
        "coalesce(service, '-'), status / 100",
        "date_bin(INTERVAL '5 minutes', time)",
        "date_bin(INTERVAL '1 hour', time), kind",
        "date_trunc('hour', time), service",
        "floor(extract(epoch from time)/300)*300, kind",
    ];
    let filters =
        ["true", "service = 'members'", "service IN ('claims', 'billing')", "status >= 500", "service IS NULL"];
    let more =
        ["true", "error_class IS NOT NULL", "kind = 'transaction'", "status <> 200 OR error_class IS NULL", "false"];
    let froms = ["-1", "0", "1", "300000000", "1799999999", "3600000000", "5000000123", "9999999999"];
    let lengths = ["1", "299999999", "300000000", "3600000000", "3600000001", "7000000000", "20000000000"];
    let operators = ["<", "<="];
    let from: i64 = base_us + dice.pick(&froms).parse::<i64>().expect("number");
    let to = from + dice.pick(&lengths).parse::<i64>().expect("number");
    let key = dice.pick(&keys);
    let shown = if key.is_empty() { String::new() } else { format!("{key}, ") };
    let grouped = if key.is_empty() { String::new() } else { format!(" GROUP BY {key}") };
    let range =
        format!("time >= to_timestamp_micros({from}) AND time {} to_timestamp_micros({to})", dice.pick(&operators));
    let filters = format!("{} AND ({})", dice.pick(&filters), dice.pick(&more));
    format!("SELECT {shown}{AGGREGATES} FROM transactions WHERE {range} AND {filters}{grouped}")
}

#[tokio::test(flavor = "multi_thread")]
async fn any_keys_filters_and_ranges_give_equal_answers() {
    let fixture = three_hours().await;
    let pair = Pair::of(&fixture.table);
    let mut dice = Dice(11);
    let mut rolled_up = 0;
    for _ in 0..120 {
        let sql = any_query(&mut dice, fixture.base_us);
        rolled_up += usize::from(pair.same(&sql).await.scanned.files_rolled_up > 0);
    }
    assert!(rolled_up > 40, "{rolled_up} of 120 from roll-ups");
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_are_equal_while_files_come_and_merge() {
    let mut fixture = three_hours().await;
    let mut dice = Dice(12);
    for round in 0..6 {
        let before = Pair::of(&fixture.table);
        let rows = ROWS + round * 20..ROWS + (round + 1) * 20;
        let (table, base_us) = (Arc::clone(&fixture.table), fixture.base_us);
        let change = async {
            deliver(&mut fixture, rows).await;
            fixture.commit().await;
            table.compact().await.expect("compacted");
        };
        let asked = async {
            for _ in 0..4 {
                before.same(&any_query(&mut dice, base_us)).await;
            }
        };
        tokio::join!(change, asked);
        let after = Pair::of(&fixture.table);
        after.same(&any_query(&mut dice, base_us)).await;
        let all = format!("SELECT {AGGREGATES}, service FROM transactions GROUP BY service");
        let answer = after.same(&all).await;
        assert!(answer.scanned.files_rolled_up > 0);
        let counted: i64 = rows_of(&answer).iter().filter_map(|row| row["n"].as_i64()).sum();
        assert_eq!(counted as u64, fixture.table.snapshot().rows());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn damaged_and_missing_roll_ups_are_scanned_around() {
    let fixture = three_hours().await;
    let root = fixture.table.root().to_owned();
    let all = format!("SELECT {AGGREGATES}, service FROM transactions GROUP BY service");
    let whole = Pair::of(&fixture.table).same(&all).await.scanned.files_rolled_up;
    // What was whole once is taken for whole: so a copy of the table is damaged, of which nothing is known.
    let copy = tempfile::tempdir().expect("folder");
    copy_all(&root, copy.path());
    let table = Table::open_read_only(copy.path()).await.expect("table");
    let mut left = 0;
    for rollup in ["service_1h", "service_5m"] {
        for (at, path) in sidecars(&table, copy.path(), rollup).into_iter().enumerate() {
            match at % 3 {
                0 => std::fs::remove_file(&path).expect("removed"),
                1 => {
                    let mut bytes = std::fs::read(&path).expect("read");
                    let middle = bytes.len() / 2;
                    bytes[middle] ^= 1;
                    std::fs::write(&path, bytes).expect("written");
                }
                _ => left += usize::from(rollup == "service_1h"),
            }
        }
    }
    let pair = Pair::of(&table);
    let answer = pair.same(&all).await;
    assert!(answer.scanned.files_rolled_up < whole, "{} of {whole}", answer.scanned.files_rolled_up);
    assert_eq!(answer.scanned.files_rolled_up, left);
    let mut dice = Dice(13);
    for _ in 0..20 {
        pair.same(&any_query(&mut dice, fixture.base_us)).await;
    }
}

fn copy_all(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).expect("folder");
    for entry in std::fs::read_dir(from).expect("folder") {
        let entry = entry.expect("entry");
        let target = to.join(entry.file_name());
        match entry.file_type().expect("type").is_dir() {
            true => copy_all(&entry.path(), &target),
            false => std::fs::copy(entry.path(), target).map(|_| ()).expect("copied"),
        }
    }
}
