//! One number for each client, in a table that never grows. A client is an address, or a verified caller.
//!
//! The table is an array of rows of [`ROW`] entries, each row under a lock of its own. A hash assigns an address to its
//! row; its key is random, so that a client cannot choose addresses that collide. A look-up reads one row and allocates
//! nothing. IPv6 clients are distinguished by their first 64 bits, because a client that has one address of a /64 has
//! all of them.

use std::hash::{BuildHasher, RandomState};
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::rate::{Pace, nanos};

/// Entries of a row.
pub const ROW: usize = 8;

/// The client of an entry: an IPv4 address, the first 64 bits of an IPv6 address, or the keyed hash of a caller. One
/// table has entries of one kind.
pub(super) type Key = u64;

#[derive(Debug, Clone, Copy, Default)]
struct Entry {
    key: Key,
    /// 0 = the entry is free.
    value: u64,
}

#[derive(Debug)]
struct Table {
    rows: Box<[Mutex<[Entry; ROW]>]>,
    hasher: RandomState,
}

impl Table {
    fn new(clients_max: usize) -> Self {
        let rows = (0..clients_max.div_ceil(ROW).max(1)).map(|_| Mutex::default()).collect();
        Self { rows, hasher: RandomState::new() }
    }

    fn with_row<T>(&self, key: Key, act: impl FnOnce(&mut [Entry; ROW]) -> T) -> T {
        let row = self.hasher.hash_one(key) as usize % self.rows.len();
        act(&mut self.rows[row].lock().unwrap_or_else(PoisonError::into_inner))
    }
}

pub(super) fn key_of(client: IpAddr) -> Key {
    match client.to_canonical() {
        // No IPv6 network begins with 8 zero bits (RFC 4291 section 2.4), so that IPv4 fits in there.
        IpAddr::V4(ip) => 0xffff_0000_0000 | u64::from(u32::from(ip)),
        IpAddr::V6(ip) => (u128::from(ip) >> 64) as u64,
    }
}

/// A rate for each client.
#[derive(Debug)]
pub struct ClientRates {
    /// The rate of each client.
    pub pace: Pace,
    /// Clients as configured; a reload keeps the table if it stays the same.
    pub clients_max: usize,
    table: Table,
}

impl ClientRates {
    /// Makes a table for this many clients at one time.
    #[must_use]
    pub fn new(pace: Pace, clients_max: usize) -> Self {
        Self { pace, clients_max, table: Table::new(clients_max) }
    }

    /// Takes one request of a client. If the row is full, the client that has used the least of its burst is forgotten,
    /// because it gains the least by that.
    ///
    /// # Errors
    /// The time until the next request of the client is due.
    pub fn take(&self, client: IpAddr, now: Instant) -> Result<(), Duration> {
        self.take_of(key_of(client), now)
    }

    /// As [`ClientRates::take`], by the client's key.
    pub(super) fn take_of(&self, key: Key, now: Instant) -> Result<(), Duration> {
        let now_ns = nanos(now);
        self.table.with_row(key, |row| {
            if let Some(place) = row.iter_mut().find(|place| place.value != 0 && place.key == key) {
                place.value = self.pace.next(place.value, now_ns)?;
                return Ok(());
            }
            let value = self.pace.next(0, now_ns)?;
            if let Some(place) = row.iter_mut().min_by_key(|place| place.value) {
                *place = Entry { key, value };
            }
            Ok(())
        })
    }
}

/// Open connections, or transactions, of each client.
#[derive(Debug)]
pub struct ClientConnections {
    /// Clients as configured; a reload keeps the table if it stays the same.
    pub clients_max: usize,
    table: Table,
}

/// One connection or transaction of a client, for as long as it is held.
#[derive(Debug)]
pub struct ClientConnection {
    of: Arc<ClientConnections>,
    /// `None` = the row was full, and the connection is not counted.
    key: Option<Key>,
}

impl ClientConnections {
    /// Makes a table for this many clients at one time.
    #[must_use]
    pub fn new(clients_max: usize) -> Self {
        Self { clients_max, table: Table::new(clients_max) }
    }

    /// Counts one more connection, unless the client has `max`. A client whose row is full is admitted and not counted:
    /// a client with open connections is never forgotten, and the connections of all clients have bounds of their own.
    pub fn open(self: &Arc<Self>, client: IpAddr, max: u64) -> Option<ClientConnection> {
        self.open_of(key_of(client), max)
    }

    /// As [`ClientConnections::open`], by the client's key.
    pub(super) fn open_of(self: &Arc<Self>, key: Key, max: u64) -> Option<ClientConnection> {
        let counted = self.table.with_row(key, |row| {
            let known = row.iter().position(|place| place.value != 0 && place.key == key);
            let Some(at) = known.or_else(|| row.iter().position(|place| place.value == 0)) else {
                return Some(None);
            };
            let place = &mut row[at];
            if place.value >= max {
                return None;
            }
            *place = Entry { key, value: place.value + 1 };
            Some(Some(key))
        });
        counted.map(|key| ClientConnection { of: self.clone(), key })
    }
}

impl Drop for ClientConnection {
    fn drop(&mut self) {
        let Some(key) = self.key else { return };
        self.of.table.with_row(key, |row| {
            if let Some(place) = row.iter_mut().find(|place| place.value != 0 && place.key == key) {
                place.value -= 1;
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn each_client_has_its_own_rate_and_a_full_row_forgets_who_owes_least() {
        let rates = ClientRates::new(Pace::new(1.0, 3), ROW);
        let now = Instant::now();
        let client = |nth: usize| ip(&format!("192.0.2.{nth}"));
        for nth in 0..ROW {
            let takes = if nth == 5 { 1 } else { 3 };
            (0..takes).for_each(|_| assert_eq!(rates.take(client(nth), now), Ok(())));
        }
        assert!(rates.take(client(0), now).is_err());
        assert_eq!(rates.take(ip("198.51.100.1"), now), Ok(()), "a ninth takes the place of number 5");
        for nth in (0..ROW).filter(|nth| *nth != 5) {
            assert!(rates.take(client(nth), now).is_err(), "number {nth} is not forgotten");
        }
    }

    #[test]
    fn an_ipv6_network_is_one_client_and_a_mapped_address_is_ipv4() {
        let rates = ClientRates::new(Pace::new(1.0, 1), 1_024);
        let now = Instant::now();
        assert!(rates.take(ip("2001:db8::1"), now).is_ok());
        assert!(rates.take(ip("2001:db8::2"), now).is_err());
        assert!(rates.take(ip("2001:db8:0:1::2"), now).is_ok());
        assert!(rates.take(ip("192.0.2.1"), now).is_ok());
        assert!(rates.take(ip("::ffff:192.0.2.1"), now).is_err());
    }

    #[test]
    fn connections_are_given_back_and_who_has_some_is_never_forgotten() {
        let connections = Arc::new(ClientConnections::new(ROW));
        let client = |nth: usize| ip(&format!("192.0.2.{nth}"));
        let held: Vec<_> = (0..ROW).map(|nth| connections.open(client(nth), 1).unwrap()).collect();
        let uncounted = connections.open(ip("198.51.100.1"), 1);
        assert!(uncounted.is_some_and(|connection| connection.key.is_none()), "no place: let in, not counted");
        assert!((0..ROW).all(|nth| connections.open(client(nth), 1).is_none()));
        drop(held);
        assert!(connections.open(client(0), 1).is_some());
    }
}
