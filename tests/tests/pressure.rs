//! Ten times more than can be stored is offered while a sink hangs, and then the collector stalls: memory of collector and proxy
//! stays under what their configurations name, what is refused is refused explicitly, and afterwards nothing is lost.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{bail, ensure};
use bytes::Bytes;
use tokio::sync::Mutex;
use tollgate_clock::now_us;
use tollgate_record::{BatchBuilder, Record, SealLimits};
use tollgate_tests::net::{PATIENCE, wait_for};
use tollgate_tests::plausible::Facts;
use tollgate_tests::post::{Answer, Poster, client_tls};
use tollgate_tests::prober::header;
use tollgate_tests::soak::{COLLECTOR_BOUNDS_BYTES, HIGH_WATER_BYTES, RING_BYTES, Rig, Stored, audit};
use tollgate_tests::traffic::{Plan, Traffic};

/// Memory of a collector beyond its bounds: the allocator's reserve, and the columns of the Parquet file that it writes.
const OVERHEAD_BYTES: u64 = 64 << 20;
/// Memory of a proxy beyond its bounds: its connections, and the allocator's reserve.
const PROXY_OVERHEAD_BYTES: u64 = 32 << 20;
const ROWS: i64 = 1_000;
/// Batches, each about 100 KiB: half as much again as the high water.
const BATCHES: usize = 70;
const POSTS_AT_ONCE: usize = 24;
/// How many times the high water is offered.
const OFFERED_TIMES: u64 = 10;
/// Records that the proxy sheds before the collector goes on.
const SHED_MIN: f64 = 3_000.0;
const POST_TIMEOUT: Duration = Duration::from_secs(30);

fn batches(producer: &str) -> anyhow::Result<Vec<Bytes>> {
    let limits = SealLimits { bytes_max: usize::MAX, ..SealLimits::default() };
    let mut builder = BatchBuilder::new(header(producer.to_owned()), limits);
    let mut batches = Vec::with_capacity(BATCHES);
    let time_us = now_us();
    for seq in 1..=BATCHES as i64 * ROWS {
        builder.append(&Record { time_us, ..Facts::of(seq).record() });
        if builder.len() as i64 == ROWS {
            batches.push(builder.seal(1)?.bytes);
        }
    }
    Ok(batches)
}

#[derive(Default)]
struct Offered {
    bytes: AtomicU64,
    refused: AtomicU64,
    acknowledged: AtomicU64,
}

/// Posts the batches, each again while it is refused, until all are acknowledged or so many bytes were offered.
async fn offer(
    poster: Poster,
    batches: Vec<Bytes>,
    bytes_max: u64,
    offered: Arc<Offered>,
) -> anyhow::Result<Vec<Bytes>> {
    let left = Arc::new(Mutex::new(batches));
    let mut posts = tokio::task::JoinSet::new();
    for _ in 0..POSTS_AT_ONCE {
        let (poster, left, offered) = (poster.clone(), Arc::clone(&left), Arc::clone(&offered));
        posts.spawn(async move {
            loop {
                let Some(batch) = left.lock().await.pop() else { return anyhow::Ok(()) };
                if offered.bytes.fetch_add(batch.len() as u64, Ordering::Relaxed) > bytes_max {
                    left.lock().await.push(batch);
                    return Ok(());
                }
                match poster.post(batch.clone(), POST_TIMEOUT).await? {
                    Answer::Acknowledged { .. } => drop(offered.acknowledged.fetch_add(1, Ordering::Relaxed)),
                    Answer::Refused { status: 503 | 429, retry_after: Some(_), .. } => {
                        offered.refused.fetch_add(1, Ordering::Relaxed);
                        left.lock().await.insert(0, batch);
                    }
                    other => bail!("a batch was answered {other:?}"),
                }
            }
        });
    }
    while let Some(post) = posts.join_next().await {
        post??;
    }
    Ok(std::mem::take(&mut *left.lock().await))
}

#[test]
fn memory_is_bounded_and_refusals_are_explicit() -> anyhow::Result<()> {
    let dir = tempfile::tempdir()?;
    let mut rig = Rig::start(dir.path())?;
    let producer = format!("edge-1/{:x}/0", now_us());
    let batches = batches(&producer)?;
    let size: u64 = batches.iter().map(|batch| batch.len() as u64).sum();
    ensure!(
        size > HIGH_WATER_BYTES + HIGH_WATER_BYTES / 2,
        "{size} bytes in all batches are too few to fill the journal"
    );

    let idle = rig.collector.memory()?;
    // A sink that hangs: the journal fills, and the rest is refused.
    rig.signal_kafka("STOP")?;
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    let tls = client_tls(&rig.dir.join("tls"), "edge-1")?;
    let ingest = ([127, 0, 0, 1], rig.ports.ingest).into();
    let poster = runtime.block_on(Poster::connect(tls, ingest, POST_TIMEOUT))?;
    let offered = Arc::new(Offered::default());
    let bytes_max = HIGH_WATER_BYTES * OFFERED_TIMES;
    let left = runtime.block_on(offer(poster.clone(), batches, bytes_max, Arc::clone(&offered)))?;
    let memory = rig.collector.memory()?;
    let (refused, acknowledged) =
        (offered.refused.load(Ordering::Relaxed), offered.acknowledged.load(Ordering::Relaxed));
    println!(
        "collector: {} MiB offered, {acknowledged} batches acknowledged, {refused} refusals, memory {} MiB idle, peak {} MiB",
        offered.bytes.load(Ordering::Relaxed) >> 20,
        idle.now >> 20,
        memory.peak >> 20
    );
    ensure!(
        refused > 0 && !left.is_empty(),
        "nothing was refused although the journal's high water is {HIGH_WATER_BYTES}"
    );
    ensure!(
        memory.peak < idle.now + COLLECTOR_BOUNDS_BYTES + OVERHEAD_BYTES,
        "the collector's memory: {idle:?}, then {memory:?}"
    );
    rig.signal_kafka("CONT")?;
    let again = Arc::new(Offered::default());
    let mut left = left;
    let started = Instant::now();
    while !left.is_empty() && started.elapsed() < PATIENCE {
        std::thread::sleep(Duration::from_millis(100));
        left = runtime.block_on(offer(poster.clone(), left, u64::MAX, Arc::clone(&again)))?;
    }
    ensure!(left.is_empty(), "{} batches are still refused although the sink goes on", left.len());

    // A collector that stalls: the proxy's ring and spool fill, and it sheds.
    let before = rig.proxy.memory()?;
    rig.collector.signal("STOP")?;
    let traffic = Traffic::start(Plan {
        targets: vec![([127, 0, 0, 1], rig.ports.http).into()],
        clients: 16,
        rate: 1_000_000.0,
        paths: vec!["/a/members/1".into()],
        timeout: Duration::from_secs(20),
    });
    let filled = rig.spool_disk.as_ref().map_or(Ok(()), |disk| disk.fill());
    let shed = wait_for("the proxy to shed", || {
        let shipped = rig.shipped()?;
        ensure!(shipped.shed > SHED_MIN, "{shipped:?}");
        ensure!(shipped.ring_bytes <= RING_BYTES as f64, "the ring's bound is {RING_BYTES}: {shipped:?}");
        Ok(shipped)
    });
    rig.collector.signal("CONT")?;
    filled?;
    if let Some(disk) = &rig.spool_disk {
        disk.free()?;
    }
    let shed = shed?;
    let memory = rig.proxy.memory()?;
    println!("proxy: {shed:?}, memory {} KiB before, peak {} KiB", before.now >> 10, memory.peak >> 10);
    ensure!(
        memory.peak < before.now + 2 * RING_BYTES + PROXY_OVERHEAD_BYTES,
        "the proxy's memory: {before:?}, then {memory:?}"
    );
    let ledger = traffic.stop()?;
    ensure!(ledger.failed.is_empty(), "requests failed while the collector stalled: {:?}", ledger.failed.first());

    rig.wait_settled()?;
    ensure!(rig.proxy.stop()?.success(), "the proxy's end: {}", rig.proxy.output());
    rig.wait_journal_delivered()?;
    let account = audit::ask(&rig.ports)?;
    ensure!(rig.collector.stop()?.success(), "the collector's end: {}", rig.collector.output());
    let table = Stored::in_table(&rig.dir.join("data/table"), &rig.dir)?;
    audit::agrees(&account, &table)?;
    ensure!(account["whole"] == true, "something is neither stored nor told to be shed: {account:#}");
    let stored = table.rows.get(&producer).map_or(0, std::collections::BTreeMap::len);
    ensure!(stored == BATCHES * ROWS as usize, "{stored} records of the acknowledged batches are stored");
    Ok(())
}
