//! Names to addresses, cached for a while.
//!
//! The system's resolver is used (getaddrinfo, on the blocking pool), so that `/etc/hosts`, search domains and the rest
//! of this machine's resolution apply to the proxy as they do to `curl`. It reports no time to live: an answer is used
//! for a configured time, which bounds how long a change goes unseen.
//!
//! ```text
//! age of an answer   0 ……… cache ……… 2 × cache ……… stale
//!                    used   used,     looked up again and waited for;
//!                           looked    used if the resolver fails
//!                           up again
//! ```
//! Each name has one lookup at a time, which all its requests wait for. There are [`LOOKUPS_MAX`] lookups in all, so
//! that a hanging resolver does not take all blocking threads. A lookup goes on after the request that started it has
//! left.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::rc::Rc;
use std::time::{Duration, Instant};

use tokio::sync::{Notify, Semaphore};

/// Cached names, past which old ones are dropped.
const NAMES_MAX: usize = 65_536;
/// Lookups at one time.
const LOOKUPS_MAX: usize = 32;

/// Looks up the addresses of a name.
pub type Lookup = dyn Fn(String) -> Pin<Box<dyn Future<Output = io::Result<Vec<IpAddr>>>>>;

/// The cached answers of one worker.
pub struct Resolver {
    names: RefCell<HashMap<Rc<str>, Rc<Name>>>,
    lookup: Rc<Lookup>,
    lookups: Rc<Semaphore>,
    cache_for: Cell<Duration>,
    stale_max: Cell<Duration>,
    turns: Cell<usize>,
}

impl std::fmt::Debug for Resolver {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Resolver").field("names", &self.names.borrow().len()).finish_non_exhaustive()
    }
}

/// The cached state of one name.
#[derive(Default)]
struct Name {
    answer: RefCell<Option<(Rc<[IpAddr]>, Instant)>>,
    failure: RefCell<Option<(io::ErrorKind, String)>>,
    asking: Cell<bool>,
    answered: Notify,
}

/// Addresses of a name.
#[derive(Debug, Clone)]
pub struct Resolved {
    /// At least one.
    pub addresses: Rc<[IpAddr]>,
    /// Whether the request waited for a lookup.
    pub waited: bool,
}

impl Resolver {
    /// Uses each answer for `cache_for`, and for `stale_max` while the system's resolver fails.
    #[must_use]
    pub fn new(cache_for: Duration, stale_max: Duration) -> Self {
        Self::asking(Rc::new(|host| Box::pin(system(host))), cache_for, stale_max)
    }

    fn asking(lookup: Rc<Lookup>, cache_for: Duration, stale_max: Duration) -> Self {
        let lookups = Rc::new(Semaphore::new(LOOKUPS_MAX));
        let (cache_for, stale_max) = (Cell::new(cache_for), Cell::new(stale_max));
        Self { names: RefCell::default(), lookup, lookups, cache_for, stale_max, turns: Cell::default() }
    }

    pub fn remember_for(&self, cache_for: Duration, stale_max: Duration) {
        self.cache_for.set(cache_for);
        self.stale_max.set(stale_max);
    }

    /// Resolves `host`.
    ///
    /// # Errors
    /// The lookup failed or found no address, and no cached answer is young enough.
    pub async fn resolve(&self, host: &str) -> io::Result<Resolved> {
        if let Ok(ip) = host.parse::<IpAddr>() {
            return Ok(Resolved { addresses: [ip].into(), waited: false });
        }
        let name = self.name(host);
        let cache_for = self.cache_for.get();
        if let Some((addresses, age)) = name.known() {
            if age >= cache_for {
                self.ask(host, &name);
            }
            if age < cache_for * 2 {
                return Ok(Resolved { addresses, waited: false });
            }
        }
        let answered = name.answered.notified();
        self.ask(host, &name);
        answered.await;
        match (name.known(), &*name.failure.borrow()) {
            (Some((addresses, _)), None) => Ok(Resolved { addresses, waited: true }),
            (Some((addresses, age)), Some(_)) if age < self.stale_max.get() => Ok(Resolved { addresses, waited: true }),
            (_, Some((kind, why))) => Err(io::Error::new(*kind, why.clone())),
            (None, None) => Err(io::ErrorKind::NotFound.into()),
        }
    }

    /// The cached addresses of a name. Starts a lookup when one is due, and does not wait for it.
    #[must_use]
    pub fn known(&self, host: &str) -> Option<Rc<[IpAddr]>> {
        let name = self.names.borrow().get(host).cloned()?;
        let (addresses, age) = name.known()?;
        if age >= self.cache_for.get() {
            self.ask(host, &name);
        }
        Some(addresses)
    }

    /// The next turn, for [`order`].
    #[must_use]
    pub fn turn(&self) -> usize {
        self.turns.replace(self.turns.get().wrapping_add(1))
    }

    fn name(&self, host: &str) -> Rc<Name> {
        if let Some(name) = self.names.borrow().get(host) {
            return name.clone();
        }
        let mut names = self.names.borrow_mut();
        if names.len() >= NAMES_MAX {
            let stale_max = self.stale_max.get();
            names.retain(|_, name| name.asking.get() || name.known().is_some_and(|(_, age)| age < stale_max));
        }
        let name = Rc::new(Name::default());
        // A name past the bound is not cached: it is looked up at each use.
        if names.len() < NAMES_MAX {
            names.insert(host.into(), name.clone());
        }
        name
    }

    /// Starts a lookup, unless one is running.
    fn ask(&self, host: &str, name: &Rc<Name>) {
        if name.asking.replace(true) {
            return;
        }
        let (lookup, lookups, name) = (self.lookup.clone(), self.lookups.clone(), name.clone());
        let host = host.to_owned();
        tokio::task::spawn_local(async move {
            // The semaphore is never closed.
            let _place = lookups.acquire().await;
            match lookup(host).await {
                Ok(addresses) if !addresses.is_empty() => {
                    name.answer.replace(Some((addresses.into(), Instant::now())));
                    name.failure.replace(None);
                }
                Ok(_) => {
                    name.failure.replace(Some((io::ErrorKind::NotFound, "the name has no address".to_owned())));
                }
                Err(error) => {
                    name.failure.replace(Some((error.kind(), error.to_string())));
                }
            }
            name.asking.set(false);
            name.answered.notify_waiters();
        });
    }
}

impl Name {
    /// The last answer, and its age.
    fn known(&self) -> Option<(Rc<[IpAddr]>, Duration)> {
        self.answer.borrow().as_ref().map(|(addresses, at)| (addresses.clone(), at.elapsed()))
    }
}

async fn system(host: String) -> io::Result<Vec<IpAddr>> {
    Ok(tokio::net::lookup_host((host, 0)).await?.map(|address| address.ip()).collect())
}

/// The order in which addresses are tried: families in turn, the resolver's first choice of family first (RFC 8305
/// section 4), and within a family beginning with the `turn`th, so that several addresses of one name share the load.
#[must_use]
pub fn order(addresses: &[IpAddr], port: u16, turn: usize) -> Vec<SocketAddr> {
    let Some(first) = addresses.first() else { return Vec::new() };
    let family = |v4: bool| addresses.iter().copied().filter(|ip| ip.is_ipv4() == v4).collect::<Vec<_>>();
    let (mut preferred, mut other) = (family(first.is_ipv4()), family(!first.is_ipv4()));
    let places = preferred.len();
    preferred.rotate_left(turn % places.max(1));
    let places = other.len();
    other.rotate_left(turn % places.max(1));
    let mut order = Vec::with_capacity(addresses.len());
    let (mut preferred, mut other) = (preferred.into_iter(), other.into_iter());
    loop {
        let pair = [preferred.next(), other.next()];
        if pair == [None, None] {
            return order;
        }
        order.extend(pair.into_iter().flatten().map(|ip| SocketAddr::new(ip, port)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ips(list: &[&str]) -> Vec<IpAddr> {
        list.iter().map(|ip| ip.parse().unwrap()).collect()
    }

    #[test]
    fn families_take_turns_and_so_do_addresses() {
        let addresses = ips(&["2001:db8::1", "2001:db8::2", "192.0.2.1", "192.0.2.2"]);
        let tried = |turn| order(&addresses, 1, turn).iter().map(|a| a.ip().to_string()).collect::<Vec<_>>();
        assert_eq!(tried(0), ["2001:db8::1", "192.0.2.1", "2001:db8::2", "192.0.2.2"]);
        assert_eq!(tried(1), ["2001:db8::2", "192.0.2.2", "2001:db8::1", "192.0.2.1"]);
        assert!(order(&[], 1, 3).is_empty());
    }

    type Answer = Rc<RefCell<io::Result<Vec<IpAddr>>>>;

    /// A resolver whose answers the test gives, and how often it was asked.
    fn scripted(cache_for: Duration, stale_max: Duration) -> (Resolver, Answer, Rc<Cell<u32>>) {
        let answer: Answer = Rc::new(RefCell::new(Ok(ips(&["192.0.2.1"]))));
        let (asked, given) = (Rc::new(Cell::new(0)), answer.clone());
        let counted = asked.clone();
        let lookup = move |_host| {
            counted.set(counted.get() + 1);
            let answer = match &*given.borrow() {
                Ok(ips) => Ok(ips.clone()),
                Err(error) => Err(io::Error::new(error.kind(), error.to_string())),
            };
            Box::pin(async move {
                tokio::task::yield_now().await;
                answer
            }) as Pin<Box<dyn Future<Output = io::Result<Vec<IpAddr>>>>>
        };
        (Resolver::asking(Rc::new(lookup), cache_for, stale_max), answer, asked)
    }

    fn run(test: impl Future<Output = ()>) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        tokio::task::LocalSet::new().block_on(&runtime, test);
    }

    const LONG: Duration = Duration::from_secs(3_600);

    #[test]
    fn a_young_answer_is_used_again_and_one_question_serves_all_who_wait() {
        let (resolver, _, asked) = scripted(LONG, LONG);
        run(async {
            let (a, b) = tokio::join!(resolver.resolve("a"), resolver.resolve("a"));
            assert!(a.unwrap().waited && b.unwrap().waited);
            assert!(!resolver.resolve("a").await.unwrap().waited);
            assert!(!resolver.resolve("192.0.2.9").await.unwrap().waited);
            assert_eq!(asked.get(), 1);
        });
    }

    #[test]
    fn an_old_answer_is_asked_for_again_and_a_change_takes_over() {
        let (resolver, answer, _) = scripted(Duration::ZERO, LONG);
        run(async {
            assert_eq!(*resolver.resolve("a").await.unwrap().addresses, ips(&["192.0.2.1"])[..]);
            *answer.borrow_mut() = Ok(ips(&["192.0.2.2"]));
            assert_eq!(*resolver.resolve("a").await.unwrap().addresses, ips(&["192.0.2.2"])[..]);
        });
    }

    #[test]
    fn while_the_resolver_fails_an_old_answer_is_used_up_to_its_bound() {
        for (stale_max, works) in [(LONG, true), (Duration::ZERO, false)] {
            let (resolver, answer, asked) = scripted(Duration::ZERO, stale_max);
            run(async {
                resolver.resolve("a").await.unwrap();
                *answer.borrow_mut() = Err(io::Error::other("the resolver is away"));
                assert_eq!(resolver.resolve("a").await.is_ok(), works);
                assert_eq!(asked.get(), 2);
            });
        }
    }

    #[test]
    fn what_is_in_use_is_asked_for_again_without_waiting() {
        let (resolver, answer, _) = scripted(Duration::ZERO, LONG);
        run(async {
            assert!(resolver.known("a").is_none(), "a name that nobody uses is not asked for");
            resolver.resolve("a").await.unwrap();
            *answer.borrow_mut() = Ok(ips(&["192.0.2.2"]));
            while *resolver.known("a").unwrap() != ips(&["192.0.2.2"])[..] {
                tokio::task::yield_now().await;
            }
        });
    }

    #[test]
    fn a_name_without_an_address_is_an_error() {
        let (resolver, answer, _) = scripted(LONG, LONG);
        *answer.borrow_mut() = Ok(Vec::new());
        run(async {
            assert_eq!(resolver.resolve("a").await.unwrap_err().kind(), io::ErrorKind::NotFound);
        });
    }
}
