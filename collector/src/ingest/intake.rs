//! From a valid batch to an acknowledgement.
//!
//! ```text
//!   post ─▶ ledger: seen? in flight? new ─▶ queue ─▶ enqueue in the journal ─▶ await its fsync, in order
//!                     │        │                                                   │
//!               duplicate   waits for the original's fsync          ledger, recent batches, hot rows, sinks, answer
//! ```
//! Once a batch is queued its fate does not depend on the post that brought it: a client that leaves does not undo it.
//!
//! **Why two tasks and two queues.** Batches must become visible in the order of their positions, and many must be on their
//! way to the same fsync. One task can do either: if it awaited each fsync before it enqueued the next batch, no two would
//! share an fsync; if every post awaited its own, they would publish in any order. So the first task hands batches to the
//! journal, which gives positions in that order, and the second awaits them in the same order. The journal's own queue is the
//! third. A callback from the journal's writer for every frame that became durable would need neither the second task nor its
//! queue; the journal has none, because its writer must never wait for a reader.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::{mpsc, watch};
use tollgate_journal::{AppendError, Entry, Journal, Ticket};
use tollgate_record::Batch;
use tollgate_sink::{Delivery, Position};

use super::HeldBytes;
use crate::metrics::Metrics;
use crate::store::committed::Committed;
use crate::store::ledger::Ledger;

/// Batches between the ledger and the journal's own queue.
const QUEUE_BATCHES_MAX: usize = 256;
/// How long a refusal of the journal makes the collector not ready.
const REFUSAL_SHOWN: Duration = Duration::from_secs(5);

/// A decoded batch and the bytes it came in.
pub(crate) struct Submission {
    pub entry: Entry,
    pub batch: Arc<Batch>,
    /// What it takes up of the bytes in flight, until it is settled.
    pub held: HeldBytes,
}

/// What became of a batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum BatchOutcome {
    /// On stable storage at this position.
    Stored(Position),
    /// It was already.
    Duplicate,
    /// It is not stored.
    Refused(AppendError),
}

/// Where a batch is stored, or why it is not; `None` while its fsync is under way.
type Durability = Option<Result<Position, AppendError>>;
/// Producer and batch number.
type Identity = (Arc<str>, u64);

struct Accounts {
    ledger: Ledger,
    in_flight: HashMap<Identity, watch::Receiver<Durability>>,
}

/// Takes batches; cheap to clone.
#[derive(Clone)]
pub(crate) struct Intake {
    state: Arc<IntakeState>,
    journal: Arc<Journal>,
    queue: mpsc::Sender<Queued>,
}

/// Which batches are stored and on their way, shared by the intake, the retention and the status page.
pub(crate) struct IntakeState {
    accounts: Mutex<Accounts>,
    committed: Arc<Committed>,
    /// Why and when the journal refused the last batch; `None` if it took it.
    refusal: Mutex<Option<(Instant, String)>>,
    metrics: Metrics,
}

impl IntakeState {
    pub(crate) fn new(ledger: Ledger, committed: Arc<Committed>, metrics: Metrics) -> Self {
        let accounts = Mutex::new(Accounts { ledger, in_flight: HashMap::new() });
        Self { accounts, committed, refusal: Mutex::new(None), metrics }
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

    /// Why the journal refused the last batch, if that was just now. It is forgotten after a while: a sender that was told to come
    /// back later must be let through to find out whether it is over.
    pub(crate) fn refusal(&self) -> Option<String> {
        let refusal = self.refusal.lock().unwrap_or_else(PoisonError::into_inner).clone();
        refusal.filter(|(at, _)| at.elapsed() < REFUSAL_SHOWN).map(|(_, reason)| reason)
    }

    /// Ends what [`Intake::look_up`] began for a new batch.
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
            // In one step: between the two, a resend would be taken for a new batch.
            let mut accounts = self.accounts();
            accounts.ledger.insert(position, &entry.producer, entry.batch_seq, entry.received_us);
            accounts.in_flight.remove(&identity);
        }
        self.metrics.durable_records.inc_by(u64::from(entry.rows));
        self.committed.publish(Delivery { position, received_us: entry.received_us, batch });
        drop(held);
    }
}

/// What the ledger says of a batch that just came.
enum Lookup {
    Stored,
    InFlight(watch::Receiver<Durability>),
    New(watch::Receiver<Durability>),
}

impl Intake {
    /// Starts the two tasks that bring batches into the journal. They end when every clone of the intake is gone.
    pub(crate) fn start(state: Arc<IntakeState>, journal: Arc<Journal>, tasks: &mut tokio::task::JoinSet<()>) -> Self {
        let (queue, submissions) = mpsc::channel(QUEUE_BATCHES_MAX);
        let (tickets, awaited) = mpsc::channel(QUEUE_BATCHES_MAX);
        tasks.spawn(enqueue(Arc::clone(&journal), submissions, tickets));
        tasks.spawn(settle(Arc::clone(&state), awaited));
        Self { state, journal, queue }
    }

    /// Answers once the batch is on stable storage, or is known not to be.
    pub(crate) async fn submit(&self, submission: Submission) -> BatchOutcome {
        let Ok(permit) = self.queue.reserve().await else { return BatchOutcome::Refused(AppendError::Closed) };
        // From here to the queue nothing waits, so nothing can be cancelled half way.
        match self.look_up(submission, permit) {
            Lookup::Stored => self.duplicate(),
            Lookup::InFlight(durability) => match wait(durability).await {
                Ok(_) => self.duplicate(),
                Err(error) => BatchOutcome::Refused(error),
            },
            Lookup::New(durability) => match wait(durability).await {
                Ok(position) => BatchOutcome::Stored(position),
                Err(error) => BatchOutcome::Refused(error),
            },
        }
    }

    /// Calls a batch stored only while the journal that holds it is in its place: its sender deletes its copy.
    fn duplicate(&self) -> BatchOutcome {
        match self.journal.check_place(self.journal.displaced().is_some()) {
            Ok(()) => BatchOutcome::Duplicate,
            Err(error) => BatchOutcome::Refused(error),
        }
    }

    fn look_up(&self, submission: Submission, permit: mpsc::Permit<'_, Queued>) -> Lookup {
        let entry = &submission.entry;
        let identity = (Arc::clone(&entry.producer), entry.batch_seq);
        let mut accounts = self.state.accounts();
        if accounts.ledger.contains(&entry.producer, entry.batch_seq) {
            return Lookup::Stored;
        }
        if let Some(durability) = accounts.in_flight.get(&identity) {
            return Lookup::InFlight(durability.clone());
        }
        let (answer, durability) = watch::channel(None);
        accounts.in_flight.insert(identity, durability.clone());
        permit.send((submission, answer));
        Lookup::New(durability)
    }
}

async fn wait(mut durability: watch::Receiver<Durability>) -> Result<Position, AppendError> {
    match durability.wait_for(Option::is_some).await {
        Ok(durability) => durability.clone().unwrap_or(Err(AppendError::Closed)),
        Err(_) => Err(AppendError::Closed),
    }
}

type Queued = (Submission, watch::Sender<Durability>);
type Awaited = (Submission, watch::Sender<Durability>, Result<Ticket, AppendError>);

/// Hands batches to the journal, which gives positions in the order of this queue.
async fn enqueue(journal: Arc<Journal>, mut submissions: mpsc::Receiver<Queued>, tickets: mpsc::Sender<Awaited>) {
    while let Some((submission, answer)) = submissions.recv().await {
        let ticket = journal.enqueue(submission.entry.clone()).await;
        if tickets.send((submission, answer, ticket)).await.is_err() {
            return;
        }
    }
}

/// Publishes batches to the hot rows and the sinks in the order of their positions, then answers their posts.
async fn settle(state: Arc<IntakeState>, mut awaited: mpsc::Receiver<Awaited>) {
    while let Some((submission, answer, ticket)) = awaited.recv().await {
        let outcome = match ticket {
            Ok(ticket) => ticket.stored().await,
            Err(error) => Err(error),
        };
        state.settle(submission, &outcome);
        answer.send_replace(Some(outcome));
    }
}
