//! Verifies passwords on threads of its own.
//!
//! * A check waits for a thread with others, in order; past the bound it is not taken, and the answer is 503.
//! * The threads have the lowest priority: other requests go first.
//! * A password that was right is remembered for [`REMEMBERED`], under a hash that is keyed with a secret of this
//!   process. The hash covers the stored hash too: a changed password is never remembered.
//! * A name that nobody has takes as long as one with a wrong password.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, Once, PoisonError};
use std::time::{Duration, Instant};

use rand::Rng;
use tokio::sync::oneshot;
use tollgate_proxy_auth::Outcome;
use tollgate_proxy_auth::password::{Credentials, PasswordHash};
use tollgate_record::redact::TokenHasher;
use tollgate_record::vocabulary::AuthFailReason;

use super::{Callers, Step};

/// Time for which a right password is not verified again.
pub const REMEMBERED: Duration = Duration::from_secs(60);
/// Passwords that are remembered.
const REMEMBERED_MAX: usize = 10_000;
/// Niceness of the threads.
const NICENESS: i32 = 10;

/// The threads, what waits for them, and what they found.
#[derive(Debug)]
pub struct Passwords {
    /// Checks at one time.
    pub threads_max: usize,
    /// Checks that wait.
    pub waiting_max: usize,
    hasher: TokenHasher,
    work: Arc<Work>,
    started: Once,
}

/// What the threads share.
#[derive(Debug)]
struct Work {
    state: Mutex<State>,
    more: Condvar,
}

#[derive(Debug, Default)]
struct State {
    waiting: VecDeque<Job>,
    /// When each right password is to be verified again.
    right: HashMap<[u8; 32], Instant>,
    /// Set when nobody can ask any more.
    ended: bool,
}

#[derive(Debug)]
struct Job {
    key: [u8; 32],
    hash: Arc<PasswordHash>,
    password: Vec<u8>,
    answer: oneshot::Sender<bool>,
}

/// A password that is being verified.
#[derive(Debug)]
pub struct PasswordCheck {
    callers: Arc<Callers>,
    /// `None` = nobody has the name.
    user: Option<String>,
    now_us: i64,
    answer: oneshot::Receiver<bool>,
}

/// Begins to verify a login.
pub(super) fn begin(callers: &Arc<Callers>, credentials: Credentials, now_us: i64) -> Step {
    let (passwords, Credentials { user, password }) = (&callers.passwords, credentials);
    let login = callers.consumers.login(&user);
    let Some(hash) = login.map(|login| login.hash()).or(callers.consumers.dummy()) else {
        return Step::Done(unknown());
    };
    let key = passwords.key(hash, &user, &password);
    if let Some(login) = login
        && passwords.is_right(&key)
    {
        return Step::Done(login.verified(now_us));
    }
    let known = login.is_some();
    match passwords.ask(key, hash.clone(), password) {
        Some(answer) => {
            let user = known.then_some(user);
            Step::Password(Box::new(PasswordCheck { callers: callers.clone(), user, now_us, answer }))
        }
        None => Step::Done(Outcome::Unavailable("too many passwords wait to be verified".to_owned())),
    }
}

fn unknown() -> Outcome {
    // The same for an unknown name and a wrong password, also in the record: nothing tells names from each other.
    Outcome::failed(AuthFailReason::Unknown, "no consumer has this name with this password")
}

impl PasswordCheck {
    /// Waits for the outcome.
    pub async fn outcome(self) -> Outcome {
        match (self.answer.await, self.user) {
            (Ok(true), Some(user)) => {
                self.callers.consumers.login(&user).map_or_else(unknown, |login| login.verified(self.now_us))
            }
            (Ok(_), _) => unknown(),
            (Err(_), _) => Outcome::Unavailable("the threads that verify passwords have ended".to_owned()),
        }
    }
}

impl Passwords {
    /// Makes the place for checks. Threads start with the first check.
    #[must_use]
    pub fn new(threads_max: usize, waiting_max: usize) -> Self {
        let secret: [u8; 32] = rand::rng().random();
        let hasher = TokenHasher::new("passwords", &secret);
        let hasher = hasher.unwrap_or_else(|_| unreachable!("32 bytes are enough"));
        let work = Arc::new(Work { state: Mutex::default(), more: Condvar::new() });
        Self { threads_max, waiting_max, hasher, work, started: Once::new() }
    }

    /// The keyed hash of a login together with the stored hash. Each part begins with its length.
    fn key(&self, hash: &PasswordHash, user: &str, password: &[u8]) -> [u8; 32] {
        let parts = [hash.text().as_bytes(), user.as_bytes(), password];
        let mut bytes = Vec::with_capacity(24 + parts.iter().map(|part| part.len()).sum::<usize>());
        for part in parts {
            bytes.extend_from_slice(&(part.len() as u64).to_be_bytes());
            bytes.extend_from_slice(part);
        }
        self.hasher.hash(&bytes)
    }

    fn is_right(&self, key: &[u8; 32]) -> bool {
        self.work.state().right.get(key).is_some_and(|until| Instant::now() < *until)
    }

    /// Puts a check behind those that wait; `None` = too many do.
    fn ask(&self, key: [u8; 32], hash: Arc<PasswordHash>, password: Vec<u8>) -> Option<oneshot::Receiver<bool>> {
        self.started.call_once(|| self.start());
        let (answer, answered) = oneshot::channel();
        let mut state = self.work.state();
        // Whoever has left waits no more.
        if state.waiting.len() >= self.waiting_max {
            state.waiting.retain(|job| !job.answer.is_closed());
        }
        if state.waiting.len() >= self.waiting_max {
            return None;
        }
        state.waiting.push_back(Job { key, hash, password, answer });
        drop(state);
        self.work.more.notify_one();
        Some(answered)
    }

    fn start(&self) {
        for nth in 0..self.threads_max {
            let work = self.work.clone();
            let thread = std::thread::Builder::new().name(format!("password-{nth}"));
            if let Err(error) = thread.spawn(move || serve(&work)) {
                tracing::error!(%error, "a thread that verifies passwords cannot be started");
            }
        }
    }
}

impl Drop for Passwords {
    fn drop(&mut self) {
        self.work.state().ended = true;
        self.work.more.notify_all();
    }
}

impl Work {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn next(&self) -> Option<Job> {
        let mut state = self.state();
        loop {
            if state.ended {
                return None;
            }
            if let Some(job) = state.waiting.pop_front() {
                return Some(job);
            }
            state = self.more.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn remember(&self, key: [u8; 32]) {
        let (now, mut state) = (Instant::now(), self.state());
        if state.right.len() >= REMEMBERED_MAX {
            state.right.retain(|_, until| now < *until);
        }
        // Still full: nothing says which of them comes again.
        if state.right.len() >= REMEMBERED_MAX {
            state.right.clear();
        }
        state.right.insert(key, now + REMEMBERED);
    }
}

/// One thread, until nobody can ask any more.
fn serve(work: &Work) {
    give_way();
    while let Some(Job { key, hash, password, answer }) = work.next() {
        if answer.is_closed() {
            continue;
        }
        // Another request may have brought the same login while this one waited.
        let remembered = work.state().right.get(&key).is_some_and(|until| Instant::now() < *until);
        let right = remembered || hash.is_of(&password);
        if right && !remembered {
            work.remember(key);
        }
        let _left = answer.send(right);
    }
}

/// Lowers the priority of the calling thread. On Linux each thread has its own (`sched(7)`).
fn give_way() {
    if let Err(error) = rustix::process::nice(NICENESS) {
        tracing::debug!(%error, "the threads that verify passwords have the priority of others");
    }
}

#[cfg(test)]
mod tests;
