//! The transactions in flight of one worker, for the admin endpoint.

use std::time::Instant;

use http::{Method, Uri};
use tokio_util::sync::CancellationToken;

use crate::transaction::Transaction;

/// A transaction that has not ended.
#[derive(Debug, Clone)]
pub struct Live {
    /// Its number.
    pub seq: i64,
    /// When it began.
    pub time_us: i64,
    /// Its method, once its head is accepted.
    pub method: Option<Method>,
    /// Its target.
    pub uri: Option<Uri>,
    /// Index of its route.
    pub route: Option<usize>,
    /// When it is cut, if nothing else has ended it.
    pub deadline: Option<Instant>,
    /// Cuts it.
    pub cut: CancellationToken,
}

/// A slab of them: places are used again, so that steady traffic allocates nothing.
#[derive(Debug, Default)]
pub struct InFlight {
    places: Vec<Option<Live>>,
    free: Vec<usize>,
}

impl InFlight {
    /// Adds one and returns its place.
    pub fn insert(&mut self, seq: i64, time_us: i64, cut: CancellationToken) -> usize {
        let live = Some(Live { seq, time_us, method: None, uri: None, route: None, deadline: None, cut });
        match self.free.pop() {
            Some(place) => {
                self.places[place] = live;
                place
            }
            None => {
                self.places.push(live);
                self.places.len() - 1
            }
        }
    }

    /// Says what is known of one by now.
    pub fn describe(&mut self, transaction: &Transaction) {
        if let Some(Some(live)) = self.places.get_mut(transaction.live) {
            live.method = Some(transaction.method.clone());
            live.uri = Some(transaction.uri.clone());
            live.route = transaction.route;
        }
    }

    /// Says when one is to be cut; `None` = never.
    pub fn bound(&mut self, place: usize, deadline: Option<Instant>) {
        if let Some(Some(live)) = self.places.get_mut(place) {
            live.deadline = deadline;
        }
    }

    /// Cuts those whose deadline was before `then`.
    pub fn cut_overdue(&self, then: Instant) {
        let overdue = |live: &&Live| live.deadline.is_some_and(|deadline| deadline < then);
        self.places.iter().flatten().filter(overdue).for_each(|live| live.cut.cancel());
    }

    /// Removes one.
    pub fn remove(&mut self, place: usize) {
        if self.places.get_mut(place).and_then(Option::take).is_some() {
            self.free.push(place);
        }
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.places.len() - self.free.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// All of them, oldest first, `max` at most.
    #[must_use]
    pub fn oldest(&self, max: usize) -> Vec<Live> {
        let mut all: Vec<Live> = self.places.iter().flatten().cloned().collect();
        all.sort_by_key(|live| live.seq);
        all.truncate(max);
        all
    }
}
