//! Names to addresses, remembered for a while.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;
use std::time::{Duration, Instant};

/// Names remembered for one port before expired ones are thrown out.
const NAMES_MAX: usize = 4_096;

/// The answers of the resolver, for one worker.
#[derive(Debug)]
pub struct Resolver {
    /// By port, then by name, so that a lookup makes no key.
    cache: RefCell<HashMap<u16, HashMap<Rc<str>, Remembered>>>,
    cache_for: Cell<Duration>,
}

/// Addresses, and until when they are used.
type Remembered = (Rc<[SocketAddr]>, Instant);

/// Addresses of a name.
#[derive(Debug, Clone)]
pub struct Resolved {
    /// At least one.
    pub addresses: Rc<[SocketAddr]>,
    /// How long the resolver took; `None` when it was not asked.
    pub took: Option<Duration>,
}

impl Resolver {
    /// A resolver that uses each answer for `cache_for`.
    #[must_use]
    pub fn new(cache_for: Duration) -> Self {
        Self { cache: RefCell::default(), cache_for: Cell::new(cache_for) }
    }

    /// Uses each answer that is to come for `cache_for`.
    pub fn remember_for(&self, cache_for: Duration) {
        self.cache_for.set(cache_for);
    }

    /// The addresses of `host`.
    ///
    /// # Errors
    /// The resolver failed, or knows no address.
    pub async fn resolve(&self, host: &str, port: u16) -> io::Result<Resolved> {
        if let Ok(ip) = host.parse::<IpAddr>() {
            return Ok(Resolved { addresses: [SocketAddr::new(ip, port)].into(), took: None });
        }
        if let Some((addresses, until)) = self.cache.borrow().get(&port).and_then(|names| names.get(host))
            && *until > Instant::now()
        {
            return Ok(Resolved { addresses: addresses.clone(), took: None });
        }
        let began = Instant::now();
        let addresses: Rc<[SocketAddr]> = tokio::net::lookup_host((host, port)).await?.collect();
        if addresses.is_empty() {
            return Err(io::Error::new(io::ErrorKind::NotFound, "the name has no address"));
        }
        let mut cache = self.cache.borrow_mut();
        let names = cache.entry(port).or_default();
        if names.len() >= NAMES_MAX {
            let now = Instant::now();
            names.retain(|_, (_, until)| *until > now);
        }
        if names.len() < NAMES_MAX {
            names.insert(host.into(), (addresses.clone(), Instant::now() + self.cache_for.get()));
        }
        Ok(Resolved { addresses, took: Some(began.elapsed()) })
    }
}
