//! Batches made before the clock starts, and the posts that carry them.

use std::fmt;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use bytes::Bytes;
use tollgate_clock::now_us;
use tollgate_record::{BatchBuilder, Record, SealLimits};
use tollgate_tests::plausible::Facts;
use tollgate_tests::post::{Answer, Poster, client_tls};
use tollgate_tests::prober::header;

/// Records of one batch.
pub const ROWS: usize = 4_096;
/// Connections to the collector.
const CONNECTIONS: usize = 4;
/// Posts under way at once on each.
const POSTS_EACH: usize = 4;
/// Posts under way at once on all of them.
pub const POSTS_MAX: usize = CONNECTIONS * POSTS_EACH;
const POST_TIMEOUT: Duration = Duration::from_secs(60);
/// Wait after a refusal.
const AGAIN: Duration = Duration::from_millis(50);

/// Makes batches of one producer, as many as are asked for.
pub struct Maker {
    builder: BatchBuilder,
    next_seq: i64,
}

impl Maker {
    /// A producer that starts now.
    pub fn new() -> anyhow::Result<Self> {
        let limits = SealLimits { records_max: ROWS, bytes_max: usize::MAX, ..SealLimits::default() };
        Ok(Self { builder: BatchBuilder::new(header(format!("edge-1/{:x}/0", now_us())), limits), next_seq: 1 })
    }

    /// The next batches.
    pub fn make(&mut self, count: usize) -> anyhow::Result<Vec<Bytes>> {
        let mut batches = Vec::with_capacity(count);
        let time_us = now_us();
        while batches.len() < count {
            for _ in 0..ROWS {
                self.builder.append(&Record { time_us, ..Facts::of(self.next_seq).record() });
                self.next_seq += 1;
            }
            batches.push(self.builder.seal(1)?.bytes);
        }
        Ok(batches)
    }
}

/// Counts of the answers to posts.
#[derive(Debug, Default)]
pub struct Outcome {
    /// Time from the start to the last acknowledgement.
    pub took: Duration,
    /// Waits for the acknowledgements: to a pace from when each post was due, else from when it began.
    pub waits: Vec<Duration>,
    /// Posts refused with 503 or 429; each was posted again, unless the batches are let go.
    pub refused: usize,
}

impl Outcome {
    /// Records acknowledged a second.
    pub fn rate(&self) -> f64 {
        (self.waits.len() * ROWS) as f64 / self.took.as_secs_f64()
    }
}

/// How batches are posted.
#[derive(Debug, Clone, Copy)]
pub struct Pace {
    /// Batches a second; none = each as soon as one before it is answered.
    pub per_second: Option<f64>,
    /// No post begins after this.
    pub time: Duration,
}

/// Posts the batches, each until it is acknowledged: to a pace, a refused one is let go as the next is due.
pub fn post(tls: &Path, ingest: u16, batches: Vec<Bytes>, pace: Pace) -> anyhow::Result<Outcome> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    let tls = client_tls(tls, "edge-1")?;
    let shared = Arc::new(Shared {
        batches: Mutex::new(batches.into_iter().enumerate()),
        refused: AtomicUsize::new(0),
        over: AtomicBool::new(false),
    });
    runtime.block_on(async {
        let mut posters = Vec::new();
        for _ in 0..CONNECTIONS {
            posters.push(Poster::connect(Arc::clone(&tls), ([127, 0, 0, 1], ingest).into(), POST_TIMEOUT).await?);
        }
        let started = Instant::now();
        let mut posts = tokio::task::JoinSet::new();
        for poster in posters {
            for _ in 0..POSTS_EACH {
                posts.spawn(one_after_another(poster.clone(), Arc::clone(&shared), started, pace));
            }
        }
        let mut waits = Vec::new();
        while let Some(done) = posts.join_next().await {
            waits.extend(done??);
        }
        let refused = shared.refused.load(Ordering::Relaxed);
        Ok(Outcome { took: started.elapsed(), waits, refused })
    })
}

struct Shared {
    batches: Mutex<std::iter::Enumerate<std::vec::IntoIter<Bytes>>>,
    refused: AtomicUsize,
    over: AtomicBool,
}

async fn one_after_another(
    poster: Poster,
    shared: Arc<Shared>,
    started: Instant,
    pace: Pace,
) -> anyhow::Result<Vec<Duration>> {
    let mut waits = Vec::new();
    while started.elapsed() < pace.time && !shared.over.load(Ordering::Relaxed) {
        let next = shared.batches.lock().unwrap_or_else(PoisonError::into_inner).next();
        let Some((number, batch)) = next else { break };
        let due = pace.per_second.map(|per_second| started + Duration::from_secs_f64(number as f64 / per_second));
        if let Some(due) = due {
            tokio::time::sleep_until(due.into()).await;
        }
        loop {
            // To a pace the wait begins when the post is due: one that all posters are too busy for is late already.
            let began = due.unwrap_or_else(Instant::now);
            match poster.post(batch.clone(), POST_TIMEOUT).await? {
                Answer::Acknowledged { .. } => {
                    waits.push(began.elapsed());
                    break;
                }
                Answer::Refused { status: 429 | 503, .. } => {
                    shared.refused.fetch_add(1, Ordering::Relaxed);
                    if pace.per_second.is_some() {
                        break;
                    }
                    tokio::time::sleep(AGAIN).await;
                }
                other => {
                    shared.over.store(true, Ordering::Relaxed);
                    bail!("a batch was answered {other:?}");
                }
            }
        }
    }
    Ok(waits)
}

/// The middle and the ends of some waits.
pub struct Spread(Vec<Duration>);

impl Spread {
    /// Of these.
    pub fn of(mut waits: Vec<Duration>) -> Self {
        waits.sort_unstable();
        Self(waits)
    }

    /// The wait below which this many of a hundred lie.
    pub fn percentile(&self, percent: usize) -> Duration {
        self.0.get((self.0.len() * percent / 100).min(self.0.len().saturating_sub(1))).copied().unwrap_or_default()
    }

    /// The same in milliseconds.
    pub fn ms(&self, percent: usize) -> f64 {
        self.percentile(percent).as_secs_f64() * 1e3
    }
}

impl fmt::Display for Spread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "p50 {:.2} ms, p99 {:.2} ms, max {:.2} ms", self.ms(50), self.ms(99), self.ms(100))
    }
}

/// Time of one write and fdatasync of so many bytes in `dir`.
pub fn fdatasyncs(dir: &Path, bytes: usize) -> anyhow::Result<Spread> {
    use std::os::unix::fs::FileExt;
    const SYNCS: usize = 200;
    let path = dir.join("fdatasync");
    let file = std::fs::File::create(&path)?;
    let data = vec![0xa5; bytes];
    file.write_all_at(&vec![0; bytes * SYNCS], 0)?;
    file.sync_all()?;
    let mut waits = Vec::with_capacity(SYNCS);
    for turn in 0..SYNCS {
        let began = Instant::now();
        file.write_all_at(&data, (turn * bytes) as u64)?;
        file.sync_data()?;
        waits.push(began.elapsed());
    }
    std::fs::remove_file(path).context("removing the file of the disk's own figures")?;
    Ok(Spread::of(waits))
}
