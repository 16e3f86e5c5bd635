//! The transactions in flight of one worker, for the admin endpoint.

use std::rc::Rc;
use std::time::Instant;

use http::{Method, Uri};

use crate::task::cancel::Abort;
use crate::transaction::WorkerConfig;
use crate::transaction::facts::RequestFacts;

/// A transaction that has not ended, as the admin endpoint shows it. What depends on the head is `None` until a route
/// is found.
#[derive(Debug, Clone)]
pub struct LiveTransaction {
    pub seq: i64,
    /// Microseconds since 1970 of its beginning.
    pub time_us: i64,
    pub method: Option<Method>,
    pub uri: Option<Uri>,
    /// Name of the route.
    pub route: Option<String>,
    /// Name of the service.
    pub service: Option<String>,
    /// Revision of the configuration that it runs under.
    pub revision: Option<String>,
}

#[derive(Debug)]
struct Entry {
    seq: i64,
    time_us: i64,
    /// Set once a route is found.
    described: Option<Described>,
    /// When the transaction is aborted, if nothing else has ended it.
    deadline: Option<Instant>,
    abort: Abort,
}

#[derive(Debug)]
struct Described {
    method: Method,
    uri: Uri,
    config: Rc<WorkerConfig>,
    route: Option<usize>,
}

impl Entry {
    fn shown(&self) -> LiveTransaction {
        let known = self.described.as_ref();
        let route = known.and_then(|known| Some((known, &known.config.routes[known.route?])));
        LiveTransaction {
            seq: self.seq,
            time_us: self.time_us,
            method: known.map(|known| known.method.clone()),
            uri: known.map(|known| known.uri.clone()),
            route: route.map(|(_, route)| route.name.clone()),
            service: route.map(|(known, route)| known.config.services[route.service].name.clone()),
            revision: known.map(|known| known.config.revision.clone()),
        }
    }
}

/// The transactions in flight of one worker. Places are reused, so that steady traffic allocates nothing.
#[derive(Debug, Default)]
pub struct InFlight {
    places: Vec<Option<Entry>>,
    free: Vec<usize>,
}

impl InFlight {
    /// Adds a transaction, and returns its place.
    pub fn insert(&mut self, seq: i64, time_us: i64, abort: Abort) -> usize {
        let entry = Some(Entry { seq, time_us, described: None, deadline: None, abort });
        match self.free.pop() {
            Some(place) => {
                self.places[place] = entry;
                place
            }
            None => {
                self.places.push(entry);
                self.places.len() - 1
            }
        }
    }

    /// Notes the request of a transaction.
    pub fn describe(&mut self, place: usize, request: &RequestFacts, config: &Rc<WorkerConfig>) {
        if let Some(Some(entry)) = self.places.get_mut(place) {
            entry.described = Some(Described {
                method: request.method.clone(),
                uri: request.uri.clone(),
                config: config.clone(),
                route: request.route,
            });
        }
    }

    /// Sets the deadline of a transaction; `None` = never.
    pub fn abort_after(&mut self, place: usize, deadline: Option<Instant>) {
        if let Some(Some(entry)) = self.places.get_mut(place) {
            entry.deadline = deadline;
        }
    }

    /// Aborts the transactions whose deadline was before `then`.
    pub fn abort_overdue(&self, then: Instant) {
        let overdue = |entry: &&Entry| entry.deadline.is_some_and(|deadline| deadline < then);
        self.places.iter().flatten().filter(overdue).for_each(|entry| entry.abort.abort());
    }

    pub fn remove(&mut self, place: usize) {
        if self.places.get_mut(place).and_then(Option::take).is_some() {
            self.free.push(place);
        }
    }

    #[must_use]
    pub fn len(&self) -> usize {
        self.places.len() - self.free.len()
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The oldest transactions, `max` at most.
    #[must_use]
    pub fn oldest(&self, max: usize) -> Vec<LiveTransaction> {
        let mut all: Vec<&Entry> = self.places.iter().flatten().collect();
        all.sort_by_key(|entry| entry.seq);
        all.into_iter().take(max).map(Entry::shown).collect()
    }
}
