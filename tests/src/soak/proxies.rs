//! The accounts of the proxy's processes, one after the other: how each ended, and what was safe by then.

use std::collections::BTreeMap;
use std::fs;

use anyhow::{Context, ensure};
use arrow_array::Array;
use arrow_array::cast::AsArray;
use arrow_array::types::Int64Type;
use tollgate_record::{DecodeLimits, decode};

use super::rig::{Rig, Shipped};
use crate::stack::start_proxy;
use crate::traffic::{Ledger, Traffic};

/// Records that were in the spool, by producer.
pub type Spooled = BTreeMap<String, Vec<i64>>;

/// How a process ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// The proxy still runs, or was asked to stop: no record may be lost.
    Orderly,
    /// By SIGKILL: what was not acknowledged may be lost.
    Killed,
}

/// One process of the proxy.
#[derive(Debug)]
pub struct Incarnation {
    /// Cycle in which it ended.
    pub ended_in: Option<usize>,
    /// How.
    pub end: End,
    /// Records of an earlier process that were in the spool when it began.
    pub inherited: f64,
    /// Records of its own that the collector had acknowledged by the last look before its end, at least.
    pub acked_min: f64,
}

/// All processes so far.
#[derive(Debug)]
pub struct Proxies {
    /// By epoch.
    pub incarnations: Vec<Incarnation>,
    /// Records found in the spool after a kill, by producer: they must arrive.
    pub spooled: Spooled,
    /// Records shed so far, by all processes, as far as seen.
    pub shed: f64,
    /// Cycle that is under way.
    pub cycle: usize,
    traffic: Traffic,
}

impl Proxies {
    /// The accounts of the first process, which answers `traffic`.
    #[must_use]
    pub fn new(traffic: Traffic) -> Self {
        let first = Incarnation { ended_in: None, end: End::Orderly, inherited: 0.0, acked_min: 0.0 };
        Self { incarnations: vec![first], spooled: BTreeMap::new(), shed: 0.0, cycle: 0, traffic }
    }

    /// The clients.
    #[must_use]
    pub fn traffic(&self) -> &Traffic {
        &self.traffic
    }

    /// Ends the clients.
    ///
    /// # Errors
    /// When one panicked.
    pub fn finish(self) -> anyhow::Result<(Vec<Incarnation>, Spooled, Ledger)> {
        Ok((self.incarnations, self.spooled, self.traffic.stop()?))
    }

    /// Kills the proxy and notes what was safe by then.
    ///
    /// # Errors
    /// When it cannot be killed, or its spool cannot be read.
    pub fn kill(&mut self, rig: &mut Rig) -> anyhow::Result<()> {
        // The look may fail, as when the process was stopped: then less is known to be safe.
        let seen = rig.shipped().unwrap_or_default();
        rig.proxy.kill()?;
        self.note_end(End::Killed, seen);
        for (producer, seq) in spooled(rig)? {
            self.spooled.entry(producer).or_default().push(seq);
        }
        Ok(())
    }

    /// Asks the proxy to stop.
    ///
    /// # Errors
    /// When it does not, or says that it failed.
    pub fn stop(&mut self, rig: &mut Rig) -> anyhow::Result<()> {
        let seen = rig.shipped().unwrap_or_default();
        let status = rig.proxy.stop()?;
        self.note_end(End::Orderly, seen);
        ensure!(status.success(), "the proxy ended with {status}: {}", rig.proxy.output());
        Ok(())
    }

    fn note_end(&mut self, end: End, seen: Shipped) {
        self.traffic.next_epoch();
        self.shed += seen.shed;
        if let Some(last) = self.incarnations.last_mut() {
            // Acknowledgements of what it inherited count too: as if all of that came first.
            last.acked_min = (seen.acked - last.inherited).max(0.0);
            last.end = end;
            last.ended_in = Some(self.cycle);
        }
    }

    /// Starts the next process.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn start(&mut self, rig: &mut Rig) -> anyhow::Result<()> {
        let inherited = spooled(rig)?.len() as f64;
        self.incarnations.push(Incarnation { ended_in: None, end: End::Orderly, inherited, acked_min: 0.0 });
        rig.proxy = start_proxy(&rig.dir)?;
        Ok(())
    }
}

/// The (producer, seq) of every record in the spool's files, gap records left out.
fn spooled(rig: &Rig) -> anyhow::Result<Vec<(String, i64)>> {
    let mut records = Vec::new();
    for entry in fs::read_dir(rig.dir.join("data/spool"))? {
        let path = entry?.path();
        if !path.to_string_lossy().ends_with(".arrows.zst") {
            continue;
        }
        let batch = decode(&fs::read(&path)?, &DecodeLimits::default())
            .with_context(|| format!("{} was left by a killed proxy", path.display()))?;
        let column = |name: &str| batch.records.column_by_name(name).with_context(|| format!("no column {name}"));
        let seqs = column("seq")?.as_primitive::<Int64Type>();
        let gaps = column("gap_count")?;
        for row in 0..batch.records.num_rows() {
            if gaps.is_null(row) {
                records.push((batch.meta.producer.clone(), seqs.value(row)));
            }
        }
    }
    Ok(records)
}
