//! What the table says: `seq_account` of each producer, in pieces of a day or less.
//!
//! A row falls into one piece, by its time; accounts of pieces add up. So any range is audited within the limits of one
//! query, and only six columns are read: time, producer, seq, kind, gap_count, gap_reason.

use anyhow::{Context, bail};
use arrow::array::{Array, AsArray, RecordBatch};
use arrow::compute::kernels::cast_utils::string_to_timestamp_nanos;
use arrow::datatypes::{Int64Type, TimestampMicrosecondType};
use arrow::ipc::reader::StreamReader;
use serde::Serialize;
use serde_json::json;
use tollgate_queries::Contents;
use tollgate_queries::account::Account;
use tollgate_record::id::is_node_id;

use super::range::Range;
use super::verdict::Seen;
use super::{SeenBy, before};
use crate::door::Door;

/// How far around the range rows are read. A request's time is that of its first byte, and its number is given when its head
/// is complete: around a cut in time, numbers and times are not in the same order by as much as reading a head takes.
pub(super) const AROUND_US: i64 = 10 * 60 * 1_000_000;
/// Rows of a day that one query reads at most: a day with more is read in equal parts.
const PIECE_ROWS_MAX: u64 = 50_000_000;
pub(super) const DAY_US: i64 = 86_400 * 1_000_000;
/// The last number that a row covers.
pub(super) const LAST: &str = "seq + CASE WHEN kind = 'gap' THEN coalesce(gap_count, 1) - 1 ELSE 0 END";
/// What the door's warning begins with when producers were cut off.
const CUT_WARNING: &str = "the answer has more rows";

/// What was read.
pub struct Read {
    /// What was seen of each producer.
    pub seen: SeenBy,
    /// The table, before anything was read.
    pub contents: Contents,
    /// What it cost.
    pub cost: Cost,
}

/// What the reading cost.
#[derive(Debug, Default, Serialize)]
pub struct Cost {
    /// Queries asked.
    pub queries: usize,
    /// Rows of the table that were looked at, those around the range too.
    pub rows: u64,
}

/// Whose numbers are audited.
pub struct Who {
    node: Option<String>,
    producer: Option<String>,
}

impl Who {
    /// All, a node (`edge-1`), or one producer (`edge-1/65f…/0`).
    pub fn parse(text: Option<&str>) -> anyhow::Result<Self> {
        let Some(text) = text else { return Ok(Self { node: None, producer: None }) };
        let (node, rest) = text.split_once('/').map_or((text, None), |(node, rest)| (node, Some(rest)));
        let fits = is_node_id(node)
            && rest.is_none_or(|rest| rest.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'/'));
        if !fits {
            bail!("--producer: `{text}` is neither a node such as edge-1 nor a producer such as edge-1/642f1a/0");
        }
        Ok(Self {
            node: Some(node.to_owned()),
            producer: rest.filter(|rest| !rest.is_empty()).map(|_| text.to_owned()),
        })
    }

    /// Whether this producer is to be told of. Others of its node are read to know whether it has ended.
    pub fn is_asked(&self, name: &str) -> bool {
        self.producer.as_ref().is_none_or(|producer| producer == name)
    }

    /// Whether this producer, of which nothing may have been read, is audited.
    pub fn is_meant(&self, name: &str) -> bool {
        let of_node = |node: &String| name.strip_prefix(node.as_str()).is_some_and(|rest| rest.starts_with('/'));
        self.is_asked(name) && self.node.as_ref().is_none_or(of_node)
    }

    pub(super) fn condition(&self) -> String {
        self.node.as_ref().map_or_else(String::new, |node| format!(" AND starts_with(producer, '{node}/')"))
    }
}

/// Reads what the range needs.
pub fn read(door: &Door, range: &Range, who: &Who) -> anyhow::Result<Read> {
    let contents = door.get("/v1/table").context("asking what the table holds")?;
    let contents: Contents = serde_json::from_slice(&contents.body).context("reading what the table holds")?;
    let mut seen = SeenBy::new();
    let mut cost = Cost::default();
    for (from, to) in pieces(&contents, range) {
        merge(door, &sql(range, who, &piece_condition(from, to)), &mut seen, &mut cost)?;
    }
    if let Some(until) = range.until_us {
        // A gap is written when its records are shed, which may be long after their requests began.
        let late = format!("kind = 'gap' AND time >= {}", time_literal(until + AROUND_US));
        merge(door, &sql(range, who, &late), &mut seen, &mut cost)?;
    }
    before::look_back(door, range, who, &contents, &mut seen, &mut cost)?;
    Ok(Read { seen, contents, cost })
}

/// From when on nothing was removed: whole days are, the oldest first. Without files, today is what is certain.
pub fn kept_from_us(contents: &Contents, now_us: i64) -> i64 {
    let first = contents.days.first().and_then(|day| day_us(&day.date));
    first.unwrap_or_else(|| now_us - now_us.rem_euclid(DAY_US))
}

pub(super) fn day_us(date: &str) -> Option<i64> {
    string_to_timestamp_nanos(date).ok().map(|nanos| nanos / 1_000)
}

/// The range, with what is around it, cut where days begin and within days of many rows; `None` = no bound.
fn pieces(contents: &Contents, range: &Range) -> Vec<(Option<i64>, Option<i64>)> {
    let from = range.since_us.map(|since| since - AROUND_US);
    let to = range.until_us.map(|until| until + AROUND_US);
    let mut cuts: Vec<i64> = Vec::new();
    for day in &contents.days {
        let Some(start) = day_us(&day.date) else { continue };
        let parts = day.rows.div_ceil(PIECE_ROWS_MAX).clamp(1, 1_440) as i64;
        cuts.extend((0..parts).map(|part| start + DAY_US / parts * part));
    }
    cuts.retain(|cut| from.is_none_or(|from| *cut > from) && to.is_none_or(|to| *cut < to));
    let starts = std::iter::once(from).chain(cuts.iter().copied().map(Some));
    let ends = cuts.iter().copied().map(Some).chain(std::iter::once(to));
    starts.zip(ends).collect()
}

pub(super) fn piece_condition(from: Option<i64>, to: Option<i64>) -> String {
    let from = from.map(|from| format!("time >= {}", time_literal(from)));
    let to = to.map(|to| format!("time < {}", time_literal(to)));
    let both: Vec<String> = from.into_iter().chain(to).collect();
    if both.is_empty() { "true".to_owned() } else { both.join(" AND ") }
}

fn time_literal(us: i64) -> String {
    format!("to_timestamp_micros({us})")
}

fn sql(range: &Range, who: &Who, condition: &str) -> String {
    let in_range = piece_condition(range.since_us, range.until_us);
    let settled = time_literal(range.settled_before_us);
    let before = range.since_us.map_or_else(|| "false".to_owned(), |since| format!("time < {}", time_literal(since)));
    format!(
        "SELECT producer, seq_account(seq, kind, gap_count, gap_reason) AS account, \
         min(CASE WHEN kind <> 'gap' AND {in_range} THEN seq END) AS first_seq, \
         max(CASE WHEN {before} THEN {LAST} END) AS before_seq, \
         max(CASE WHEN {in_range} THEN {LAST} END) AS last_seq, \
         max(CASE WHEN time < {settled} THEN {LAST} END) AS settled_seq, \
         max(time) AS newest, count(*) AS read \
         FROM transactions WHERE {condition}{} GROUP BY producer",
        who.condition()
    )
}

fn merge(door: &Door, sql: &str, seen: &mut SeenBy, cost: &mut Cost) -> anyhow::Result<()> {
    cost.queries += 1;
    for batch in answer(door, sql)? {
        for (producer, part, read) in rows(&batch)? {
            cost.rows += read;
            match seen.get_mut(&producer) {
                Some(known) => known.merge(part),
                None => drop(seen.insert(producer, part)),
            }
        }
    }
    Ok(())
}

/// The whole answer to a query, or an error.
pub(super) fn answer(door: &Door, sql: &str) -> anyhow::Result<Vec<RecordBatch>> {
    let answer =
        door.post("/v1/sql", &json!({ "sql": sql, "format": "arrow" }), Some(sql)).context("asking the table")?;
    if let Some(cut) = answer.warnings.iter().find(|warning| warning.starts_with(CUT_WARNING)) {
        bail!("there are too many producers for one answer ({cut}): audit one node at a time with --producer");
    }
    let batches = StreamReader::try_new(answer.body.as_slice(), None).context("reading the answer")?;
    batches.collect::<Result<_, _>>().context("reading the answer")
}

/// Columns of an answer, by name.
pub(super) struct Columns<'b>(pub &'b RecordBatch);

impl Columns<'_> {
    fn column(&self, name: &str) -> anyhow::Result<&dyn Array> {
        self.0.column_by_name(name).map(AsRef::as_ref).with_context(|| format!("the answer has no column {name}"))
    }

    pub(super) fn number(&self, name: &str, row: usize) -> anyhow::Result<Option<i64>> {
        let column =
            self.column(name)?.as_primitive_opt::<Int64Type>().with_context(|| format!("{name} is no number"))?;
        Ok(column.is_valid(row).then(|| column.value(row)))
    }

    pub(super) fn producer(&self, row: usize) -> anyhow::Result<String> {
        let producers = self.column("producer")?.as_string_opt::<i32>().context("producer is no text")?;
        Ok(producers.value(row).to_owned())
    }
}

fn rows(batch: &RecordBatch) -> anyhow::Result<Vec<(String, Seen, u64)>> {
    let columns = Columns(batch);
    let newest =
        columns.column("newest")?.as_primitive_opt::<TimestampMicrosecondType>().context("newest is no time")?;
    let of_row = |row: usize| {
        let seen = Seen {
            account: Account::read(columns.column("account")?, row)?,
            before: columns.number("before_seq", row)?,
            first: columns.number("first_seq", row)?,
            last: columns.number("last_seq", row)?,
            settled: columns.number("settled_seq", row)?,
            newest_us: newest.is_valid(row).then(|| newest.value(row)),
        };
        Ok((columns.producer(row)?, seen, columns.number("read", row)?.unwrap_or(0) as u64))
    };
    (0..batch.num_rows()).map(of_row).collect()
}

#[cfg(test)]
mod tests {
    use tollgate_queries::Day;

    use super::*;

    fn contents(days: &[(&str, u64)]) -> Contents {
        let day =
            |(date, rows): &(&str, u64)| Day { date: (*date).to_owned(), rows: *rows, first_us: None, last_us: None };
        Contents {
            version: 1,
            through: None,
            files: 0,
            file_bytes: 0,
            file_rows: 0,
            days: days.iter().map(day).collect(),
            hot_rows: 0,
            hot_evicted: 0,
        }
    }

    #[test]
    fn pieces_cover_the_range_once_and_hold_few_enough_rows() {
        let days = contents(&[("1970-01-02", 3 * PIECE_ROWS_MAX), ("1970-01-05", 1)]);
        let all = Range { since_us: None, until_us: None, settled_before_us: 0, now_us: 0 };
        let (day, third) = (DAY_US, DAY_US / 3);
        let cuts = [day, day + third, day + 2 * third, 4 * day];
        assert_eq!(
            pieces(&days, &all),
            [
                (None, Some(cuts[0])),
                (Some(cuts[0]), Some(cuts[1])),
                (Some(cuts[1]), Some(cuts[2])),
                (Some(cuts[2]), Some(cuts[3])),
                (Some(cuts[3]), None)
            ]
        );
        let some = Range { since_us: Some(4 * day), until_us: Some(5 * day), ..all };
        assert_eq!(
            pieces(&days, &some),
            [(Some(4 * day - AROUND_US), Some(4 * day)), (Some(4 * day), Some(5 * day + AROUND_US))]
        );
        assert_eq!(pieces(&contents(&[]), &all), [(None, None)]);
    }

    #[tokio::test]
    async fn six_columns_are_read_whatever_the_range() {
        let dir = tempfile::tempdir().expect("folder");
        let (_sink, table) =
            tollgate_sink_table::open(tollgate_sink_table::TableConfig::new(dir.path())).await.expect("table");
        let engine = tollgate_queries::Engine::new(table, tollgate_queries::Limits::default()).expect("engine");
        let range = Range { since_us: Some(DAY_US), until_us: Some(2 * DAY_US), settled_before_us: DAY_US, now_us: 0 };
        let who = Who::parse(Some("edge-1")).expect("node");
        let sql = sql(&range, &who, &piece_condition(range.since_us, None));
        let plan = engine.query(&format!("EXPLAIN {sql}")).await.expect("plan");
        let plan = plan.render(tollgate_queries::Format::Csv).expect("text");
        let plan = String::from_utf8(plan).expect("UTF-8");
        let (_, after) = plan.split_once("projection=[").unwrap_or_else(|| panic!("no projection in {plan}"));
        let mut columns: Vec<&str> = after.split(']').next().unwrap_or_default().split(", ").collect();
        columns.sort_unstable();
        assert_eq!(columns, ["gap_count", "gap_reason", "kind", "producer", "seq", "time"], "{plan}");
    }

    #[test]
    fn a_producer_is_a_node_or_a_name() {
        let node = Who::parse(Some("edge-1")).expect("node");
        assert!(node.is_asked("edge-1/65f/0") && node.condition().contains("'edge-1/'"));
        let one = Who::parse(Some("edge-1/65f/0")).expect("name");
        assert!(one.is_asked("edge-1/65f/0") && !one.is_asked("edge-1/65f/1") && one.condition() == node.condition());
        assert!(node.is_meant("edge-1/65f/1") && !node.is_meant("edge-10/65f/1") && !one.is_meant("edge-1/65f/1"));
        for wrong in ["edge' OR 1=1", "edge-1/'", ""] {
            assert!(Who::parse(Some(wrong)).is_err(), "{wrong}");
        }
    }

    #[test]
    fn parts_of_a_producer_are_put_together() {
        let mut seen = SeenBy::new();
        for (first, last) in [(5, 9), (1, 4)] {
            let part = Seen { first: Some(first), last: Some(last), ..Seen::default() };
            seen.entry("p".to_owned()).or_default().merge(part);
        }
        assert_eq!((seen["p"].first, seen["p"].last), (Some(1), Some(9)));
    }
}
