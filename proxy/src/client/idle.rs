//! Rest: an HTTP/1.1 connection without a request gives up what only a request needs.
//!
//! hyper's connection has buffers of 8 KiB for each direction from its first byte to its last, a parser, and room for a
//! request's future: some 25 KiB, of which a connection that waits for its client needs none. So it is taken apart once
//! it was quiet for `timeouts.http1_rest`, the socket alone is waited for, and the next byte has it made anew:
//! ```text
//!          hyper's connection on the socket            the socket, and with TLS its session
//!      ┌──────────────── awake ────────────────┐  quiet  ┌────────── at rest ──────────┐
//!  ──▶ │ buffers, parser, deadlines of a head  │ ──────▶ │ a read of one byte          │ ──▶ end, deadline or
//!      └───────────────────────────────────────┘ ◀────── └─────────────────────────────┘     drain: close_notify
//!                                                 a byte
//! ```
//! A request must not notice, so that a connection rests only if nothing is lost by it:
//!
//! * no transaction is open, and nothing was read that belongs to none;
//! * hyper, asked twice, neither reads nor writes: it has nothing left to write, and no request that it has not handed on;
//! * what hyper has read and not parsed, as half a head behind the last request, is read again by its successor;
//! * a read finds what TLS has decrypted already, and lets TLS answer records that bring nothing to read, as a key update.
//!
//! The time for the next head goes on meanwhile: it counts from the end of the last request ([`HeadClock`]).
//!
//! Quiet ones are looked for every now and then, among those that are awake ([`Awake`]): a timer for each connection would
//! have to be set back by each request.

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

use crate::client::connection::{ConnectionFacts, Watched};
use crate::client::tls_stream::TlsStream;
use crate::runtime::worker::Worker;
use crate::task::cancel::{Quiet, Stop};
use crate::task::timer::{Alarm, Alarms};

/// Shortest and longest time between two looks for quiet connections; half of `timeouts.http1_rest` between them.
const LOOK_MIN: Duration = Duration::from_millis(5);
const LOOK_MAX: Duration = Duration::from_millis(500);
/// Connections that are looked at in one go: some 100 µs, after which the worker's other tasks have their turn.
const LOOK_CONNECTIONS_MAX: usize = 1_024;

/// How far a connection is with going to rest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Asked {
    No,
    Once,
    /// hyper was polled since, and had moved something.
    Again,
}

/// What of a connection that is awake is looked at.
#[derive(Debug)]
struct Watch {
    facts: Rc<ConnectionFacts>,
    asked: Cell<Asked>,
    /// Of its task, which is one for as long as it is awake: comparing it would cost every poll.
    waker: OnceCell<Waker>,
}

/// The HTTP/1.1 connections of one listener of one worker that are awake.
#[derive(Debug, Default)]
pub struct Awake {
    watches: RefCell<Slab<Rc<Watch>>>,
}

/// The place of one of them, for as long as it is awake.
#[derive(Debug)]
pub struct Place<'a> {
    among: &'a Awake,
    key: usize,
    watch: Rc<Watch>,
}

impl Awake {
    /// One more is awake.
    pub fn enter(&self, facts: &Rc<ConnectionFacts>) -> Place<'_> {
        let watch = Watch { facts: facts.clone(), asked: Cell::new(Asked::No), waker: OnceCell::new() };
        let watch = Rc::new(watch);
        let key = self.watches.borrow_mut().insert(watch.clone());
        Place { among: self, key, watch }
    }

    /// Asks the quiet ones to rest, for ever.
    pub async fn look_after(self: Rc<Self>, worker: Rc<Worker>) {
        loop {
            let rest = worker.plan().config.timeouts.http1_rest.0;
            tokio::time::sleep((rest / 2).clamp(LOOK_MIN, LOOK_MAX)).await;
            let mut from = 0;
            while self.look(from, rest) {
                from += LOOK_CONNECTIONS_MAX;
                tokio::task::yield_now().await;
            }
        }
    }

    /// Asks those of some places that were quiet for `rest`; whether there are places after those.
    fn look(&self, from: usize, rest: Duration) -> bool {
        let (watches, now) = (self.watches.borrow(), Instant::now());
        let to = from + LOOK_CONNECTIONS_MAX;
        for watch in (from..to).filter_map(|key| watches.get(key)) {
            let facts = &watch.facts;
            if facts.is_quiet() && now.saturating_duration_since(facts.quiet_since.get()) >= rest {
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
    pub fn may_rest(&self) -> impl Future<Output = ()> {
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
        // It was the last request, most likely. What moves once more is left alone until the next look.
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

/// A socket of a connection that can rest.
pub trait Restful: AsyncRead + AsyncWrite + Unpin {
    /// Gives up what it holds of memory and does not need while nothing comes.
    fn shrink(&mut self);
}

impl Restful for TcpStream {
    fn shrink(&mut self) {}
}

impl Restful for Box<TlsStream> {
    fn shrink(&mut self) {
        TlsStream::shrink(self);
    }
}

/// Until when a connection rests.
#[derive(Debug)]
pub struct Until<'a> {
    /// When the time for its next head is over.
    pub deadline: Instant,
    /// The worker takes no more connections.
    pub drain: &'a Stop,
    /// How long the request of a connection that has begun none yet is still waited for then.
    pub grace: Option<Duration>,
}

/// Waits for the next byte that the client sends; `None` = there will be none that is waited for.
pub async fn rest<IO: Restful>(io: &mut Watched<IO>, until: Until<'_>) -> Option<u8> {
    let mut deadline = Alarm::at(until.deadline);
    let mut drain = Some(Quiet::cancelled(until.drain));
    std::future::poll_fn(move |cx| {
        let mut byte = [0];
        let mut read = ReadBuf::new(&mut byte);
        match Pin::new(&mut *io).poll_read(cx, &mut read) {
            Poll::Ready(Ok(())) => return Poll::Ready(read.filled().first().copied()),
            // As when it is read between two requests: nobody's transaction, and so nobody's error.
            Poll::Ready(Err(_)) => return Poll::Ready(None),
            Poll::Pending => {}
        }
        // What TLS has to say to what it read.
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

/// What hyper has read and not parsed, less the empty lines that some clients send behind a body (RFC 9112 section 2.2).
#[must_use]
pub fn without_empty_lines(mut read: Bytes) -> Bytes {
    loop {
        let empty = match &read[..] {
            [b'\n', ..] => 1,
            [b'\r', b'\n', ..] => 2,
            // A bare CR is hyper's to refuse.
            _ => return read,
        };
        read.advance(empty);
    }
}

/// hyper's clock for a connection that comes from its rest: its first head was waited for already.
#[derive(Debug)]
pub struct HeadClock {
    waited_since: Instant,
    /// It was told that.
    told: AtomicBool,
}

impl HeadClock {
    /// The first head is waited for since then.
    #[must_use]
    pub fn new(waited_since: Instant) -> Self {
        Self { waited_since, told: AtomicBool::new(false) }
    }
}

impl Timer for HeadClock {
    fn sleep(&self, duration: Duration) -> Pin<Box<dyn Sleep>> {
        Alarms.sleep(duration)
    }

    fn sleep_until(&self, deadline: Instant) -> Pin<Box<dyn Sleep>> {
        Alarms.sleep_until(deadline)
    }

    /// hyper asks when it begins to wait for a head, and for nothing else.
    fn now(&self) -> Instant {
        if self.told.swap(true, Relaxed) { Instant::now() } else { self.waited_since }
    }

    fn reset(&self, sleep: &mut Pin<Box<dyn Sleep>>, deadline: Instant) {
        Alarms.reset(sleep, deadline);
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
