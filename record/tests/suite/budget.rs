//! The instruction budget of one record, counted by callgrind, so that a busy machine changes nothing. The test runs
//! itself twice under it, with different numbers of records; what start and end take is subtracted.
//!
//! `cargo test -p tollgate-record --test suite budget -- --nocapture` prints the counts. The budget is that of the build that
//! the other tests use, without optimisation: what is added shows there as well. With `--release` the counts are those
//! of an optimised build, and are only printed. Allocations are counted in `tests/allocations.rs`.

use std::process::Command;

use tollgate_record::{BatchBuilder, Record, SealLimits};

use crate::plausible::{Facts, header};

/// Set for the runs under callgrind: how many batches to append, and whether to seal them.
const WORK: &str = "TOLLGATE_BUDGET_WORK";
/// Records of one batch.
const ROWS: u64 = 1000;
/// Batches of the two runs; their difference is counted. The first ones grow the buffers.
const BATCHES: [u64; 2] = [3, 6];
/// How far off a count may be, in percent: compilers differ.
const TOLERANCE_PERCENT: u64 = 12;
/// Instructions to append one record. Looking for characters to escape in each column of text takes some 5,000 of them: that is where
/// every text passes, whoever filled the row.
const APPEND_BUDGET: u64 = 38_000;
/// Instructions to encode and compress one record of a thousand.
const SEAL_BUDGET: u64 = 27_000;

/// What is counted. Does nothing in an ordinary run.
#[test]
fn work() {
    let Ok(work) = std::env::var(WORK) else { return };
    let (batches, seals) = work.split_once(' ').unwrap();
    let facts: Vec<Facts> = (1..=ROWS as i64).map(Facts::of).collect();
    let records: Vec<Record<'_>> = facts.iter().map(Facts::record).collect();
    let mut builder = BatchBuilder::new(header(), SealLimits::default());
    for batch in 0..BATCHES[1] {
        if batch < batches.parse().unwrap() {
            records.iter().for_each(|record| builder.append(record));
            if seals == "sealed" {
                builder.seal(1).unwrap();
            }
        }
    }
}

fn total(batches: u64, seals: &str) -> Option<u64> {
    let mut command = Command::new("valgrind");
    command.args(["--tool=callgrind", "--callgrind-out-file=/dev/null"]).arg(std::env::current_exe().unwrap());
    command.args(["--exact", "budget::work", "--test-threads=1"]).env(WORK, format!("{batches} {seals}"));
    let output = match command.output() {
        Ok(output) => output,
        Err(error) => {
            assert!(std::env::var("CI").as_deref() != Ok("true"), "valgrind is needed: {error}");
            eprintln!("SKIPPED: valgrind cannot be run: {error}; scripts/install-deps.sh test installs it");
            return None;
        }
    };
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    let counted = said.lines().find_map(|line| line.split_once("Collected : ")?.1.trim().parse().ok());
    Some(counted.unwrap_or_else(|| panic!("callgrind says what it collected: {said}")))
}

fn per_record(seals: &str) -> Option<u64> {
    let (few, many) = (total(BATCHES[0], seals)?, total(BATCHES[1], seals)?);
    Some((many - few) / ((BATCHES[1] - BATCHES[0]) * ROWS))
}

#[test]
fn a_record_stays_within_its_budget() {
    let Some(append) = per_record("open") else { return };
    let Some(sealed) = per_record("sealed") else { return };
    println!("instructions: {append} to append a record, {} to seal it", sealed.saturating_sub(append));
    if !cfg!(debug_assertions) {
        return;
    }
    let within = |count: u64, budget: u64, what: &str| {
        let tolerance = budget * TOLERANCE_PERCENT / 100;
        assert!(count.abs_diff(budget) <= tolerance, "{count} instructions for {what}; its budget is {budget}");
    };
    within(append, APPEND_BUDGET, "an append");
    within(sealed, APPEND_BUDGET + SEAL_BUDGET, "an append with its share of the seal");
}
