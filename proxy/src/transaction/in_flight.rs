//! The transactions in flight of one worker, for the admin endpoint.

use std::rc::Rc;
use std::time::Instant;

use http::{Method, Uri};

use crate::task::cancel::Cut;
use crate::transaction::Transaction;
use crate::worker_plan::WorkerPlan;

/// A transaction that has not ended, as it is shown.
#[derive(Debug, Clone)]
pub struct Shown {
    /// Its number.
    pub seq: i64,
    /// When it began.
    pub time_us: i64,
    /// Its method, once its head is accepted.
    pub method: Option<Method>,
    /// Its target.
    pub uri: Option<Uri>,
    /// Name of its route.
    pub route: Option<String>,
    /// Name of its service.
    pub service: Option<String>,
    /// The configuration that it runs under.
    pub revision: Option<String>,
}

/// A transaction that has not ended.
#[derive(Debug)]
struct Live {
    seq: i64,
    time_us: i64,
    /// Once its head is accepted.
    described: Option<Described>,
    /// When it is cut, if nothing else has ended it.
    deadline: Option<Instant>,
    cut: Cut,
}

#[derive(Debug)]
struct Described {
    method: Method,
    uri: Uri,
    plan: Rc<WorkerPlan>,
    route: Option<usize>,
}

impl Live {
    fn shown(&self) -> Shown {
        let known = self.described.as_ref();
        let route = known.and_then(|known| Some((known, &known.plan.routes[known.route?])));
        Shown {
            seq: self.seq,
            time_us: self.time_us,
            method: known.map(|known| known.method.clone()),
            uri: known.map(|known| known.uri.clone()),
            route: route.map(|(_, route)| route.name.clone()),
            service: route.map(|(known, route)| known.plan.services[route.service].name.clone()),
            revision: known.map(|known| known.plan.revision.clone()),
        }
    }
}

/// A slab of them: places are used again, so that steady traffic allocates nothing.
#[derive(Debug, Default)]
pub struct InFlight {
    places: Vec<Option<Live>>,
    free: Vec<usize>,
}

impl InFlight {
    /// Adds one and returns its place.
    pub fn insert(&mut self, seq: i64, time_us: i64, cut: Cut) -> usize {
        let live = Some(Live { seq, time_us, described: None, deadline: None, cut });
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
            live.described = Some(Described {
                method: transaction.method.clone(),
                uri: transaction.uri.clone(),
                plan: transaction.plan.clone(),
                route: transaction.route,
            });
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
        self.places.iter().flatten().filter(overdue).for_each(|live| live.cut.cut());
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
    pub fn oldest(&self, max: usize) -> Vec<Shown> {
        let mut all: Vec<&Live> = self.places.iter().flatten().collect();
        all.sort_by_key(|live| live.seq);
        all.into_iter().take(max).map(Live::shown).collect()
    }
}
