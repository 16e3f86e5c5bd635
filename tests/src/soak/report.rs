//! What a run showed, as a table.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use super::proxies::Incarnation;
use super::{Cycle, Fault, Verdict};
use crate::prober::Acks;
use crate::traffic::Ledger;

/// The outcome of a run.
#[derive(Debug)]
pub struct Report {
    /// The cycles, in order.
    pub cycles: Vec<Cycle>,
    /// The clients' ledger.
    pub clients: Ledger,
    /// The prober's ledger.
    pub acks: Acks,
    /// The proxy's processes.
    pub incarnations: Vec<Incarnation>,
    /// The ledgers compared with the table and Kafka.
    pub verdict: Verdict,
    /// Records in the table.
    pub stored: usize,
    /// Records that proxies said to have shed.
    pub shed: f64,
}

/// The figures of one kind of fault.
#[derive(Debug, Default)]
struct Line {
    cycles: usize,
    answered: usize,
    acked: i64,
    acked_lost: usize,
    doubled: usize,
    lost_unsent: usize,
    recoveries: Vec<Duration>,
}

impl Report {
    fn lines(&self) -> BTreeMap<Fault, Line> {
        let mut lines: BTreeMap<Fault, Line> = BTreeMap::new();
        let (mut answered, mut acked) = (0, 0);
        for (number, cycle) in self.cycles.iter().enumerate() {
            let line = lines.entry(cycle.fault).or_default();
            line.cycles += 1;
            line.answered += cycle.answered_by - answered;
            line.acked += cycle.acked_by - acked;
            let lost = self.verdict.acked_lost.iter().filter(|seq| (acked + 1..=cycle.acked_by).contains(*seq));
            line.acked_lost += lost.count();
            let doubled = self.verdict.acked_doubled.iter().filter(|seq| (acked + 1..=cycle.acked_by).contains(*seq));
            line.doubled += doubled.count();
            let doubled = self.verdict.answered_doubled.iter().filter(|at| (answered..cycle.answered_by).contains(*at));
            line.doubled += doubled.count();
            line.recoveries.push(cycle.recovery);
            (answered, acked) = (cycle.answered_by, cycle.acked_by);
            for (epoch, lost) in &self.verdict.lost_unsent {
                let ended_in = self.incarnations.get(*epoch as usize).and_then(|incarnation| incarnation.ended_in);
                line.lost_unsent += if ended_in == Some(number) { *lost } else { 0 };
            }
        }
        lines
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { clients, acks, verdict, .. } = self;
        writeln!(
            f,
            "{:<30} {:>6} {:>9} {:>9} {:>7} {:>8} {:>7} {:>18}",
            "fault", "cycles", "answered", "acked", "lost", "doubled", "unsent", "recovery, s (max)"
        )?;
        for (fault, mut line) in self.lines() {
            line.recoveries.sort_unstable();
            let median = line.recoveries.get(line.recoveries.len() / 2).copied().unwrap_or_default();
            let longest = line.recoveries.last().copied().unwrap_or_default();
            writeln!(
                f,
                "{fault:<30} {:>6} {:>9} {:>9} {:>7} {:>8} {:>7} {:>18}",
                line.cycles,
                line.answered,
                line.acked,
                line.acked_lost,
                line.doubled,
                line.lost_unsent,
                format!("{:.1} ({:.1})", median.as_secs_f64(), longest.as_secs_f64())
            )?;
        }
        let unsent: usize = verdict.lost_unsent.values().sum();
        writeln!(
            f,
            "answered = requests with an answer; acked = records of batches that a producer of the test saw acknowledged;"
        )?;
        writeln!(
            f,
            "lost = acknowledged and not in the table; doubled = more than one row; unsent = answered by a proxy that was killed before it sent the record"
        )?;
        writeln!(
            f,
            "clients: {} answered = {} with one row + {} shed and told by gap records + {unsent} unsent ({} of them after the last row of their producer); {} without an answer, {} sent again",
            clients.answered.len(),
            verdict.answered_once,
            verdict.answered_shed,
            verdict.lost_at_end,
            clients.failed.len(),
            clients.retried
        )?;
        writeln!(
            f,
            "prober: {} batches acknowledged, {} acknowledged records lost; {} posts unanswered, {} refused, {} known already",
            acks.acknowledged.len(),
            verdict.acked_lost.len(),
            acks.unanswered,
            acks.refused,
            acks.duplicates
        )?;
        writeln!(
            f,
            "table: {} records, {} doubled; Kafka: all of them, {} more than once (allowed); {} shed as proxies count",
            self.stored, verdict.doubled, verdict.kafka_repeated, self.shed
        )?;
        writeln!(
            f,
            "audit: {} numbers issued, {} missing (breaks that killed proxies left), the rest in table, Kafka or gaps; it {} the ledgers",
            verdict.audited,
            verdict.missing,
            if verdict.problems.is_empty() { "agrees with" } else { "may not agree with" }
        )?;
        for problem in &verdict.problems {
            writeln!(f, "PROBLEM: {problem}")?;
        }
        Ok(())
    }
}
