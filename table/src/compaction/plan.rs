//! Which files are merged next: a pure function of the table's files and the present.

use std::collections::BTreeMap;

use crate::calendar::{day_begin_us, day_of};
use crate::config::MERGE_ROWS_MAX;
use crate::snapshot::DataFile;

pub(crate) const BUCKET_US: i64 = 5 * 60 * 1_000_000;
pub(crate) const HOUR_US: i64 = 3_600 * 1_000_000;
/// How long after its end five minutes are left to rows on their way.
pub(super) const GRACE_US: i64 = 60 * 1_000_000;
/// How long after its end an hour is left to the merges of its last five minutes.
const HOUR_GRACE_US: i64 = 2 * 60 * 1_000_000;
/// How long after its end a day is left to the merges of its last hour, and to what comes late.
const DAY_GRACE_US: i64 = 30 * 60 * 1_000_000;
/// Fewer files without a plausible day than this are not worth a merge, as their merge is merged again.
const UNDATED_FILES_MIN: usize = 8;
/// A merge of a finished day rewrites its largest file only if the others are this share of it, or this many.
const WORTH_SHARE: u64 = 4;
const WORTH_FILES: usize = 8;

/// Bounds of merges. Tests lower them.
#[derive(Debug, Clone)]
pub(crate) struct Limits {
    /// Most rows that are put in order at once. It bounds memory.
    pub(crate) rows_max: u64,
    /// Largest file that a concatenation makes, in bytes.
    pub(crate) bytes_max: u64,
    /// Most files of one merge: as many are open at once.
    pub(crate) files_max: usize,
    /// A file of fewer rows is merged row by row with its like, as small row groups cost more than they hold.
    pub(crate) rows_small: u64,
    /// Memory that a merge may plan with, in bytes, while it can be split.
    pub(crate) memory_max: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            rows_max: MERGE_ROWS_MAX,
            bytes_max: 512 << 20,
            files_max: 512,
            rows_small: 128 * 1024,
            memory_max: 192 << 20,
        }
    }
}

/// What is counted of a file.
type Weight = fn(&DataFile) -> u64;

/// How files become fewer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Work {
    /// Rows are put in order, failures apart from the rest, and rows of other hours apart where they are many.
    Split,
    /// Rows are put in order.
    Sort,
    /// Rows without a plausible day are put in order of time.
    Undated,
    /// Row groups are copied as they are.
    Concatenate,
}

/// One merge: some files, and the level of those that replace them.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Merge {
    pub(super) work: Work,
    pub(super) level: u8,
    pub(super) files: Vec<DataFile>,
}

/// The merges that are due, of the lowest level that has any: a level waits until those below it are done. Their files are
/// disjoint.
pub(super) fn plan(files: &[DataFile], now_us: i64, limits: &Limits) -> Vec<Merge> {
    let stages = [commits, hours, days];
    stages.iter().map(|stage| stage(files, now_us, limits)).find(|merges| !merges.is_empty()).unwrap_or_default()
}

/// When the oldest file was committed that no merge has taken yet, in microseconds since 1970.
pub(super) fn oldest_unmerged_us(files: &[DataFile]) -> Option<i64> {
    unmerged(files).map(committed_us).min()
}

/// Rows of the files that no merge has taken yet.
pub(super) fn unmerged_rows(files: &[DataFile]) -> u64 {
    unmerged(files).map(|file| file.rows).sum()
}

fn unmerged(files: &[DataFile]) -> impl Iterator<Item = &DataFile> {
    files.iter().filter(|file| file.level == 0 && file.date.is_some() && is_known(file))
}

fn is_known(file: &DataFile) -> bool {
    file.min_time_us != i64::MIN && file.max_time_us != i64::MAX && file.rows > 0
}

fn committed_us(file: &DataFile) -> i64 {
    file.modified_ms.saturating_mul(1_000)
}

/// The time that a file belongs to: its newest row's, unless a clock is ahead.
fn home_us(file: &DataFile) -> i64 {
    file.max_time_us.min(committed_us(file))
}

fn is_over(begin_us: i64, length_us: i64, grace_us: i64, now_us: i64) -> bool {
    begin_us.saturating_add(length_us).saturating_add(grace_us) <= now_us
}

fn begin(time_us: i64, length_us: i64) -> i64 {
    time_us.div_euclid(length_us).saturating_mul(length_us)
}

/// Commits of five minutes that are over. What is left of hours that are over is taken hour by hour.
fn commits(files: &[DataFile], now_us: i64, limits: &Limits) -> Vec<Merge> {
    let mut spans: BTreeMap<(Option<&str>, i64), Vec<&DataFile>> = BTreeMap::new();
    for file in files.iter().filter(|file| file.level == 0 && file.rows > 0) {
        match file.date.as_deref() {
            Some(date) if is_known(file) => {
                let hour = begin(home_us(file), HOUR_US);
                let bucket = begin(home_us(file), BUCKET_US);
                if is_over(hour, HOUR_US, GRACE_US, now_us) {
                    spans.entry((Some(date), hour)).or_default().push(file);
                } else if is_over(bucket, BUCKET_US, GRACE_US, now_us) {
                    spans.entry((Some(date), bucket)).or_default().push(file);
                }
            }
            None => {
                let hour = begin(committed_us(file), HOUR_US);
                if is_over(hour, HOUR_US, GRACE_US, now_us) {
                    spans.entry((None, 0)).or_default().push(file);
                }
            }
            Some(_) => {}
        }
    }
    let mut merges = Vec::new();
    for ((date, _), files) in spans {
        let packs = by_rows(files, limits);
        merges.extend(match date {
            Some(_) => packs.into_iter().map(|pack| merge(Work::Split, 1, pack)).collect::<Vec<_>>(),
            // Stays at level 0: rows of any day have no place among those of one.
            None => {
                let packs = packs.into_iter().filter(|pack| pack.len() >= UNDATED_FILES_MIN);
                packs.map(|pack| merge(Work::Undated, 0, pack)).collect()
            }
        });
    }
    merges
}

/// The merged five minutes of hours that are over. What comes late waits for the end of the hour in which it came.
fn hours(files: &[DataFile], now_us: i64, limits: &Limits) -> Vec<Merge> {
    let mut hours: BTreeMap<(&str, i64, Option<bool>), Vec<&DataFile>> = BTreeMap::new();
    for file in files.iter().filter(|file| file.level == 1) {
        if let Some(date) = file.date.as_deref() {
            hours.entry((date, begin(home_us(file), HOUR_US), file.failures)).or_default().push(file);
        }
    }
    let is_due = |hour: i64, files: &[&DataFile]| {
        let came = files.iter().map(|file| committed_us(file)).min().unwrap_or(now_us);
        is_over(hour.max(begin(came, HOUR_US)), HOUR_US, HOUR_GRACE_US, now_us)
    };
    let due = hours.into_iter().filter(|((_, hour, _), files)| is_due(*hour, files));
    due.flat_map(|(_, files)| fewer(files, 2, limits, |_, _| true)).collect()
}

/// The hours of days that are over, as far as the bounds of a file allow.
fn days(files: &[DataFile], now_us: i64, limits: &Limits) -> Vec<Merge> {
    let mut days: BTreeMap<(&str, Option<bool>), Vec<&DataFile>> = BTreeMap::new();
    for file in files.iter().filter(|file| file.level >= 1) {
        if let Some(date) = file.date.as_deref() {
            days.entry((date, file.failures)).or_default().push(file);
        }
    }
    let is_due = |date: &str| {
        let begin = date.parse().ok().and_then(day_begin_us);
        begin.is_some_and(|begin| is_over(begin, 24 * HOUR_US, DAY_GRACE_US, now_us))
    };
    let worth = |files: &[&DataFile], weight: Weight| {
        let largest = files.iter().map(|file| weight(file)).max().unwrap_or(0);
        let all: u64 = files.iter().map(|file| weight(file)).sum();
        files.len() >= WORTH_FILES || (all - largest).saturating_mul(WORTH_SHARE) >= largest
    };
    let due = days.into_iter().filter(|((date, _), _)| is_due(date));
    due.flat_map(|(_, files)| fewer(files, 3, limits, worth)).collect()
}

/// Makes fewer files of one outcome: all in one by rows where they are few; else small ones by rows first, and then all by
/// concatenation.
fn fewer(
    mut files: Vec<&DataFile>,
    level: u8,
    limits: &Limits,
    worth: impl Fn(&[&DataFile], Weight) -> bool,
) -> Vec<Merge> {
    let rows: Weight = |file| file.rows;
    let size: Weight = |file| file.size;
    files.sort_by(|a, b| (a.min_time_us, &a.path).cmp(&(b.min_time_us, &b.path)));
    let all: u64 = files.iter().map(|file| file.rows).sum();
    if all <= limits.rows_max && files.len() <= limits.files_max {
        let is_worth_it = files.len() > 1 && worth(&files, rows);
        return is_worth_it.then(|| merge(Work::Sort, level, files)).into_iter().collect();
    }
    let small: Vec<_> = files.iter().copied().filter(|file| file.rows < limits.rows_small).collect();
    let packs = by_rows(small, limits).into_iter().filter(|pack| pack.len() > 1 && worth(pack, rows));
    // They are concatenated with the others once they are large.
    let merges: Vec<_> = packs.map(|pack| merge(Work::Sort, level - 1, pack)).collect();
    if !merges.is_empty() {
        return merges;
    }
    let packs = pack(files, size, limits.bytes_max, limits.files_max).into_iter();
    packs.filter(|pack| pack.len() > 1 && worth(pack, size)).map(|pack| merge(Work::Concatenate, level, pack)).collect()
}

fn merge(work: Work, level: u8, files: Vec<&DataFile>) -> Merge {
    Merge { work, level, files: files.into_iter().cloned().collect() }
}

fn by_rows<'a>(mut files: Vec<&'a DataFile>, limits: &Limits) -> Vec<Vec<&'a DataFile>> {
    files.sort_by(|a, b| (a.min_time_us, &a.path).cmp(&(b.min_time_us, &b.path)));
    pack(files, |file| file.rows, limits.rows_max, limits.files_max)
}

/// Neighbours, together as long as they weigh no more than `max`. One that is heavier is alone.
fn pack(files: Vec<&DataFile>, weight: Weight, max: u64, files_max: usize) -> Vec<Vec<&DataFile>> {
    let mut packs: Vec<(u64, Vec<&DataFile>)> = Vec::new();
    for file in files {
        match packs.last_mut() {
            Some((sum, pack)) if *sum + weight(file) <= max && pack.len() < files_max => {
                *sum += weight(file);
                pack.push(file);
            }
            _ => packs.push((weight(file), vec![file])),
        }
    }
    packs.into_iter().map(|(_, pack)| pack).collect()
}

/// Where the day of a time begins, to name files by.
pub(super) fn since_midnight_us(time_us: i64) -> i64 {
    let begin = day_of(time_us).and_then(day_begin_us);
    begin.map_or(0, |begin| time_us - begin)
}
