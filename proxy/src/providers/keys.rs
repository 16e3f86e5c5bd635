//! The keys of one issuer: the last good set, and searches for keys that it lacks.
//!
//! ```text
//! kid of a token ─▶ in the set: verify
//!                └▶ not in it ─▶ known as unknown: refused
//!                             ─▶ a search in the last 10 s: refused, or wait for it if it goes on
//!                             ─▶ otherwise: wake the fetcher once, and wait
//! ```
//! A search that the issuer did not answer says nothing of the key: the token has no verdict then.

use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::{Notify, watch};
use tollgate_proxy_token::{Bounded, KeySet};

/// Age of the last good set, while its issuer does not answer.
pub const KEYS_AGE_MAX: Duration = Duration::from_secs(24 * 60 * 60);
/// Least time between two searches for unknown keys.
pub const SEARCH_EVERY: Duration = Duration::from_secs(10);
/// Time that a request waits for an issuer.
pub const WAIT_MAX: Duration = Duration::from_secs(5);
/// Requests that wait for one issuer's keys.
pub const WAITERS_MAX: usize = 1_000;
/// Time for which a key that was searched in vain is not searched again.
const UNKNOWN_FOR: Duration = Duration::from_secs(60);
/// Keys that were searched in vain.
const UNKNOWN_MAX: usize = 1_000;

/// What is known of an issuer's keys.
#[derive(Debug, Clone, Default)]
pub struct KeysNow {
    /// The last good set.
    pub set: Arc<KeySet>,
    /// When it came.
    fetched_at: Option<Instant>,
    /// Fetches that have ended.
    ended: u64,
    /// Whether the last of them failed.
    failing: bool,
}

/// The keys of one issuer.
#[derive(Debug)]
pub struct Keys {
    now: watch::Sender<KeysNow>,
    /// Wakes the fetcher.
    pub wanted: Notify,
    search: Mutex<Search>,
    waiting: AtomicUsize,
    since: Instant,
}

#[derive(Debug)]
struct Search {
    /// When the last one began, and how many fetches had ended then.
    last: Option<(Instant, u64)>,
    unknown: Bounded<String, ()>,
}

/// What became of a search for a key.
#[derive(Debug, PartialEq, Eq)]
pub enum Searched {
    /// There is another set: look again.
    Anew,
    /// The issuer has no such key.
    InVain,
    /// Nobody knows: the issuer does not answer, or too many wait.
    NoAnswer,
}

impl Default for Keys {
    fn default() -> Self {
        let search = Search { last: None, unknown: Bounded::new(UNKNOWN_MAX) };
        Self {
            now: watch::Sender::new(KeysNow::default()),
            wanted: Notify::new(),
            search: Mutex::new(search),
            waiting: AtomicUsize::new(0),
            since: Instant::now(),
        }
    }
}

impl Keys {
    /// The last good set, unless it is too old. Waits for the first one.
    pub async fn set(&self) -> Option<KeysNow> {
        if self.now.borrow().ended == 0 {
            self.wait(0).await;
        }
        let now = self.now.borrow().clone();
        now.fetched_at.is_some_and(|at| at.elapsed() < KEYS_AGE_MAX).then_some(now)
    }

    /// Takes a fetched set. Returns whether it differs from the one before.
    pub fn fetched(&self, set: KeySet) -> bool {
        let differs = !self.now.borrow().set.is_same(&set);
        self.now.send_modify(|now| {
            let set = if differs { Arc::new(set) } else { now.set.clone() };
            *now = KeysNow { set, fetched_at: Some(Instant::now()), ended: now.ended + 1, failing: false };
        });
        differs
    }

    /// Notes that a fetch failed. The last good set stays.
    pub fn failed(&self) {
        self.now.send_modify(|now| {
            now.ended += 1;
            now.failing = true;
        });
    }

    /// Age of the last good set; `None` = there was none yet.
    #[must_use]
    pub fn age(&self) -> Option<Duration> {
        self.now.borrow().fetched_at.map(|at| at.elapsed())
    }

    /// Searches a key that the set `seen` lacks.
    pub async fn search(&self, key_id: &str, seen: &KeysNow) -> Searched {
        let begun = {
            let mut search = self.search.lock().unwrap_or_else(PoisonError::into_inner);
            let now = self.now.borrow();
            if now.ended > seen.ended && !now.failing && !now.set.is_same(&seen.set) {
                return Searched::Anew;
            }
            match search.last {
                Some((at, ended)) if at.elapsed() < SEARCH_EVERY => match (now.ended > ended, now.failing) {
                    (false, _) => ended,
                    (true, true) => return Searched::NoAnswer,
                    (true, false) => return Searched::InVain,
                },
                _ if search.unknown.get(&key_id.to_owned(), self.clock_ms()).is_some() => return Searched::InVain,
                _ => {
                    search.last = Some((Instant::now(), now.ended));
                    self.wanted.notify_one();
                    now.ended
                }
            }
        };
        if !self.wait(begun).await || self.now.borrow().failing {
            return Searched::NoAnswer;
        }
        if !self.now.borrow().set.is_same(&seen.set) {
            return Searched::Anew;
        }
        let mut search = self.search.lock().unwrap_or_else(PoisonError::into_inner);
        let now_ms = self.clock_ms();
        search.unknown.put(key_id.to_owned(), (), now_ms + UNKNOWN_FOR.as_millis() as u64, now_ms);
        Searched::InVain
    }

    /// Waits until more than `ended` fetches have ended. Returns whether they have.
    async fn wait(&self, ended: u64) -> bool {
        if self.waiting.fetch_add(1, Relaxed) >= WAITERS_MAX {
            self.waiting.fetch_sub(1, Relaxed);
            return false;
        }
        let waiting = Waiting(&self.waiting);
        let mut changes = self.now.subscribe();
        let done = tokio::time::timeout(WAIT_MAX, changes.wait_for(|now| now.ended > ended)).await;
        drop(waiting);
        matches!(done, Ok(Ok(_)))
    }

    fn clock_ms(&self) -> u64 {
        self.since.elapsed().as_millis() as u64
    }
}

/// A request that waits; it may be dropped at any time.
struct Waiting<'a>(&'a AtomicUsize);

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(key_id: &str) -> KeySet {
        let ed = r#""kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo""#;
        KeySet::parse(format!(r#"{{"keys":[{{{ed},"kid":"{key_id}"}}]}}"#).as_bytes()).unwrap()
    }

    /// Answers each wake-up, and counts them.
    fn fetcher(keys: &Arc<Keys>, fetch: impl Fn(&Keys) + Send + 'static) -> Arc<AtomicUsize> {
        let (keys, count) = (keys.clone(), Arc::new(AtomicUsize::new(0)));
        let counted = count.clone();
        tokio::spawn(async move {
            loop {
                keys.wanted.notified().await;
                counted.fetch_add(1, Relaxed);
                fetch(&keys);
            }
        });
        count
    }

    #[tokio::test]
    async fn many_unknown_keys_cause_one_fetch() {
        let keys = Arc::new(Keys::default());
        keys.fetched(set("a"));
        let fetches = fetcher(&keys, |keys| {
            keys.fetched(set("a"));
        });
        let seen = keys.set().await.unwrap();
        for number in 0..10_000 {
            assert_eq!(keys.search(&format!("unknown-{number}"), &seen).await, Searched::InVain);
        }
        assert_eq!(fetches.load(Relaxed), 1);
    }

    #[tokio::test]
    async fn a_new_key_is_found_by_one_fetch_that_all_wait_for() {
        let keys = Arc::new(Keys::default());
        keys.fetched(set("a"));
        let fetches = fetcher(&keys, |keys| {
            keys.fetched(set("b"));
        });
        let seen = keys.set().await.unwrap();
        let all = (0..50).map(|_| keys.search("b", &seen));
        assert!(futures::future::join_all(all).await.iter().all(|searched| *searched == Searched::Anew));
        assert_eq!(fetches.load(Relaxed), 1);
    }

    #[tokio::test]
    async fn an_issuer_that_fails_leaves_the_set_and_no_verdict() {
        let keys = Arc::new(Keys::default());
        let _fetches = fetcher(&keys, Keys::failed);
        keys.fetched(set("a"));
        let seen = keys.set().await.unwrap();
        assert_eq!(keys.search("b", &seen).await, Searched::NoAnswer);
        assert_eq!(keys.search("c", &seen).await, Searched::NoAnswer, "and the search is not repeated at once");
        assert_eq!(keys.set().await.unwrap().set.len(), 1);
    }

    #[tokio::test]
    async fn requests_that_wait_are_bounded() {
        let keys = Keys::default();
        let (mut waits, mut turned_away) = (Vec::new(), 0);
        for _ in 0..WAITERS_MAX + 5 {
            let mut wait = Box::pin(keys.wait(0));
            match futures::poll!(&mut wait) {
                std::task::Poll::Ready(false) => turned_away += 1,
                std::task::Poll::Ready(true) => panic!("nothing was fetched"),
                std::task::Poll::Pending => waits.push(wait),
            }
        }
        assert_eq!((waits.len(), turned_away), (WAITERS_MAX, 5));
        drop(waits);
        assert_eq!(keys.waiting.load(Relaxed), 0, "a request that ends frees its place");
    }
}
