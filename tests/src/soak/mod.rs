//! Conservation: whatever fails, each request that a client got an answer to has one row in the table and a message in
//! Kafka, unless its proxy was killed before it had sent the record, or the record was shed and a gap record says so; and each
//! batch that the collector acknowledged has its rows in the table once.
//!
//! ```text
//!   clients ──▶ proxy ──▶ upstreams           one ledger: every answer's X-Request-Id
//!                 │ relay: cut, stalled, half open
//!                 ▼
//!   prober ─▶ collector ──▶ Kafka, table      another: every acknowledgement
//!     └ relay                                 small disks under spool, journal and table
//! ```
//! Real processes, and one fault in each cycle, drawn by a seeded generator: [`Fault`]. A cycle is over when all has recovered:
//! a request that was answered after the fault is found in SQL, the spool is empty, and every sink has stored what the journal
//! held. At the end the table is read by the deltalake wheel Kafka by kcat, and the ledgers and the account of
//! `tollgate audit` are held against them: [`Verdict`].

pub mod audit;
mod fault;
mod proxies;
mod report;
mod rig;
mod stored;
mod verdict;

pub use fault::Fault;
pub use report::Report;
pub use rig::{COLLECTOR_BOUNDS_BYTES, HIGH_WATER_BYTES, Ports, RING_BYTES, Rig, Shipped};
pub use stored::Stored;
pub use verdict::Verdict;

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use crate::client::psql;
use crate::http::Connection;
use crate::net::{sleep, wait_for};
use crate::prober::Prober;
use crate::traffic::{self, Traffic};
use fault::Scene;
use proxies::Proxies;

/// Longest wait of a client; longer than a stopped proxy stays stopped.
const CLIENT_TIMEOUT: Duration = Duration::from_secs(20);
/// How long one request's record is looked for before another request is made.
const MARKER_PATIENCE: Duration = Duration::from_secs(3);
/// Quiet time before a fault, at most, in milliseconds.
const QUIET_MS_MAX: u64 = 700;

/// The soak's configuration.
#[derive(Debug, Clone)]
pub struct Plan {
    /// The faults, in order; empty = drawn.
    pub faults: Vec<Fault>,
    /// How many cycles, where faults are drawn.
    pub cycles: usize,
    /// Of the generator.
    pub seed: u64,
    /// Clients.
    pub clients: u32,
    /// Their requests a second, together.
    pub rate: f64,
}

/// One cycle.
#[derive(Debug)]
pub struct Cycle {
    /// The outcome of the faults.
    pub fault: Fault,
    /// Answers that clients had got by its end.
    pub answered_by: usize,
    /// Last `seq` of the prober that had been acknowledged by its end.
    pub acked_by: i64,
    /// From the end of the fault until all had recovered.
    pub recovery: Duration,
}

/// Runs the plan in `dir`, which holds everything that is written.
///
/// # Errors
/// When a part does not start, recover or stop; what is lost or doubled is in the report, not an error.
pub fn run(plan: &Plan, dir: &Path) -> anyhow::Result<Report> {
    println!("conservation: seed {}, {} requests/s", plan.seed, plan.rate);
    let mut dice = StdRng::seed_from_u64(plan.seed);
    let mut rig = Rig::start(dir).context("starting")?;
    let prober = Prober::start(&dir.join("tls"), rig.prober_network.addr, plan.seed)?;
    let mut proxies = Proxies::new(Traffic::start(traffic::Plan {
        targets: vec![([127, 0, 0, 1], rig.ports.http).into()],
        clients: plan.clients,
        rate: plan.rate,
        paths: Rig::paths(),
        timeout: CLIENT_TIMEOUT,
    }));
    let count = if plan.faults.is_empty() { plan.cycles } else { plan.faults.len() };
    let mut cycles: Vec<Cycle> = Vec::with_capacity(count);
    for number in 0..count {
        let fault = plan.faults.get(number).copied().unwrap_or_else(|| Fault::any(&rig, &mut dice));
        sleep(Duration::from_millis(dice.random_range(0..QUIET_MS_MAX)));
        proxies.cycle = number;
        let began = Instant::now();
        let mut scene = Scene { rig: &mut rig, proxies: &mut proxies, prober: &prober, dice: &mut dice };
        fault.happen(&mut scene).with_context(|| format!("cycle {number}: {fault}"))?;
        let over = Instant::now();
        recover(&rig).with_context(|| format!("cycle {number}: recovering from {fault}"))?;
        let recovery = over.elapsed();
        let answered_by = proxies.traffic().look(|ledger| ledger.answered.len());
        println!(
            "cycle {:>3} of {count}: {fault:<30} {:>5.1} s, recovered in {:>5.1} s, {answered_by} answered",
            number + 1,
            over.duration_since(began).as_secs_f64(),
            recovery.as_secs_f64()
        );
        cycles.push(Cycle { fault, answered_by, acked_by: prober.acked(), recovery });
    }
    finish(rig, proxies, prober, cycles)
}

/// Waits until all has recovered.
fn recover(rig: &Rig) -> anyhow::Result<()> {
    rig.wait_ready()?;
    wait_for("a request's record in SQL", || {
        let mut connection = Connection::open(([127, 0, 0, 1], rig.ports.http).into(), CLIENT_TIMEOUT)?;
        let answer = connection.exchange(b"GET /a/marker HTTP/1.1\r\nhost: api.example.com\r\n\r\n");
        let answer = answer.map_err(|failure| anyhow::anyhow!("{failure:?}"))?;
        ensure!(answer.status == 200, "{answer:?}");
        let id = answer.request_id.context("no X-Request-Id")?;
        let query = format!("SELECT count(*) FROM transactions WHERE request_id = '{id}'");
        let asked = Instant::now();
        let mut rows = psql(rig.ports.postgres, &query)?;
        while rows != ["1"] && asked.elapsed() < MARKER_PATIENCE {
            rows = psql(rig.ports.postgres, &query)?;
        }
        // The ring may still have been full: then the record was shed, and the next one must arrive.
        ensure!(rows == ["1"], "{id} is found {rows:?} times");
        Ok(())
    })?;
    rig.wait_settled()
}

/// Stops everything in order and compares the ledgers with the table and Kafka.
fn finish(mut rig: Rig, mut proxies: Proxies, prober: Prober, cycles: Vec<Cycle>) -> anyhow::Result<Report> {
    let acks = prober.stop()?;
    proxies.traffic().pause(true);
    rig.wait_settled()?;
    proxies.cycle = cycles.len();
    proxies.stop(&mut rig)?;
    rig.wait_journal_delivered()?;
    let account = audit::ask(&rig.ports)?;
    let status = rig.collector.stop()?;
    ensure!(status.success(), "the collector ended with {status}: {}", rig.collector.output());
    // The collector stores everything in the table when it stops, and sees Kafka's reports through.
    let table = Stored::in_table(&rig.dir.join("data/table"), &rig.dir)?;
    let kafka = Stored::in_kafka(rig.ports.kafka)?;
    let shed = proxies.shed;
    let (incarnations, spooled, clients) = proxies.finish()?;
    let evidence = verdict::Evidence {
        clients: &clients,
        acks: &acks,
        incarnations: &incarnations,
        spooled: &spooled,
        table: &table,
        kafka: &kafka,
        account: &account,
    };
    let verdict = Verdict::of(&evidence);
    Ok(Report { cycles, clients, acks, incarnations, verdict, stored: table.count(), shed })
}
