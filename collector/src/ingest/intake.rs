//! From a valid batch to an acknowledgement.
//!
//! ```text
//!   post ─▶ ledger: seen? in flight? new ─▶ queue ─▶ enqueue in the journal ─▶ await its fsync, in order
//!                     │        │                                                   │
//!               duplicate   waits for the original's fsync          ledger, recent batches, hot rows, sinks, answer
//! ```
//! Once a batch is queued its fate does not depend on the post that brought it: a client that leaves does not undo it.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::{mpsc, watch};
use tollgate_journal::{AppendError, Entry, Journal, Ticket};
use tollgate_record::Batch;
use tollgate_sink::{Delivery, Position, Tail};

use crate::ingest::Held;
use crate::metrics::Metrics;
use crate::store::ledger::Ledger;
use crate::store::recent::Recent;

/// Batches between the ledger and the journal's own queue.
const QUEUE_BATCHES_MAX: usize = 256;
/// How long a refusal makes the collector not ready.
const REFUSAL_SHOWN: Duration = Duration::from_secs(5);

/// A decoded batch and the bytes it came in.
pub(crate) struct Submission {
    pub entry: Entry,
    pub batch: Arc<Batch>,
    /// What it takes up of the bytes in flight, until it is settled.
    pub held: Held,
}

/// What became of a batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Fate {
    /// On stable storage at this position.
    Stored(Position),
    /// It was already.
    Duplicate,
    /// It is not stored.
    Refused(AppendError),
}

type Verdict = Option<Result<Position, AppendError>>;
type Identity = (Arc<str>, u64);

struct Accounts {
    ledger: Ledger,
    in_flight: HashMap<Identity, watch::Receiver<Verdict>>,
}

/// Takes batches; cheap to clone.
#[derive(Clone)]
pub(crate) struct Intake {
    shared: Arc<Shared>,
    queue: mpsc::Sender<Queued>,
}

pub(crate) struct Shared {
    accounts: Mutex<Accounts>,
    /// Last position that sinks may take.
    pub committed: watch::Sender<Option<Position>>,
    pub recent: Recent,
    /// Why and when the journal refused the last batch; none if it took it.
    refusal: Mutex<Option<(Instant, String)>>,
    pub tail: Option<Arc<dyn Tail>>,
    metrics: Metrics,
}

impl Shared {
    pub(crate) fn new(
        ledger: Ledger,
        committed: Option<Position>,
        recent: Recent,
        tail: Option<Arc<dyn Tail>>,
        metrics: Metrics,
    ) -> Self {
        let accounts = Mutex::new(Accounts { ledger, in_flight: HashMap::new() });
        let committed = watch::Sender::new(committed);
        Self { accounts, committed, recent, refusal: Mutex::new(None), tail, metrics }
    }

    fn accounts(&self) -> MutexGuard<'_, Accounts> {
        self.accounts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The ledger now, without producers that were silent since before `expire_before_us`.
    pub(crate) fn ledger(&self, expire_before_us: i64) -> Ledger {
        let mut accounts = self.accounts();
        accounts.ledger.expire(expire_before_us);
        accounts.ledger.clone()
    }

    /// Why the journal refused the last batch, if that was just now: a sender that was told to come back later must
    /// be let through to find out whether it is over.
    pub(crate) fn refusal(&self) -> Option<String> {
        let refusal = self.refusal.lock().unwrap_or_else(PoisonError::into_inner).clone();
        refusal.filter(|(at, _)| at.elapsed() < REFUSAL_SHOWN).map(|(_, reason)| reason)
    }

    fn settle(&self, submission: Submission, outcome: &Result<Position, AppendError>) {
        let Submission { entry, batch, held } = submission;
        let identity = (Arc::clone(&entry.producer), entry.batch_seq);
        let refusal = outcome.as_ref().err().map(|error| (Instant::now(), error.to_string()));
        *self.refusal.lock().unwrap_or_else(PoisonError::into_inner) = refusal;
        let Ok(position) = *outcome else {
            self.accounts().in_flight.remove(&identity);
            return;
        };
        {
            let mut accounts = self.accounts();
            accounts.ledger.insert(position, &entry.producer, entry.batch_seq, entry.received_us);
            accounts.in_flight.remove(&identity);
        }
        self.metrics.durable_records.inc_by(u64::from(entry.rows));
        let delivery = Delivery { position, received_us: entry.received_us, batch };
        if let Some(tail) = &self.tail {
            tail.append(delivery.clone());
        }
        self.recent.insert(delivery);
        drop(held);
        self.committed.send_replace(Some(position));
    }
}

/// What the ledger says of a batch that just came.
enum Seen {
    Stored,
    InFlight(watch::Receiver<Verdict>),
    New(watch::Receiver<Verdict>),
}

impl Intake {
    /// Starts the two tasks that bring batches into the journal. They end when every clone of the intake is gone.
    pub(crate) fn start(shared: Arc<Shared>, journal: Arc<Journal>, tasks: &mut tokio::task::JoinSet<()>) -> Self {
        let (queue, submissions) = mpsc::channel(QUEUE_BATCHES_MAX);
        let (tickets, awaited) = mpsc::channel(QUEUE_BATCHES_MAX);
        tasks.spawn(enqueue(journal, submissions, tickets));
        tasks.spawn(settle(Arc::clone(&shared), awaited));
        Self { shared, queue }
    }

    /// Answers once the batch is on stable storage, or is known not to be.
    pub(crate) async fn submit(&self, submission: Submission) -> Fate {
        let Ok(permit) = self.queue.reserve().await else { return Fate::Refused(AppendError::Closed) };
        // From here to the queue nothing waits, so nothing can be cancelled half way.
        match self.look_up(submission, permit) {
            Seen::Stored => Fate::Duplicate,
            Seen::InFlight(verdict) => match wait(verdict).await {
                Ok(_) => Fate::Duplicate,
                Err(error) => Fate::Refused(error),
            },
            Seen::New(verdict) => match wait(verdict).await {
                Ok(position) => Fate::Stored(position),
                Err(error) => Fate::Refused(error),
            },
        }
    }

    fn look_up(&self, submission: Submission, permit: mpsc::Permit<'_, Queued>) -> Seen {
        let entry = &submission.entry;
        let identity = (Arc::clone(&entry.producer), entry.batch_seq);
        let mut accounts = self.shared.accounts();
        if accounts.ledger.contains(&entry.producer, entry.batch_seq) {
            return Seen::Stored;
        }
        if let Some(verdict) = accounts.in_flight.get(&identity) {
            return Seen::InFlight(verdict.clone());
        }
        let (answer, verdict) = watch::channel(None);
        accounts.in_flight.insert(identity, verdict.clone());
        permit.send((submission, answer));
        Seen::New(verdict)
    }
}

async fn wait(mut verdict: watch::Receiver<Verdict>) -> Result<Position, AppendError> {
    match verdict.wait_for(Option::is_some).await {
        Ok(verdict) => verdict.clone().unwrap_or(Err(AppendError::Closed)),
        Err(_) => Err(AppendError::Closed),
    }
}

type Queued = (Submission, watch::Sender<Verdict>);
type Awaited = (Submission, watch::Sender<Verdict>, Result<Ticket, AppendError>);

/// Frames get their positions in the order of this queue.
async fn enqueue(journal: Arc<Journal>, mut submissions: mpsc::Receiver<Queued>, tickets: mpsc::Sender<Awaited>) {
    while let Some((submission, answer)) = submissions.recv().await {
        let ticket = journal.enqueue(submission.entry.clone()).await;
        if tickets.send((submission, answer, ticket)).await.is_err() {
            return;
        }
    }
}

/// Frames are shown to the hot rows and the sinks in the order of their positions.
async fn settle(shared: Arc<Shared>, mut awaited: mpsc::Receiver<Awaited>) {
    while let Some((submission, answer, ticket)) = awaited.recv().await {
        let outcome = match ticket {
            Ok(ticket) => ticket.stored().await,
            Err(error) => Err(error),
        };
        shared.settle(submission, &outcome);
        answer.send_replace(Some(outcome));
    }
}
