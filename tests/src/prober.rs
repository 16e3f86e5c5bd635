//! A producer of the test's own: it posts batches to the collector, each again and again until it is acknowledged, and
//! keeps a ledger of the acknowledgements. Now and then it repeats one that was acknowledged.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::{Context, bail};
use bytes::Bytes;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use tollgate_record::{BatchBuilder, BatchHeader, Record, SealLimits};

use crate::plausible::Facts;
use crate::post::{Answer, Poster, client_tls};

/// Name of the node that the prober's certificate speaks for.
pub const NODE: &str = "prober";
/// Rows of one batch, at most.
const ROWS_MAX: i64 = 200;
/// Wait between two batches, at most.
const PAUSE_MS_MAX: u64 = 150;
/// How long one post may take; shorter than most faults, so that posts are repeated.
const PATIENCE: Duration = Duration::from_secs(2);
/// Wait before a post is repeated.
const AGAIN: Duration = Duration::from_millis(100);
/// Most posts of one batch. A test that failed elsewhere has no collector that would answer.
const POSTS_MAX: u32 = 3_000;
/// One batch in this many is posted again after its acknowledgement.
const REPEAT_ONE_IN: u32 = 8;

/// The prober's ledger of the collector's answers.
#[derive(Debug, Default)]
pub struct Acks {
    /// The producer's name.
    pub producer: String,
    /// `seq`s of the acknowledged batches, as inclusive runs.
    pub acknowledged: Vec<(i64, i64)>,
    /// Posts without an answer: the batch was posted again.
    pub unanswered: u64,
    /// Posts answered 503 or 429: the batch was posted again.
    pub refused: u64,
    /// Refusals without Retry-After: there should be none.
    pub without_retry_after: u64,
    /// Acknowledgements that called the batch a duplicate.
    pub duplicates: u64,
    /// Anything else that it answered: there should be none.
    pub wrong: Vec<String>,
}

#[derive(Debug, Default)]
struct Shared {
    acks: Mutex<Acks>,
    refused: AtomicU64,
    stop: AtomicBool,
}

/// The running producer; it ends when stopped or dropped.
#[derive(Debug)]
pub struct Prober {
    shared: Arc<Shared>,
    thread: JoinHandle<anyhow::Result<()>>,
}

impl Prober {
    /// Starts posting to `collector` with the certificate `prober` of the folder `tls`.
    ///
    /// # Errors
    /// When the certificate cannot be read.
    pub fn start(tls: &Path, collector: SocketAddr, seed: u64) -> anyhow::Result<Self> {
        let tls = client_tls(tls, NODE)?;
        let shared = Arc::new(Shared::default());
        let producer = format!("{NODE}/{:x}/0", tollgate_clock::now_us());
        lock(&shared.acks).producer.clone_from(&producer);
        let posting = Posting {
            shared: Arc::clone(&shared),
            tls,
            collector,
            dice: StdRng::seed_from_u64(seed),
            poster: None,
            builder: BatchBuilder::new(header(producer), SealLimits::default()),
            next_seq: 1,
        };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let thread = std::thread::spawn(move || runtime.block_on(posting.run()));
        Ok(Self { shared, thread })
    }

    /// Posts that were refused so far.
    #[must_use]
    pub fn refused(&self) -> u64 {
        self.shared.refused.load(Ordering::Relaxed)
    }

    /// Last `seq` that was acknowledged so far.
    #[must_use]
    pub fn acked(&self) -> i64 {
        lock(&self.shared.acks).acknowledged.last().map_or(0, |(_, last)| *last)
    }

    /// Sees the batch at hand through and answers the ledger.
    ///
    /// # Errors
    /// When a batch could not be made.
    pub fn stop(self) -> anyhow::Result<Acks> {
        self.shared.stop.store(true, Ordering::SeqCst);
        self.thread.join().map_err(|_| anyhow::anyhow!("the prober panicked"))??;
        Ok(std::mem::take(&mut *lock(&self.shared.acks)))
    }
}

fn lock(acks: &Mutex<Acks>) -> std::sync::MutexGuard<'_, Acks> {
    acks.lock().unwrap_or_else(PoisonError::into_inner)
}

struct Posting {
    shared: Arc<Shared>,
    tls: Arc<rustls::ClientConfig>,
    collector: SocketAddr,
    dice: StdRng,
    poster: Option<Poster>,
    builder: BatchBuilder,
    next_seq: i64,
}

impl Posting {
    async fn run(mut self) -> anyhow::Result<()> {
        while !self.shared.stop.load(Ordering::SeqCst) {
            let first = self.next_seq;
            let batch = self.batch()?;
            self.until_acknowledged(&batch).await?;
            lock(&self.shared.acks).acknowledged.push((first, self.next_seq - 1));
            if self.dice.random_ratio(1, REPEAT_ONE_IN) {
                self.until_acknowledged(&batch).await?;
            }
            tokio::time::sleep(Duration::from_millis(self.dice.random_range(0..PAUSE_MS_MAX))).await;
        }
        Ok(())
    }

    fn batch(&mut self) -> anyhow::Result<Bytes> {
        let time_us = tollgate_clock::now_us();
        for _ in 0..self.dice.random_range(1..=ROWS_MAX) {
            let facts = Facts::of(self.next_seq);
            self.builder.append(&Record { time_us, ..facts.record() });
            self.next_seq += 1;
        }
        Ok(self.builder.seal(1)?.bytes)
    }

    async fn until_acknowledged(&mut self, batch: &Bytes) -> anyhow::Result<()> {
        for _ in 0..POSTS_MAX {
            let answer = self.post(batch).await;
            let is_unanswered = answer.is_err();
            if self.note(answer)? {
                return Ok(());
            }
            if is_unanswered {
                self.poster = None;
            }
            tokio::time::sleep(AGAIN).await;
        }
        bail!("a batch was not acknowledged after {POSTS_MAX} posts")
    }

    /// Counts the answer, and returns whether the batch is acknowledged.
    fn note(&self, answer: anyhow::Result<Answer>) -> anyhow::Result<bool> {
        let mut acks = lock(&self.shared.acks);
        match answer {
            Ok(Answer::Acknowledged { duplicate, .. }) => {
                acks.duplicates += u64::from(duplicate);
                return Ok(true);
            }
            Ok(Answer::Refused { status: 429 | 503, retry_after, .. }) => {
                acks.refused += 1;
                acks.without_retry_after += u64::from(retry_after.is_none());
                self.shared.refused.store(acks.refused, Ordering::Relaxed);
            }
            Ok(Answer::Refused { status, reason, .. }) => {
                acks.wrong.push(format!("{status}: {reason}"));
                bail!("a good batch was answered {status}: {reason}");
            }
            Err(_) => acks.unanswered += 1,
        }
        Ok(false)
    }

    async fn post(&mut self, batch: &Bytes) -> anyhow::Result<Answer> {
        if self.poster.is_none() {
            self.poster = Some(Poster::connect(Arc::clone(&self.tls), self.collector, PATIENCE).await?);
        }
        let poster = self.poster.as_ref().context("just connected")?;
        poster.post(batch.clone(), PATIENCE).await
    }
}

/// The batch header of a test's producer.
#[must_use]
pub fn header(producer: String) -> BatchHeader {
    let node_id = producer.split('/').next().unwrap_or_default().to_owned();
    BatchHeader { producer, node_id, ..crate::plausible::header() }
}
