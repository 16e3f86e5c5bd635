//! What is done to the whole, and undone again.

use std::fmt;
use std::time::{Duration, Instant};

use anyhow::ensure;
use rand::Rng;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;

use super::proxies::Proxies;
use super::rig::Rig;
use crate::net::{PATIENCE, sleep};
use crate::prober::Prober;
use crate::relay::Network;
use crate::stack::start_collector;

/// Shortest and longest time that a fault without an end of its own lasts, in milliseconds. The proxy's and the prober's
/// posts time out after 2 s, so that some faults are shorter and some longer than a post.
const FAULT_MS: std::ops::Range<u64> = 300..4_000;
/// How long a full disk is waited for to be noticed.
const NOTICE_MAX: Duration = Duration::from_secs(20);

/// A fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Fault {
    /// SIGKILL of the proxy.
    ProxyKilled,
    /// SIGKILL of the proxy while it spools, as the collector cannot be reached.
    ProxyKilledSpooling,
    /// SIGSTOP of the proxy for a while.
    ProxyStopped,
    /// SIGTERM of the proxy, and a new one.
    ProxyRestarted,
    /// SIGKILL of the collector.
    CollectorKilled,
    /// SIGSTOP of the collector for a while.
    CollectorStopped,
    /// SIGTERM of the collector, and a new one.
    CollectorRestarted,
    /// SIGKILL of Kafka.
    KafkaKilled,
    /// SIGSTOP of Kafka for a while: a sink that hangs.
    KafkaStopped,
    /// SIGKILL of proxy, collector and Kafka at once.
    AllKilled,
    /// Connections to the collector are reset, several times.
    ConnectionsCut,
    /// The collector cannot be reached for a while.
    NetworkCut,
    /// Connections to the collector stand still for a while.
    NetworkStalled,
    /// The collector's side of the connections is gone without a word.
    HalfOpen,
    /// The journal's disk is full.
    JournalFull,
    /// The spool's disk is full while the collector cannot be reached: records must be shed.
    SpoolFull,
    /// The table's folder is read-only: a sink that fails.
    TableReadOnly,
    /// The table's disk is full.
    TableFull,
}

use Fault::{
    AllKilled, CollectorKilled, CollectorRestarted, CollectorStopped, ConnectionsCut, HalfOpen, JournalFull,
    KafkaKilled, KafkaStopped, NetworkCut, NetworkStalled, ProxyKilled, ProxyKilledSpooling, ProxyRestarted,
    ProxyStopped, SpoolFull, TableFull, TableReadOnly,
};

impl Fault {
    /// Every fault.
    pub const ALL: [Self; 18] = [
        ProxyKilled,
        ProxyKilledSpooling,
        ProxyStopped,
        ProxyRestarted,
        CollectorKilled,
        CollectorStopped,
        CollectorRestarted,
        KafkaKilled,
        KafkaStopped,
        AllKilled,
        ConnectionsCut,
        NetworkCut,
        NetworkStalled,
        HalfOpen,
        JournalFull,
        SpoolFull,
        TableReadOnly,
        TableFull,
    ];

    /// One of those that are possible here.
    pub fn any(rig: &Rig, dice: &mut StdRng) -> Self {
        let possible: Vec<Self> = Self::ALL.into_iter().filter(|fault| fault.is_possible(rig)).collect();
        possible.choose(dice).copied().unwrap_or(CollectorKilled)
    }

    fn is_possible(self, rig: &Rig) -> bool {
        match self {
            JournalFull => rig.journal_disk.is_some(),
            SpoolFull => rig.spool_disk.is_some(),
            TableReadOnly | TableFull => rig.table_disk.is_some(),
            _ => true,
        }
    }

    /// Lets it happen, and undoes it.
    ///
    /// # Errors
    /// When a process cannot be signalled or started again, or a full disk is never noticed.
    pub fn happen(self, at: &mut Scene<'_>) -> anyhow::Result<()> {
        match self {
            ProxyKilled | ProxyKilledSpooling | ProxyStopped | ProxyRestarted => self.of_proxy(at),
            CollectorKilled | CollectorStopped | CollectorRestarted => self.of_collector(at),
            KafkaKilled => {
                at.rig.kill_kafka()?;
                at.last();
                at.rig.restart_kafka()
            }
            KafkaStopped => {
                at.rig.signal_kafka("STOP")?;
                at.last();
                at.rig.signal_kafka("CONT")
            }
            AllKilled => {
                at.rig.kill_kafka()?;
                at.rig.collector.kill()?;
                at.proxies.kill(at.rig)?;
                at.rig.collector = start_collector(&at.rig.dir)?;
                at.proxies.start(at.rig)?;
                at.rig.restart_kafka()
            }
            ConnectionsCut => {
                for _ in 0..at.dice.random_range(1..10) {
                    at.rig.proxy_network.break_connections();
                    at.rig.prober_network.break_connections();
                    sleep(Duration::from_millis(at.dice.random_range(0..200)));
                }
                Ok(())
            }
            NetworkCut => at.network(Network::Cut, Scene::last),
            NetworkStalled => at.network(Network::Stalled, Scene::last),
            HalfOpen => at.network(Network::HalfOpen, Scene::last),
            JournalFull | SpoolFull | TableReadOnly | TableFull => self.of_disk(at),
        }
    }

    fn of_proxy(self, at: &mut Scene<'_>) -> anyhow::Result<()> {
        match self {
            ProxyStopped => {
                at.rig.proxy.signal("STOP")?;
                at.last();
                at.rig.proxy.signal("CONT")
            }
            ProxyRestarted => {
                at.proxies.stop(at.rig)?;
                at.proxies.start(at.rig)
            }
            ProxyKilledSpooling => {
                at.rig.proxy_network.set(Network::Cut);
                let spools = at.notice(|at| Ok(at.rig.shipped()?.spool_bytes > 0.0));
                at.last();
                at.proxies.kill(at.rig)?;
                at.rig.proxy_network.set(Network::Up);
                at.proxies.start(at.rig)?;
                ensure!(spools?, "the proxy did not spool while the collector could not be reached");
                Ok(())
            }
            _ => {
                at.proxies.kill(at.rig)?;
                at.last();
                at.proxies.start(at.rig)
            }
        }
    }

    fn of_collector(self, at: &mut Scene<'_>) -> anyhow::Result<()> {
        match self {
            CollectorStopped => {
                at.rig.collector.signal("STOP")?;
                at.last();
                return at.rig.collector.signal("CONT");
            }
            CollectorRestarted => {
                let status = at.rig.collector.stop()?;
                ensure!(status.success(), "the collector ended with {status}: {}", at.rig.collector.output());
            }
            _ => {
                at.rig.collector.kill()?;
                at.last();
            }
        }
        at.rig.collector = start_collector(&at.rig.dir)?;
        Ok(())
    }

    fn of_disk(self, at: &mut Scene<'_>) -> anyhow::Result<()> {
        let disk = match self {
            JournalFull => &at.rig.journal_disk,
            SpoolFull => &at.rig.spool_disk,
            _ => &at.rig.table_disk,
        };
        let Some(disk) = disk.clone() else { return Ok(()) };
        match self {
            JournalFull => {
                disk.fill()?;
                let before = at.prober.refused();
                let refused = at.notice(|at| Ok(at.prober.refused() > before));
                disk.free()?;
                ensure!(refused?, "nothing was refused while the journal's disk was full");
            }
            SpoolFull => {
                disk.fill()?;
                let before = at.rig.shipped()?.shed;
                let shed = at.network(Network::Cut, |at| at.notice(|at| Ok(at.rig.shipped()?.shed > before)));
                disk.free()?;
                ensure!(shed??, "nothing was shed while the spool's disk was full");
            }
            TableFull => {
                disk.fill()?;
                at.last();
                disk.free()?;
            }
            _ => {
                disk.set_read_only(true)?;
                at.last();
                disk.set_read_only(false)?;
            }
        }
        Ok(())
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            ProxyKilled => "proxy: SIGKILL",
            ProxyKilledSpooling => "proxy: SIGKILL while spooling",
            ProxyStopped => "proxy: SIGSTOP, SIGCONT",
            ProxyRestarted => "proxy: SIGTERM, restart",
            CollectorKilled => "collector: SIGKILL",
            CollectorStopped => "collector: SIGSTOP, SIGCONT",
            CollectorRestarted => "collector: SIGTERM, restart",
            KafkaKilled => "Kafka: SIGKILL",
            KafkaStopped => "Kafka: SIGSTOP, SIGCONT",
            AllKilled => "all three: SIGKILL",
            ConnectionsCut => "connections reset",
            NetworkCut => "collector unreachable",
            NetworkStalled => "network stalled",
            HalfOpen => "connections half open",
            JournalFull => "journal's disk full",
            SpoolFull => "spool's disk full, unreachable",
            TableReadOnly => "table read-only",
            TableFull => "table's disk full",
        })
    }
}

/// Where a fault happens.
pub struct Scene<'a> {
    /// The whole.
    pub rig: &'a mut Rig,
    /// The accounts of the proxy's processes.
    pub proxies: &'a mut Proxies,
    /// The prober, whose refusals are counted.
    pub prober: &'a Prober,
    /// Chance.
    pub dice: &'a mut StdRng,
}

impl Scene<'_> {
    /// Lets the fault last for a while.
    fn last(&mut self) {
        sleep(Duration::from_millis(self.dice.random_range(FAULT_MS)));
    }

    /// Lets both networks behave badly while `during` runs.
    fn network<T>(&mut self, bad: Network, during: impl FnOnce(&mut Self) -> T) -> anyhow::Result<T> {
        self.rig.proxy_network.set(bad);
        self.rig.prober_network.set(bad);
        let outcome = during(self);
        self.rig.proxy_network.set(Network::Up);
        self.rig.prober_network.set(Network::Up);
        Ok(outcome)
    }

    /// Returns whether the condition comes true in time.
    fn notice(&self, mut is_true: impl FnMut(&Self) -> anyhow::Result<bool>) -> anyhow::Result<bool> {
        let started = Instant::now();
        while started.elapsed() < NOTICE_MAX.min(PATIENCE) {
            if is_true(self)? {
                return Ok(true);
            }
            sleep(Duration::from_millis(50));
        }
        Ok(false)
    }
}
