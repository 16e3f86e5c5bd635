//! Graceful stops under load: proxies are restarted one after the other and so is the collector, and no request fails, no
//! record is lost and none is doubled.

use std::collections::HashSet;
use std::net::TcpStream;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use tollgate_demo_ca::{DemoCa, Lifetime};
use tollgate_record::id::producer_tag;
use tollgate_tests::http::page;
use tollgate_tests::net::{PATIENCE, free_port, wait_for};
use tollgate_tests::process::{Process, binary};
use tollgate_tests::soak::{Rig, Stored, audit};
use tollgate_tests::stack::{start_collector, start_proxy};
use tollgate_tests::traffic::{Plan, Traffic};

const ROUNDS: usize = 3;
const CLIENTS: u32 = 16;
const REQUESTS_PER_SECOND: f64 = 250.0;
/// Answers between two restarts: each client has been answered some times.
const BETWEEN: usize = 150;

/// A second proxy beside the rig's, with a name, ports and a spool of its own.
struct Second {
    http: u16,
    admin: u16,
    rig: std::path::PathBuf,
}

impl Second {
    fn prepare(rig: &Rig) -> anyhow::Result<Self> {
        let valid = Lifetime::days(2);
        DemoCa::open(&rig.dir.join("tls"))?.client("edge-2", "edge-2", &["edge-2"], valid)?;
        let (http, admin) = (free_port()?, free_port()?);
        let yaml = std::fs::read_to_string(rig.dir.join("proxy.yaml"))?;
        let yaml = yaml
            .replace("edge-1", "edge-2")
            .replace("data/spool", "data/spool-2")
            .replace(&format!("127.0.0.1:{}", rig.ports.http), &format!("127.0.0.1:{http}"))
            .replace(&format!("127.0.0.1:{}", rig.ports.proxy_admin), &format!("127.0.0.1:{admin}"));
        std::fs::write(rig.dir.join("proxy-2.yaml"), yaml)?;
        Ok(Self { http, admin, rig: rig.dir.clone() })
    }

    fn start(&self) -> anyhow::Result<Process> {
        let mut command = Command::new(binary("tollgate-proxy")?);
        let proxy = Process::start("proxy-2", &self.rig, command.arg("--config").arg(self.rig.join("proxy-2.yaml")))?;
        wait_for("the second proxy to be ready", || page(self.admin, "/readyz")).with_context(|| proxy.output())?;
        Ok(proxy)
    }
}

fn more_answers(traffic: &Traffic) -> anyhow::Result<()> {
    let before = traffic.look(|ledger| ledger.answered.len());
    wait_for("more answers", || {
        let now = traffic.look(|ledger| ledger.answered.len());
        ensure!(now >= before + BETWEEN, "{before} answers before, {now} now");
        Ok(())
    })
}

/// Starts a collector twice and stops it before it is ready, as whoever rolls back in a hurry does: when its first port is
/// open, which is before the journal is, and when the journal is open.
fn stop_while_starting(rig: &Rig) -> anyhow::Result<()> {
    let opened = || rig.collector.output().matches("journal opened").count();
    stop_once(rig, || TcpStream::connect(("127.0.0.1", rig.ports.ingest)).is_ok())?;
    let before = opened();
    stop_once(rig, || opened() > before)
}

fn stop_once(rig: &Rig, is_time: impl Fn() -> bool) -> anyhow::Result<()> {
    let mut hasty = start_collector(&rig.dir)?;
    let started = Instant::now();
    while !is_time() {
        ensure!(started.elapsed() < PATIENCE, "it does not start: {}", hasty.output());
        std::thread::sleep(Duration::from_millis(1));
    }
    let end = hasty.stop()?;
    ensure!(end.success(), "the end of a collector that was starting: {end}, {}", hasty.output());
    Ok(())
}

#[test]
fn restarts_under_load_fail_no_request_and_lose_no_record() -> anyhow::Result<()> {
    let dir = tempfile::tempdir()?;
    let mut rig = Rig::start(dir.path())?;
    let second = Second::prepare(&rig)?;
    let mut other = second.start()?;
    let traffic = Traffic::start(Plan {
        targets: vec![([127, 0, 0, 1], rig.ports.http).into(), ([127, 0, 0, 1], second.http).into()],
        clients: CLIENTS,
        rate: REQUESTS_PER_SECOND,
        paths: vec!["/a/members/1".into(), "/slow/x".into(), "/a/bytes/30000".into()],
        timeout: Duration::from_secs(20),
    });
    for _ in 0..ROUNDS {
        more_answers(&traffic)?;
        ensure!(rig.collector.stop()?.success(), "the collector's end: {}", rig.collector.output());
        more_answers(&traffic)?;
        stop_while_starting(&rig)?;
        rig.collector = start_collector(&rig.dir)?;
        rig.wait_ready()?;
    }
    let (failed, retried) = traffic.look(|ledger| (ledger.failed.clone(), ledger.retried));
    ensure!(
        failed.is_empty() && retried == 0,
        "restarts of the collector touched requests: {retried} again, {failed:?}"
    );
    for _ in 0..ROUNDS {
        more_answers(&traffic)?;
        ensure!(rig.proxy.stop()?.success(), "the proxy's end: {}", rig.proxy.output());
        rig.proxy = start_proxy(&rig.dir)?;
        rig.wait_ready()?;
        more_answers(&traffic)?;
        ensure!(other.stop()?.success(), "the second proxy's end: {}", other.output());
        other = second.start()?;
    }
    more_answers(&traffic)?;
    let ledger = traffic.stop()?;
    ensure!(rig.proxy.stop()?.success() && other.stop()?.success(), "the proxies' end");
    rig.wait_journal_delivered()?;
    let account = audit::ask(&rig.ports)?;
    ensure!(account["whole"] == true && account["totals"]["shed"] == 0, "{account:#}");
    ensure!(rig.collector.stop()?.success(), "the collector's end: {}", rig.collector.output());
    let table = Stored::in_table(&rig.dir.join("data/table"), &rig.dir)?;

    println!("{} answered, {} sent again, {} failed", ledger.answered.len(), ledger.retried, ledger.failed.len());
    ensure!(ledger.failed.is_empty(), "{} requests failed: {:?}", ledger.failed.len(), ledger.failed);
    ensure!(ledger.answered.iter().all(|answered| answered.status == 200), "an answer was not 200");
    let rows = table.rows.iter().flat_map(|(producer, rows)| {
        let tag = producer_tag(producer);
        rows.iter().map(move |(seq, times)| ((tag, *seq), *times))
    });
    let (identities, times): (HashSet<_>, Vec<u32>) = rows.unzip();
    ensure!(times.iter().all(|times| *times == 1), "a record is doubled");
    // A request that is sent again was closed upon before it was read: otherwise it would have left a record of its own.
    ensure!(
        identities.len() == ledger.answered.len(),
        "{} records of {} answered requests",
        identities.len(),
        ledger.answered.len()
    );
    for answered in &ledger.answered {
        let identity = (answered.id.producer_tag(), answered.id.seq());
        ensure!(identities.contains(&identity), "{} was answered and has no record", answered.id);
    }
    Ok(())
}
