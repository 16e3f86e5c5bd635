//! What is in the table and in Kafka, read by independent readers.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, ensure};

use crate::process::{run, script};
use crate::stack::TOPIC;

/// Writes (producer, seq, gap_count) of every row of a table.
const READ_TABLE: &str = "
import sys
import pyarrow.csv
from deltalake import DeltaTable
rows = DeltaTable(sys.argv[1]).to_pyarrow_table(columns=['producer', 'seq', 'gap_count'])
pyarrow.csv.write_csv(rows, sys.argv[2], pyarrow.csv.WriteOptions(include_header=False, quoting_style='none'))
";

/// How often each `seq` of each producer is stored, and the runs of `seq`s that gap records cover.
#[derive(Debug, Default)]
pub struct Stored {
    /// By producer: `seq` and how many times.
    pub rows: BTreeMap<String, BTreeMap<i64, u32>>,
    /// By producer: first and last `seq` of each gap record.
    pub gaps: BTreeMap<String, Vec<(i64, i64)>>,
}

impl Stored {
    /// Reads the Delta table in `table` with the deltalake wheel; `scratch` is a folder to write into.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn in_table(table: &Path, scratch: &Path) -> anyhow::Result<Self> {
        let interpreter = script("python-tools.sh", &[])?;
        let file = scratch.join("table.csv");
        run(Command::new(interpreter).args(["-c", READ_TABLE]).arg(table).arg(&file))?;
        let mut stored = Self::default();
        for line in std::fs::read_to_string(&file)?.lines() {
            let mut parts = line.split(',');
            let producer = parts.next().context("a row without producer")?;
            let seq = parts.next().context("a row without seq")?.parse()?;
            match parts.next().filter(|count| !count.is_empty()) {
                Some(count) => stored.gap(producer, seq, count.parse()?),
                None => stored.row(producer, seq),
            }
        }
        Ok(stored)
    }

    /// Reads the topic with kcat, by its messages' headers. Gap records are counted as rows.
    ///
    /// # Errors
    /// When it cannot be read, or a message has no identity.
    pub fn in_kafka(port: u16) -> anyhow::Result<Self> {
        let broker = format!("127.0.0.1:{port}");
        let args = ["-C", "-e", "-q", "-o", "beginning", "-t", TOPIC, "-f", "%h\n", "-b", &broker];
        let output = run(Command::new("kcat").args(args))?;
        let mut stored = Self::default();
        for line in String::from_utf8(output.stdout)?.lines() {
            let header = |name: &str| line.split(',').find_map(|header| header.strip_prefix(name)?.strip_prefix('='));
            let identity = header("tollgate.producer").zip(header("tollgate.seq"));
            let (producer, seq) = identity.with_context(|| format!("a message with the headers {line:?}"))?;
            stored.row(producer, seq.parse()?);
        }
        Ok(stored)
    }

    fn row(&mut self, producer: &str, seq: i64) {
        let rows = match self.rows.get_mut(producer) {
            Some(rows) => rows,
            None => self.rows.entry(producer.to_owned()).or_default(),
        };
        *rows.entry(seq).or_default() += 1;
    }

    fn gap(&mut self, producer: &str, seq: i64, count: i64) {
        self.gaps.entry(producer.to_owned()).or_default().push((seq, seq + count - 1));
    }

    /// How often a record is there.
    #[must_use]
    pub fn times(&self, producer: &str, seq: i64) -> u32 {
        self.rows.get(producer).and_then(|rows| rows.get(&seq)).copied().unwrap_or(0)
    }

    /// Returns whether a gap record covers this number.
    #[must_use]
    pub fn is_shed(&self, producer: &str, seq: i64) -> bool {
        self.gaps.get(producer).is_some_and(|gaps| gaps.iter().any(|(first, last)| (*first..=*last).contains(&seq)))
    }

    /// Records that are there more than once, by producer.
    pub fn repeated(&self) -> impl Iterator<Item = (&str, i64, u32)> {
        let rows =
            self.rows.iter().flat_map(|(producer, rows)| rows.iter().map(move |(seq, times)| (producer, seq, times)));
        rows.filter(|(.., times)| **times > 1).map(|(producer, seq, times)| (producer.as_str(), *seq, *times))
    }

    /// All records, gap records left out.
    #[must_use]
    pub fn count(&self) -> usize {
        self.rows.values().map(BTreeMap::len).sum()
    }

    /// Checks that everything in `self` is in `other` at least once, gap records among it.
    ///
    /// # Errors
    /// When something is not; the message says how much, and what for example.
    pub fn is_within(&self, other: &Self) -> anyhow::Result<()> {
        let rows = self.rows.iter().flat_map(|(producer, rows)| rows.keys().map(move |seq| (producer, *seq)));
        let gaps = self.gaps.iter().flat_map(|(producer, gaps)| gaps.iter().map(move |(first, _)| (producer, *first)));
        let absent: Vec<_> = rows.chain(gaps).filter(|(producer, seq)| other.times(producer, *seq) == 0).collect();
        ensure!(absent.is_empty(), "{} records, the first are {:?}", absent.len(), &absent[..absent.len().min(5)]);
        Ok(())
    }
}
