//! The memory of all queries together, and each query's fair share of it.
//!
//! ```text
//!   limit ── all queries ─┬─ query 1 ── operators that spill │ exchanges │ operators that cannot
//!                         ├─ query 2 ── …
//!                         └─ free: at least a quarter of what the other queries leave
//! ```
//! A query may hold [`SHARE`] times what nobody holds: alone three quarters of the limit, two of them three sevenths each. So
//! a query that begins always finds some room, nobody has to know how many there are, and a large query makes room when it
//! asks the next time, by spilling (Choudhury and Hahne, "Dynamic queue length thresholds for shared-memory packet switches",
//! 1998, has this rule for the buffers of a switch).
//!
//! Within a query, the operators that spill have equal parts of what is left after those that cannot, and after the exchanges
//! between threads. An exchange is never refused: refused, it would spill, and in DataFusion 55.2 it then waits for ever when
//! two threads spill at once (apache/datafusion issue 24883). It holds few rows, as it hands them on when every reader has one.
//! Where one reader is much slower than another it may hold many; a query whose exchanges outgrow the limit ends.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use datafusion::common::human_readable_size;
use datafusion::error::{DataFusionError, Result};
use datafusion::execution::memory_pool::{MemoryConsumer, MemoryLimit, MemoryPool, MemoryReservation};
use tollgate_net::CancellationToken;

/// A query holds at most this many times what no query holds.
const SHARE: usize = 3;
/// One part in this many of a query's memory is kept for exchanges; and one for operators that cannot spill.
const PART: usize = 8;
/// The names of operators that have rules of their own begin so.
const EXCHANGE: &str = "RepartitionExec";
const SPILL_MERGE: &str = "ExternalSorterMerge";
const LAST_MERGE: &str = "SortPreservingMergeExec";

/// The memory of all queries.
#[derive(Debug)]
pub(crate) struct SharedMemory {
    limit: usize,
    used: Mutex<usize>,
}

impl SharedMemory {
    /// Memory of this many bytes.
    pub fn new(limit: usize) -> Arc<Self> {
        Arc::new(Self { limit, used: Mutex::new(0) })
    }

    /// Bytes that are held now.
    pub fn used(&self) -> usize {
        *self.lock()
    }

    /// The part of one query.
    pub fn of_query(self: &Arc<Self>) -> Arc<QueryMemory> {
        Arc::new(QueryMemory { all: self.clone(), held: Mutex::default(), outgrown: CancellationToken::new() })
    }

    fn lock(&self) -> MutexGuard<'_, usize> {
        self.used.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What one query may hold.
#[derive(Debug)]
pub(crate) struct QueryMemory {
    all: Arc<SharedMemory>,
    held: Mutex<Held>,
    outgrown: CancellationToken,
}

/// What one query holds, by who could give it back.
#[derive(Debug, Default)]
struct Held {
    /// Operators that can spill, exchanges not counted.
    spillers: usize,
    /// Bytes of the operators that can spill.
    spillable: usize,
    /// Bytes of exchanges.
    exchanged: usize,
    /// Bytes of the operators that cannot.
    fixed: usize,
}

/// How an operator answers a refusal.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Class {
    Spills,
    Exchange,
    /// Merges what a sort has spilled: of as many files at a time as it gets memory for.
    SpillMerge,
    /// Merges what several sorts give, and holds a batch of each. It is refused last: by then they have done their work.
    LastMerge,
    Fixed,
}

impl Class {
    fn of(consumer: &MemoryConsumer) -> Self {
        match consumer.can_spill() {
            true if consumer.name().starts_with(EXCHANGE) => Self::Exchange,
            true => Self::Spills,
            false if consumer.name().starts_with(SPILL_MERGE) => Self::SpillMerge,
            false if consumer.name().starts_with(LAST_MERGE) => Self::LastMerge,
            false => Self::Fixed,
        }
    }
}

impl Held {
    fn total(&self) -> usize {
        self.spillable + self.exchanged + self.fixed
    }

    fn of(&mut self, class: Class) -> &mut usize {
        match class {
            Class::Spills => &mut self.spillable,
            Class::Exchange => &mut self.exchanged,
            Class::SpillMerge | Class::LastMerge | Class::Fixed => &mut self.fixed,
        }
    }

    /// Bytes that the one who asks may hold, `others` being what other queries do.
    fn bound(&self, class: Class, own: usize, limit: usize, others: usize) -> usize {
        let budget = limit.saturating_sub(others) / (SHARE + 1) * SHARE;
        let left = budget.saturating_sub(self.total() - own);
        match class {
            Class::Fixed => left,
            Class::SpillMerge => left.saturating_sub(budget / PART),
            Class::Exchange | Class::LastMerge => limit.saturating_sub(others + self.total() - own),
            Class::Spills => {
                let kept = self.exchanged.max(budget / PART) + budget / PART;
                let shared = budget.saturating_sub(self.fixed + kept);
                left.min(shared / self.spillers.max(1))
            }
        }
    }
}

impl QueryMemory {
    /// Resolves when the query holds more than there is.
    pub async fn outgrown(&self) {
        self.outgrown.cancelled().await;
    }

    fn held(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl MemoryPool for QueryMemory {
    fn name(&self) -> &str {
        "query"
    }

    fn register(&self, consumer: &MemoryConsumer) {
        if Class::of(consumer) == Class::Spills {
            self.held().spillers += 1;
        }
    }

    fn unregister(&self, consumer: &MemoryConsumer) {
        if Class::of(consumer) == Class::Spills {
            let mut held = self.held();
            held.spillers = held.spillers.saturating_sub(1);
        }
    }

    fn grow(&self, reservation: &MemoryReservation, additional: usize) {
        let mut held = self.held();
        *held.of(Class::of(reservation.consumer())) += additional;
        *self.all.lock() += additional;
    }

    fn shrink(&self, reservation: &MemoryReservation, shrink: usize) {
        let mut held = self.held();
        let part = held.of(Class::of(reservation.consumer()));
        *part = part.saturating_sub(shrink);
        let mut used = self.all.lock();
        *used = used.saturating_sub(shrink);
    }

    fn try_grow(&self, reservation: &MemoryReservation, additional: usize) -> Result<()> {
        let class = Class::of(reservation.consumer());
        let mut held = self.held();
        let mut used = self.all.lock();
        let others = used.saturating_sub(held.total());
        let own = reservation.size();
        let bound = held.bound(class, own, self.all.limit, others);
        if own + additional > bound && class == Class::Exchange {
            self.outgrown.cancel();
        } else if own + additional > bound {
            return Err(DataFusionError::ResourcesExhausted(format!(
                "{} holds {} and asks for {} more, of {}",
                reservation.consumer().name(),
                human_readable_size(own),
                human_readable_size(additional),
                human_readable_size(bound),
            )));
        }
        *held.of(class) += additional;
        *used += additional;
        Ok(())
    }

    fn reserved(&self) -> usize {
        self.held().total()
    }

    fn memory_limit(&self) -> MemoryLimit {
        MemoryLimit::Finite(self.all.limit)
    }
}

impl fmt::Display for QueryMemory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "query(limit: {})", human_readable_size(self.all.limit))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reserve(query: &Arc<QueryMemory>, name: &str, spills: bool) -> MemoryReservation {
        let pool: Arc<dyn MemoryPool> = query.clone();
        MemoryConsumer::new(name).with_can_spill(spills).register(&pool)
    }

    /// Grows byte by byte until it is refused.
    fn fill(reservation: &MemoryReservation) -> usize {
        while reservation.try_grow(1).is_ok() {}
        reservation.size()
    }

    #[test]
    fn a_query_leaves_room_for_the_next_and_none_exceed_the_limit() {
        let all = SharedMemory::new(4_000);
        let queries: Vec<_> = (0..20).map(|_| all.of_query()).collect();
        let parts: Vec<_> = queries.iter().map(|query| reserve(query, "join", false)).collect();
        let held: Vec<_> = parts.iter().map(fill).collect();
        assert_eq!(held[..3], [3_000, 750, 186]);
        assert!(held[..5].iter().all(|bytes| *bytes > 0), "{held:?}");
        assert!(all.used() <= 4_000);
    }

    #[test]
    fn operators_of_a_query_that_spill_have_equal_parts() {
        let all = SharedMemory::new(8_000);
        let query = all.of_query();
        let spillers: Vec<_> = (0..3).map(|_| reserve(&query, "sort", true)).collect();
        let exchange = reserve(&query, "RepartitionExec[0]", true);
        // 6,000 for the query: 750 kept for exchanges, 750 for joins, the rest for three.
        assert_eq!(spillers.iter().map(fill).collect::<Vec<_>>(), [1_500, 1_500, 1_500]);
        let join = reserve(&query, "join", false);
        assert_eq!(fill(&join), 1_500);
        assert!(exchange.try_grow(700).is_ok());
        drop((spillers, exchange, join));
        assert_eq!((query.reserved(), all.used()), (0, 0));
    }

    #[test]
    fn the_last_merge_of_a_sort_finds_room_beside_the_merges_below_it() {
        let all = SharedMemory::new(8_000);
        let query = all.of_query();
        let spilled: Vec<_> = (0..2).map(|n| reserve(&query, &format!("ExternalSorterMerge[{n}]"), false)).collect();
        // 6,000 for the query, of which they leave an eighth, and the last may also take what is kept for other queries.
        assert_eq!(spilled.iter().map(fill).collect::<Vec<_>>(), [5_250, 0]);
        assert_eq!(fill(&reserve(&query, "SortPreservingMergeExec[0]", false)), 2_750);
    }

    #[tokio::test]
    async fn an_exchange_is_never_refused_and_a_query_that_outgrows_the_limit_is_told() {
        let all = SharedMemory::new(4_000);
        let query = all.of_query();
        let exchange = reserve(&query, "RepartitionExec[0]", true);
        let sort = reserve(&query, "sort", true);
        exchange.try_grow(2_000).expect("granted");
        // 3,000 for the query: less 2,000 for the exchange, and 375 for joins.
        assert_eq!(fill(&sort), 625);
        exchange.try_grow(1_300).expect("granted");
        assert!(!query.outgrown.is_cancelled());
        exchange.try_grow(100).expect("granted, but too much");
        query.outgrown().await;
    }

    #[test]
    fn a_query_that_holds_too_much_is_refused_until_it_spills() {
        let all = SharedMemory::new(4_000);
        let (first, second) = (all.of_query(), all.of_query());
        let large = reserve(&first, "sort", true);
        assert_eq!(fill(&large), 2_250);
        let other = reserve(&second, "join", false);
        assert!(fill(&other) > 1_000);
        assert!(large.try_grow(1).is_err());
        large.free();
        assert!(fill(&large) > 0 && all.used() <= 4_000);
    }
}
