//! Merges rows: reads the keys, finds the order, and then reads, orders and encodes one column after the other.

use std::collections::BTreeMap;
use std::time::Instant;

use arrow_array::cast::AsArray as _;
use arrow_array::types::TimestampMicrosecondType;
use arrow_array::{Array as _, ArrayRef, UInt32Array};

use super::inputs::Inputs;
use super::plan::{BUCKET_US, HOUR_US, Merge, Work};
use super::{Context, name};
use crate::TableError;
use crate::calendar::day_of;
use crate::encoding::{Purpose, ROW_GROUP_ROWS_MAX};
use crate::outcome;
use crate::parquet_file::{ColumnFile, NewFile, Place, column_order, discard, even_groups};
use crate::tags::{FileTags, RowOrder};
use crate::values::dictionary;

/// Rows of another hour than most get a file of their own if they are this many. Fewer ride along.
const STRAGGLERS_MIN: usize = 16 * 1024;
/// Most hours beside the one of most rows that get files of their own.
const STRAGGLER_HOURS_MAX: usize = 3;
/// Rows of other five minutes than most get a row group of their own if they are this many: its ranges of time and of
/// services are then not those of the others.
const GROUP_ROWS_MIN: usize = 1_024;

/// The rows of one new file.
struct Part {
    failures: Option<bool>,
    order: UInt32Array,
    row_groups: Vec<usize>,
    begin_us: i64,
}

/// The columns that decide which row goes where.
struct Keys {
    times: Vec<i64>,
    /// Each row's service by its place among all; 0 is none.
    services: Vec<u32>,
    is_failure: Vec<bool>,
}

/// Writes the rows of some of a merge's files anew.
pub(super) fn merge(context: &Context, merge: &Merge, inputs: Inputs) -> Result<Vec<NewFile>, TableError> {
    let parts = parts(&Keys::read(&inputs)?, merge.work);
    let mut files = Vec::with_capacity(parts.len());
    for part in &parts {
        let place =
            Place::new(&context.disk, &context.root, day(merge, part), &name(merge, part.failures, part.begin_us))?;
        // A roll-up has no cell for a time that is none.
        let rollups = merge.work != Work::Undated;
        files.push(ColumnFile::create(place, Purpose::Merge, &part.row_groups, rollups)?);
    }
    for name in column_order() {
        let began = Instant::now();
        let values = inputs.column(name)?;
        for (file, part) in files.iter_mut().zip(&parts) {
            file.add(name, &values, &part.order)?;
        }
        drop(values);
        context.pace.rest(began)?;
    }
    let rows = inputs.rows() as u64;
    drop(inputs);
    let mut new = Vec::with_capacity(files.len());
    for (file, part) in files.into_iter().zip(&parts) {
        let order = if merge.work == Work::Undated { RowOrder::Time } else { RowOrder::Service };
        let tags = FileTags { order, level: merge.level, failures: part.failures, ..FileTags::default() };
        match file.finish(tags) {
            Ok(file) => new.push(file),
            Err(error) => {
                discard(&context.root, &new);
                return Err(error);
            }
        }
    }
    if new.iter().map(|file| file.statistics.rows()).sum::<u64>() != rows {
        discard(&context.root, &new);
        return Err(TableError::Inconsistent("a merge lost rows on the way".to_owned()));
    }
    Ok(new)
}

/// All files of a merge are of one partition.
fn day(merge: &Merge, part: &Part) -> Option<chrono::NaiveDate> {
    let date = merge.files.first().and_then(|file| file.date.as_deref());
    date.and_then(|date| date.parse().ok().or_else(|| day_of(part.begin_us)))
}

impl Keys {
    fn read(inputs: &Inputs) -> Result<Self, TableError> {
        let times = inputs.column("time")?;
        let times = times.as_primitive_opt::<TimestampMicrosecondType>();
        let times = times.ok_or_else(|| TableError::Schema("time is not in microseconds".to_owned()))?;
        let mut is_failure = vec![false; times.len()];
        for name in outcome::COLUMNS {
            outcome::add_failures(name, &inputs.column(name)?, &mut is_failure)?;
        }
        Ok(Self { times: times.values().to_vec(), services: ranks("service", &inputs.column("service")?)?, is_failure })
    }

    fn hour(&self, row: u32) -> i64 {
        self.times[row as usize].div_euclid(HOUR_US)
    }

    fn bucket(&self, row: u32) -> i64 {
        self.times[row as usize].div_euclid(BUCKET_US)
    }
}

/// The place of each value among all, from 1 on; 0 is null.
fn ranks(name: &str, values: &ArrayRef) -> Result<Vec<u32>, TableError> {
    let (keys, texts) = dictionary(name, values)?;
    let mut order: Vec<usize> = (0..texts.len()).filter(|at| texts.is_valid(*at)).collect();
    order.sort_unstable_by_key(|at| texts.value(*at));
    let mut ranks = vec![0; texts.len()];
    let mut rank = 0;
    let mut last = None;
    for at in order {
        if last != Some(texts.value(at)) {
            rank += 1;
            last = Some(texts.value(at));
        }
        ranks[at] = rank;
    }
    Ok(keys.iter().map(|key| key.map_or(0, |key| ranks[key as usize])).collect())
}

/// Deals the rows out to files.
fn parts(keys: &Keys, work: Work) -> Vec<Part> {
    let rows = 0..keys.times.len() as u32;
    if work == Work::Undated {
        return vec![part(keys, rows.collect(), work, None)];
    }
    let mut files: BTreeMap<(i64, bool), Vec<u32>> = BTreeMap::new();
    let own = if work == Work::Split { hours_of_their_own(keys) } else { Vec::new() };
    for row in rows {
        let hour = Some(keys.hour(row)).filter(|hour| own.contains(hour)).unwrap_or(i64::MIN);
        files.entry((hour, keys.is_failure[row as usize])).or_default().push(row);
    }
    files.into_iter().map(|((_, failures), rows)| part(keys, rows, work, Some(failures))).collect()
}

/// The hours beside that of most rows that have many.
fn hours_of_their_own(keys: &Keys) -> Vec<i64> {
    let mut hours: BTreeMap<i64, usize> = BTreeMap::new();
    for row in 0..keys.times.len() as u32 {
        *hours.entry(keys.hour(row)).or_default() += 1;
    }
    let mut hours: Vec<_> = hours.into_iter().collect();
    hours.sort_unstable_by_key(|(hour, rows)| (std::cmp::Reverse(*rows), *hour));
    let others = hours.into_iter().skip(1).take(STRAGGLER_HOURS_MAX);
    others.filter(|(_, rows)| *rows >= STRAGGLERS_MIN).map(|(hour, _)| hour).collect()
}

fn part(keys: &Keys, mut rows: Vec<u32>, work: Work, failures: Option<bool>) -> Part {
    let time = |row: u32| keys.times[row as usize];
    let begin_us = rows.iter().map(|row| time(*row)).max().unwrap_or(0);
    if work == Work::Undated {
        rows.sort_unstable_by_key(|row| (time(*row), *row));
    } else {
        rows.sort_unstable_by_key(|row| (keys.bucket(*row), keys.services[*row as usize], time(*row), *row));
    }
    let row_groups = row_groups(keys, &rows, work);
    Part { failures, order: rows.into(), row_groups, begin_us }
}

/// Row groups of even size. Where several are needed, the five minutes that most rows are of begin one and end one.
fn row_groups(keys: &Keys, rows: &[u32], work: Work) -> Vec<usize> {
    if rows.len() <= ROW_GROUP_ROWS_MAX || work == Work::Undated {
        return even_groups(rows.len());
    }
    let middle = keys.bucket(rows[rows.len() / 2]);
    let from = rows.partition_point(|row| keys.bucket(*row) < middle);
    let to = rows.partition_point(|row| keys.bucket(*row) <= middle);
    if (to - from) * 2 < rows.len() {
        return even_groups(rows.len());
    }
    let from = if from < GROUP_ROWS_MIN { 0 } else { from };
    let to = if rows.len() - to < GROUP_ROWS_MIN { rows.len() } else { to };
    let spans = [from, to - from, rows.len() - to];
    spans.into_iter().filter(|rows| *rows > 0).flat_map(even_groups).collect()
}
