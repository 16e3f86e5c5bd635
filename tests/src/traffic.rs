//! Bounded traffic through a proxy, and a ledger of every request that was answered.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::Context;
use tollgate_record::id::RequestId;

use crate::http::{Answer, Connection, Failure};

/// How often one request is sent at most: a rolling restart closes a connection once, a second time is a defect.
const ATTEMPTS_MAX: u32 = 2;
/// Wait before a refused connection is tried again.
const RECONNECT_WAIT: Duration = Duration::from_millis(20);

/// The clients' configuration.
#[derive(Debug, Clone)]
pub struct Plan {
    /// Addresses of the proxies. Each client connects to one of these, and to the next when its connection ends.
    pub targets: Vec<SocketAddr>,
    /// Clients, each with one connection and one request at a time.
    pub clients: u32,
    /// Requests a second of all clients together.
    pub rate: f64,
    /// Paths, taken in turn.
    pub paths: Vec<String>,
    /// Longest wait for anything.
    pub timeout: Duration,
}

/// A request that got a whole answer.
#[derive(Debug, Clone, Copy)]
pub struct Answered {
    /// The request id that the proxy answered.
    pub id: RequestId,
    /// Status of its answer.
    pub status: u16,
    /// Which of the proxy's processes may have answered: see [`Traffic::next_epoch`].
    pub epoch: u64,
    /// First byte sent to last byte received, in microseconds.
    pub took_us: u64,
}

/// The ledger of requests.
#[derive(Debug, Default)]
pub struct Ledger {
    /// Requests with a whole answer.
    pub answered: Vec<Answered>,
    /// Requests without one, and why; each may have left a record, or none.
    pub failed: Vec<String>,
    /// Requests sent again since a connection that had been used before was closed before any byte of an answer, as
    /// RFC 9112, section 9.3.1 asks of clients.
    pub retried: u64,
    /// Connections that could not be opened.
    pub unreachable: u64,
    /// Answers without a request id: there should be none.
    pub nameless: u64,
}

#[derive(Debug)]
struct Shared {
    plan: Plan,
    ledger: Mutex<Ledger>,
    epoch: AtomicU64,
    stop: AtomicBool,
    pause: AtomicBool,
}

impl Shared {
    fn ledger(&self) -> MutexGuard<'_, Ledger> {
        self.ledger.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Running clients; they end when stopped or dropped.
#[derive(Debug)]
pub struct Traffic {
    shared: Arc<Shared>,
    clients: Vec<JoinHandle<()>>,
}

impl Traffic {
    /// Starts the clients.
    #[must_use]
    pub fn start(plan: Plan) -> Self {
        let clients = plan.clients;
        let shared = Arc::new(Shared {
            plan,
            ledger: Mutex::default(),
            epoch: AtomicU64::new(0),
            stop: AtomicBool::new(false),
            pause: AtomicBool::new(false),
        });
        let clients = (0..clients)
            .map(|number| {
                let shared = Arc::clone(&shared);
                std::thread::spawn(move || Client { number, shared, connection: None, connects: 0 }.run())
            })
            .collect();
        Self { shared, clients }
    }

    /// Says that the proxy's process ends now, and answers the number of the one that comes: what was answered before
    /// has a smaller epoch.
    pub fn next_epoch(&self) -> u64 {
        self.shared.epoch.fetch_add(1, Ordering::SeqCst) + 1
    }

    /// Holds the clients back, each after the request that it is at, or lets them go on.
    pub fn pause(&self, pause: bool) {
        self.shared.pause.store(pause, Ordering::SeqCst);
    }

    /// Looks at the ledger.
    pub fn look<T>(&self, look: impl FnOnce(&Ledger) -> T) -> T {
        look(&self.shared.ledger())
    }

    /// Ends the clients and answers what became of their requests.
    ///
    /// # Errors
    /// When a client panicked.
    pub fn stop(mut self) -> anyhow::Result<Ledger> {
        self.shared.stop.store(true, Ordering::SeqCst);
        for client in self.clients.drain(..) {
            client.join().map_err(|_| anyhow::anyhow!("a client panicked"))?;
        }
        Ok(std::mem::take(&mut *self.shared.ledger()))
    }
}

impl Drop for Traffic {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::SeqCst);
    }
}

struct Client {
    number: u32,
    shared: Arc<Shared>,
    connection: Option<Connection>,
    connects: usize,
}

impl Client {
    fn run(mut self) {
        let every = Duration::from_secs_f64(f64::from(self.shared.plan.clients) / self.shared.plan.rate);
        let mut due = Instant::now() + every.mul_f64(f64::from(self.number) / f64::from(self.shared.plan.clients));
        for count in 0_u64.. {
            std::thread::sleep(due.saturating_duration_since(Instant::now()));
            while self.shared.pause.load(Ordering::SeqCst) && !self.shared.stop.load(Ordering::SeqCst) {
                std::thread::sleep(RECONNECT_WAIT);
            }
            if self.shared.stop.load(Ordering::SeqCst) {
                return;
            }
            // After a wait the pace goes on from now: catching up would be a burst.
            due = (due + every).max(Instant::now());
            self.request(count);
        }
    }

    fn request(&mut self, count: u64) {
        let paths = &self.shared.plan.paths;
        let path = &paths[(count as usize + self.number as usize) % paths.len()];
        let name = format!("client-{}-{count}", self.number);
        let request = format!("GET {path} HTTP/1.1\r\nhost: api.example.com\r\nx-correlation-id: {name}\r\n\r\n");
        let epoch = self.shared.epoch.load(Ordering::SeqCst);
        let began = Instant::now();
        for attempt in 1..=ATTEMPTS_MAX {
            let Some(connection) = self.connected() else { return };
            let used_before = connection.exchanges > 0;
            match connection.exchange(request.as_bytes()) {
                Ok(answer) => return self.note(&answer, epoch, began),
                Err(Failure::Unanswered(error)) if used_before && attempt < ATTEMPTS_MAX && is_closed(&error) => {
                    self.shared.ledger().retried += 1;
                }
                Err(failure) => {
                    self.shared.ledger().failed.push(format!("{name}: {failure:?}"));
                    self.connection = None;
                    return;
                }
            }
            self.connection = None;
        }
    }

    /// The connection, opened if there is none.
    fn connected(&mut self) -> Option<&mut Connection> {
        if self.connection.is_none() {
            let plan = &self.shared.plan;
            let target = plan.targets[(self.number as usize + self.connects) % plan.targets.len()];
            self.connects += 1;
            match Connection::open(target, plan.timeout) {
                Ok(connection) => self.connection = Some(connection),
                Err(_) => {
                    self.shared.ledger().unreachable += 1;
                    std::thread::sleep(RECONNECT_WAIT);
                }
            }
        }
        self.connection.as_mut()
    }

    fn note(&mut self, answer: &Answer, epoch: u64, began: Instant) {
        if answer.closes {
            self.connection = None;
        }
        let id = answer.request_id.as_deref().context("none").and_then(|id| Ok(RequestId::parse(id)?));
        let took_us = began.elapsed().as_micros() as u64;
        let mut ledger = self.shared.ledger();
        match id {
            Ok(id) => ledger.answered.push(Answered { id, status: answer.status, epoch, took_us }),
            Err(_) => ledger.nameless += 1,
        }
    }
}

/// Returns whether the server closed the connection; otherwise it was too slow.
fn is_closed(error: &std::io::Error) -> bool {
    use std::io::ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionReset, UnexpectedEof};
    matches!(error.kind(), UnexpectedEof | ConnectionReset | BrokenPipe | ConnectionAborted)
}
