//! Parking: an HTTP/1.1 connection without a request frees what only a request needs.
//!
//! hyper's connection has 8 KiB of buffer for each direction, a parser, and room for a request's future: some 25 KiB,
//! from its first byte to its last. A connection that waits for its client needs none of that. So it is taken apart
//! once it was quiet for `timeouts.http1_rest`; the socket alone is waited for, and the next byte has hyper's
//! connection built again:
//! ```text
//!          hyper's connection on the socket            the socket, and with TLS its session
//!      ┌─────────────── active ────────────────┐  quiet  ┌────────── parked ───────────┐
//!  ──▶ │ buffers, parser, deadlines of a head  │ ──────▶ │ a read of one byte          │ ──▶ end, deadline or
//!      └───────────────────────────────────────┘ ◀────── └─────────────────────────────┘     drain: close_notify
//!                                                 a byte
//! ```
//! A request must not notice. So a connection is parked only if nothing is lost by it:
//!
//! * No transaction is open, and no byte was read that belongs to none.
//! * hyper, polled twice, neither reads nor writes. So it has nothing left to write, and no request that it has not
//!   handed on.
//! * Bytes that hyper has read and not parsed, as half a head behind the last request, are pushed back for its
//!   successor.
//! * A read finds what TLS has decrypted already, and lets TLS answer records that bring nothing to read, as a key
//!   update.
//!
//! The time for the next head goes on while a connection is parked: it counts from the end of the last request
//! ([`HeadClock`]).
//!
//! [`ActiveConnections`] are scanned for quiet ones every now and then. A timer for each connection would have to be
//! reset by each request.

use std::cell::{Cell, OnceCell, RefCell};
use std::pin::Pin;
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use bytes::{Buf, Bytes};
use hyper::rt::{Sleep, Timer};
use slab::Slab;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tollgate_tls::TlsStream;

use crate::socket::Watched;
use crate::task::cancel::{Cancelled, Shutdown};
use crate::task::timer::{Deadline, DeadlineTimer};
use crate::transaction::{ConnectionFacts, WorkerContext};

/// Bounds of the time between two scans for quiet connections, which is half of `timeouts.http1_rest`.
const SCAN_MIN: Duration = Duration::from_millis(5);
const SCAN_MAX: Duration = Duration::from_millis(500);
/// Connections scanned in one go: some 100 µs, after which the worker's other tasks have their turn.
const SCAN_CONNECTIONS_MAX: usize = 1_024;

/// Whether a connection was asked to park.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Asked {
    No,
    Once,
    /// hyper was polled since the first time, and had moved something.
    Again,
}

/// One active connection, as the scan sees it.
#[derive(Debug)]
struct Watch {
    facts: Rc<ConnectionFacts>,
    asked: Cell<Asked>,
    /// Of the connection's task. An active connection keeps one task, so the waker is not compared at each poll.
    waker: OnceCell<Waker>,
}

/// The HTTP/1.1 connections of one listener of one worker that are not parked.
#[derive(Debug, Default)]
pub struct ActiveConnections {
    watches: RefCell<Slab<Rc<Watch>>>,
}

/// The place of one active connection, for as long as it is active.
#[derive(Debug)]
pub struct Place<'a> {
    among: &'a ActiveConnections,
    key: usize,
    watch: Rc<Watch>,
}

impl ActiveConnections {
    pub fn enter(&self, facts: &Rc<ConnectionFacts>) -> Place<'_> {
        let watch = Watch { facts: facts.clone(), asked: Cell::new(Asked::No), waker: OnceCell::new() };
        let watch = Rc::new(watch);
        let key = self.watches.borrow_mut().insert(watch.clone());
        Place { among: self, key, watch }
    }

    /// Asks quiet connections to park, for ever.
    pub async fn park_quiet_ones(self: Rc<Self>, context: Rc<WorkerContext>) {
        loop {
            let quiet_min = context.config().file.timeouts.http1_rest.0;
            tokio::time::sleep((quiet_min / 2).clamp(SCAN_MIN, SCAN_MAX)).await;
            let mut from = 0;
            while self.scan(from, quiet_min) {
                from += SCAN_CONNECTIONS_MAX;
                tokio::task::yield_now().await;
            }
        }
    }

    /// Asks the connections of some places that were quiet for `quiet_min`. Returns whether there are places after
    /// those.
    fn scan(&self, from: usize, quiet_min: Duration) -> bool {
        let (watches, now) = (self.watches.borrow(), Instant::now());
        let to = from + SCAN_CONNECTIONS_MAX;
        for watch in (from..to).filter_map(|key| watches.get(key)) {
            let facts = &watch.facts;
            if facts.is_quiet() && now.saturating_duration_since(facts.quiet_since.get()) >= quiet_min {
                watch.asked.set(Asked::Once);
                if let Some(waker) = watch.waker.get() {
                    waker.wake_by_ref();
                }
            }
        }
        to < watches.capacity()
    }
}

impl Place<'_> {
    /// Ready once the connection may be taken apart. To be polled after hyper, by the task that entered it.
    pub fn may_park(&self) -> impl Future<Output = ()> {
        std::future::poll_fn(|cx| match self.watch.asked.get() {
            Asked::No => {
                self.watch.waker.get_or_init(|| cx.waker().clone());
                Poll::Pending
            }
            asked => self.answer(asked, cx),
        })
    }

    fn answer(&self, asked: Asked, cx: &Context<'_>) -> Poll<()> {
        let watch = &*self.watch;
        watch.asked.set(Asked::No);
        if !watch.facts.is_quiet() {
            return Poll::Pending;
        }
        if !watch.facts.io.take_moved() {
            return Poll::Ready(());
        }
        // Most likely that was the end of the last request. If something moves again, the next scan asks again.
        if asked == Asked::Once {
            watch.asked.set(Asked::Again);
            cx.waker().wake_by_ref();
        }
        Poll::Pending
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        let mut watches = self.among.watches.borrow_mut();
        watches.remove(self.key);
        if watches.is_empty() {
            watches.shrink_to_fit();
        }
    }
}

/// A socket of a connection that can be parked.
pub trait Parkable: AsyncRead + AsyncWrite + Unpin {
    /// Frees the memory that is not needed while nothing comes.
    fn shrink(&mut self);
}

impl Parkable for TcpStream {
    fn shrink(&mut self) {}
}

impl Parkable for Box<TlsStream> {
    fn shrink(&mut self) {
        TlsStream::shrink(self);
    }
}

/// How long a connection stays parked.
#[derive(Debug)]
pub struct Until<'a> {
    /// When the time for the next head is over.
    pub deadline: Instant,
    /// Cancelled once the worker accepts no more connections.
    pub drain: &'a Shutdown,
    /// How long after that the first request of a connection is waited for; `None` = it has served one.
    pub grace: Option<Duration>,
}

/// Waits for the next byte from the client; `None` = the connection is to be closed.
pub async fn park<IO: Parkable>(io: &mut Watched<IO>, until: Until<'_>) -> Option<u8> {
    let mut deadline = Deadline::at(until.deadline);
    let mut drain = Some(Cancelled::of(until.drain));
    std::future::poll_fn(move |cx| {
        let mut byte = [0];
        let mut read = ReadBuf::new(&mut byte);
        match Pin::new(&mut *io).poll_read(cx, &mut read) {
            Poll::Ready(Ok(())) => return Poll::Ready(read.filled().first().copied()),
            // An error between two requests belongs to no transaction, so nothing reports it.
            Poll::Ready(Err(_)) => return Poll::Ready(None),
            Poll::Pending => {}
        }
        // TLS may have to answer what it just read, as a key update, though there is nothing to read for HTTP.
        if let Poll::Ready(Err(_)) = Pin::new(&mut *io).poll_flush(cx) {
            return Poll::Ready(None);
        }
        io.socket_mut().shrink();
        if drain.as_mut().is_some_and(|drain| Pin::new(drain).poll(cx).is_ready()) {
            drain = None;
            let Some(grace) = until.grace else { return Poll::Ready(None) };
            deadline.move_to(until.deadline.min(Instant::now() + grace));
        }
        Pin::new(&mut deadline).poll(cx).map(|()| None)
    })
    .await
}

/// Strips the empty lines that some clients send behind a body (RFC 9112 section 2.2) from what hyper read and did not
/// parse.
#[must_use]
pub fn without_empty_lines(mut read: Bytes) -> Bytes {
    loop {
        let empty = match &read[..] {
            [b'\n', ..] => 1,
            [b'\r', b'\n', ..] => 2,
            // hyper refuses a bare CR.
            _ => return read,
        };
        read.advance(empty);
    }
}

/// hyper's clock for a connection that was parked: the wait for its first head began before hyper did.
#[derive(Debug)]
pub struct HeadClock {
    waited_since: Instant,
    /// Whether hyper has asked for the time once.
    asked: AtomicBool,
}

impl HeadClock {
    #[must_use]
    pub fn new(waited_since: Instant) -> Self {
        Self { waited_since, asked: AtomicBool::new(false) }
    }
}

impl Timer for HeadClock {
    fn sleep(&self, duration: Duration) -> Pin<Box<dyn Sleep>> {
        DeadlineTimer.sleep(duration)
    }

    fn sleep_until(&self, deadline: Instant) -> Pin<Box<dyn Sleep>> {
        DeadlineTimer.sleep_until(deadline)
    }

    /// hyper asks for the time when it begins to wait for a head, and at no other moment.
    fn now(&self) -> Instant {
        if self.asked.swap(true, Relaxed) { Instant::now() } else { self.waited_since }
    }

    fn reset(&self, sleep: &mut Pin<Box<dyn Sleep>>, deadline: Instant) {
        DeadlineTimer.reset(sleep, deadline);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn empty_lines_are_no_request() {
        for (read, left) in
            [("", ""), ("\r\n", ""), ("\n\r\n", ""), ("\r\nGET", "GET"), ("G\r\n", "G\r\n"), ("\n\rGET", "\rGET")]
        {
            assert_eq!(without_empty_lines(Bytes::from(read)), left, "{read:?}");
        }
    }

    #[test]
    fn only_the_first_head_was_waited_for() {
        let since = Instant::now() - Duration::from_secs(7);
        let clock = HeadClock::new(since);
        assert_eq!(clock.now(), since);
        assert!(clock.now() > since);
    }
}
