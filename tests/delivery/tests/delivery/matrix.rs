//! The process ends at a place between two steps, is started again, ends at another, and so on: every pair of places
//! comes up, and nothing is lost or doubled.
//!
//! A de Bruijn sequence of order 2 over the places holds every ordered pair once, a place after itself included: so n² starts
//! do for n² pairs. It is cut into parts that run beside each other, each in a folder of its own. With `TOLLGATE_SOAK` set
//! the places of maintenance are part of the sequence; else each of them comes after itself and before and after two others.

use std::os::unix::process::ExitStatusExt;
use std::path::Path;

use tollgate_failpoint::Point;

use crate::child::{self, BATCHES, ROWS, Work};
use crate::files;

/// Parts of the sequence that run beside each other.
const PARTS: usize = 8;
const SIGABRT: i32 = 6;

/// Places that compaction and checkpoints come by; the others lie on the way of every batch.
const MAINTENANCE: [Point; 5] = [
    Point::MergeWritten,
    Point::MergeCommitted,
    Point::CheckpointWritten,
    Point::CheckpointChecked,
    Point::VacuumBegun,
];

fn delivery() -> Vec<Point> {
    let others = |point: &Point| !MAINTENANCE.contains(point) && *point != Point::RetentionCommitted;
    Point::ALL.iter().copied().filter(others).collect()
}

fn work(point: &Point) -> Work {
    if MAINTENANCE.contains(point) { Work::Maintain } else { Work::Nothing }
}

/// Every ordered pair of places as neighbours, once; the first stands at the end again.
fn pairs(points: &[Point]) -> Vec<Point> {
    let mut sequence = Vec::new();
    for (at, point) in points.iter().enumerate() {
        sequence.push(*point);
        for other in &points[at + 1..] {
            sequence.extend([*point, *other]);
        }
    }
    sequence.extend(points.first().copied());
    sequence
}

/// Checks the order that holds whatever was interrupted: no part is ahead of what is stored before it.
fn assert_order(dir: &Path, what: &str) {
    let data = child::data(dir);
    let position = files::log(&child::table(dir)).transactions.get("tollgate-journal-delivery").copied();
    let stored = position.map_or(0, |position| position as u64 + 1);
    let cursor = files::cursor(&data, "table").unwrap_or(0);
    assert!(cursor <= stored, "{what}: the cursor is at {cursor}, and {stored} positions are in the table");
    let first = files::segments(&data).first().copied().unwrap_or(0);
    assert!(first <= cursor, "{what}: the journal begins at {first}, and the cursor is at {cursor}");
}

/// Every acknowledged record is there; nothing is there twice, or was not sent.
fn assert_records(dir: &Path, rounds: usize, is_over: bool, what: &str) {
    let records = files::records(&child::table(dir));
    if let Some((double, times)) = records.iter().find(|(_, times)| **times != 1) {
        panic!("{what}: {double:?} is there {times} times");
    }
    let acknowledged = child::acknowledged(dir);
    for round in 0..rounds {
        for batch in 1..=BATCHES {
            let seqs = ((batch - 1) * ROWS + 1) as i64..=(batch * ROWS) as i64;
            let producer = format!("{}/5f/0", child::node(round));
            let found = seqs.clone().filter(|seq| records.contains_key(&(producer.clone(), *seq))).count();
            let may_lack = !is_over && !acknowledged.contains(&(round, batch));
            assert!(found == ROWS || may_lack, "{what}: {found} records of {producer}, batch {batch}, {seqs:?}");
        }
    }
    if is_over {
        assert_eq!(records.len(), rounds * BATCHES * ROWS, "{what}: nothing else is there");
    }
}

/// Ends the process at each of these places in turn, and lets it end well at last.
fn kill_at_each(points: &[Point]) {
    let dir = tempfile::tempdir().expect("a folder");
    let dir = dir.path();
    for (round, point) in points.iter().enumerate() {
        let name = point.name();
        let before = round.checked_sub(1).map_or("", |before| points[before].name());
        let what = format!("{before} then {name}");
        let status = child::run(dir, round, &format!("{name}=kill"), work(point));
        let told = || std::fs::read_to_string(dir.join("told")).unwrap_or_default();
        assert_eq!(status.signal(), Some(SIGABRT), "{what}: it did not come by: {status}: {}", told());
        assert_order(dir, &what);
    }
    finish(dir, points.len());
}

fn finish(dir: &Path, rounds: usize) {
    let status = child::run(dir, rounds, "", Work::Nothing);
    let told = || std::fs::read_to_string(dir.join("told")).unwrap_or_default();
    assert!(status.success(), "{status}: {}", told());
    assert_order(dir, "at the end");
    assert_records(dir, rounds + 1, true, "at the end");
}

#[test]
fn the_sequence_holds_every_pair_once() {
    let points = delivery();
    let sequence = pairs(&points);
    let mut found: Vec<_> = sequence.windows(2).map(|pair| (pair[0].name(), pair[1].name())).collect();
    found.sort_unstable();
    found.dedup();
    assert_eq!((found.len(), sequence.len()), (points.len().pow(2), points.len().pow(2) + 1));
}

#[test]
fn a_process_that_dies_at_any_place_loses_and_doubles_nothing() {
    for point in Point::ALL.iter().filter(|point| **point != Point::RetentionCommitted) {
        kill_at_each(&[*point]);
    }
}

#[test]
fn a_process_that_dies_at_any_two_places_loses_and_doubles_nothing() {
    let mut points = delivery();
    if std::env::var_os("TOLLGATE_SOAK").is_some() {
        points.extend(MAINTENANCE);
    }
    let sequence = pairs(&points);
    // Neighbouring parts share a place, so that no pair is cut.
    let share = sequence.len().div_ceil(PARTS);
    let parts = (0..PARTS).map(|part| {
        let from = (part * share).saturating_sub(1);
        sequence[from..((part + 1) * share).min(sequence.len())].to_vec()
    });
    let running: Vec<_> = parts.map(|part| std::thread::spawn(move || kill_at_each(&part))).collect();
    for part in running {
        part.join().expect("the part holds");
    }
}

#[test]
fn compaction_and_commits_that_are_cut_off_in_turn_lose_and_double_nothing() {
    let mut points = Vec::new();
    for maintenance in MAINTENANCE {
        points.extend([maintenance, Point::LogLinked, maintenance, maintenance, Point::TrimRemoved]);
    }
    kill_at_each(&points);
}

#[test]
fn a_step_that_fails_is_done_again_and_loses_and_doubles_nothing() {
    let points: Vec<_> = Point::ALL.iter().filter(|point| **point != Point::RetentionCommitted).collect();
    let dir = tempfile::tempdir().expect("a folder");
    let dir = dir.path();
    for (round, point) in points.iter().enumerate() {
        let name = point.name();
        let status = child::run(dir, round, &format!("{name}=error"), work(point));
        let told = std::fs::read_to_string(dir.join("told")).unwrap_or_default();
        assert!(status.success(), "{name}: {status}: {told}");
        assert_order(dir, name);
        assert_records(dir, round + 1, true, name);
    }
}

#[test]
fn expired_days_go_once_and_whole_and_take_nothing_with_them() {
    let dir = tempfile::tempdir().expect("a folder");
    let dir = dir.path();
    let name = Point::RetentionCommitted.name();
    let killed = child::run(dir, 0, &format!("{name}=kill"), Work::Expire);
    assert_eq!(killed.signal(), Some(SIGABRT), "it did not come by: {killed}");
    assert_order(dir, "killed");
    assert!(files::records(&child::table(dir)).is_empty(), "the commit stands");
    // Rows that come later are there, and what is gone does not come back from the journal.
    assert!(child::run(dir, 1, "", Work::Nothing).success());
    let records = files::records(&child::table(dir));
    let is_of_round_1 = |(producer, _): &(String, i64)| producer.starts_with(&child::node(1));
    assert!(records.keys().all(is_of_round_1) && records.values().all(|times| *times == 1));
    assert_eq!(records.len(), BATCHES * ROWS);
    assert!(child::run(dir, 2, &format!("{name}=error"), Work::Expire).success());
    assert_order(dir, "failed");
    assert!(files::records(&child::table(dir)).is_empty(), "it is done again");
}
