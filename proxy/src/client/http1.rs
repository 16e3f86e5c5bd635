//! An HTTP/1 connection: served while it has requests, [parked](crate::client::idle) while it has none.

use std::rc::Rc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Instant;

use bytes::Bytes;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::io::AsyncWriteExt;
use tollgate_record::vocabulary::ErrorClass;

use crate::client::idle::{self, HeadClock, Parkable, Until};
use crate::client::server::Server;
use crate::socket::Watched;
use crate::task::cancel::Cancelled;
use crate::transaction::{self, ConnectionFacts};

impl Server {
    /// Serves one connection to its end.
    pub(super) async fn serve_http1<IO>(&self, io: IO, facts: Rc<ConnectionFacts>)
    where
        IO: Parkable + Send + 'static,
    {
        let mut io = Box::new(self.watched(io, &facts));
        let mut waited_since = None;
        loop {
            // Boxed, and the box is freed here: a parked connection pays for nothing of an active one.
            let served = Box::pin(self.serve_active(io, &facts, waited_since)).await;
            let Some(quiet) = served else { return };
            io = quiet;
            if !io.has_unread() && !self.park(&mut io, &facts).await {
                return;
            }
            waited_since = Some(facts.quiet_since.get());
        }
    }

    /// Serves requests until the connection ends, or may be parked. Returns the socket then. `waited_since` is when the
    /// wait for its first head began, if that is not now.
    async fn serve_active<IO>(
        &self,
        io: Box<Watched<IO>>,
        facts: &Rc<ConnectionFacts>,
        waited_since: Option<Instant>,
    ) -> Option<Box<Watched<IO>>>
    where
        IO: Parkable + Send + 'static,
    {
        let (io, protocols, context) = (TokioIo::new(io), self.clients.protocols(), &self.clients.context);
        let service = service_fn(|request| transaction::handle(context.clone(), facts.clone(), request));
        let connection = match waited_since {
            None => protocols.http1.serve_connection(io, service),
            Some(since) => protocols.http1.clone().timer(HeadClock::new(since)).serve_connection(io, service),
        };
        // Not held for as long as the connection is served.
        drop(protocols);
        let mut connection = connection.with_upgrades();
        let place = self.active.enter(facts);
        let served = async {
            // Biased: a random order would cost every request a random number.
            tokio::select! {
                biased;
                ended = &mut connection => Some(ended),
                () = Cancelled::of(context.drain()) => {
                    // The first request of a connection that was just accepted may be on its way, and hyper would close
                    // before it reads that. While the worker drains, every response closes its connection by itself.
                    let grace = context.config().file.timeouts.drain_first_request.0;
                    if facts.io.read_bytes.load(Relaxed) == 0
                        && let Ok(ended) = tokio::time::timeout(grace, &mut connection).await
                    {
                        return Some(ended);
                    }
                    std::pin::Pin::new(&mut connection).graceful_shutdown();
                    Some((&mut connection).await)
                }
                () = place.may_park() => None,
            }
        };
        let ended = tokio::select! {
            biased;
            ended = served => ended,
            () = facts.cut.aborted() => return None,
        };
        if let Some(ended) = ended {
            if let Err(error) = ended {
                self.note_malformed(facts, &error);
            }
            return None;
        }
        let parts = connection.into_parts()?;
        let mut io = parts.io.into_inner();
        let begun = idle::without_empty_lines(parts.read_buf);
        if !begun.is_empty() {
            facts.io.note_begun(context.epoch(), facts.quiet_since.get());
            io.unread(begun);
        }
        Some(io)
    }

    /// Waits for the next request; false = the connection is closed.
    async fn park<IO>(&self, io: &mut Watched<IO>, facts: &ConnectionFacts) -> bool
    where
        IO: Parkable,
    {
        let (until, parked) = {
            let context = &self.clients.context;
            let config = context.config();
            let timeouts = &config.file.timeouts;
            let parked = &context.metrics.shared().connections_resting;
            let until = Until {
                deadline: facts.quiet_since.get() + timeouts.header_read.0,
                drain: context.drain(),
                grace: (facts.io.read_bytes.load(Relaxed) == 0).then_some(timeouts.drain_first_request.0),
            };
            (until, Parked::count(parked.with_label_values(&[&config.listeners[facts.listener].name])))
        };
        let byte = idle::park(io, until).await;
        drop(parked);
        match byte {
            Some(byte) => io.unread(Bytes::copy_from_slice(&[byte])),
            // Best effort: the connection is closed whether or not the client hears of it.
            None => drop(io.shutdown().await),
        }
        byte.is_some()
    }

    /// Records a request whose head hyper refused, or never got to the end of: no transaction began for it.
    fn note_malformed(&self, facts: &ConnectionFacts, error: &hyper::Error) {
        let (recorder, config) = (&self.clients.context.recorder, self.clients.context.config());
        // hyper tells these two cases only in the error's text.
        let words = error.to_string();
        if error.is_parse_too_large() {
            let status = if words.contains("URI") { 414 } else { 431 };
            recorder.malformed(&config, facts, Some(status), ErrorClass::TooLarge, "the request head is too large");
        } else if error.is_parse() && words.contains("HTTP2 preface") {
            let detail = "the client speaks HTTP/2 where HTTP/1.1 is served; closed without an answer";
            recorder.malformed(&config, facts, None, ErrorClass::BadRequest, detail);
        } else if error.is_parse() {
            let detail = format!("the request head cannot be parsed: {error}");
            recorder.malformed(&config, facts, Some(400), ErrorClass::BadRequest, &detail);
        } else if facts.io.has_partial_head() && error.is_timeout() {
            let detail = "the request head did not arrive in time";
            recorder.malformed(&config, facts, None, ErrorClass::BadRequest, detail);
        } else if facts.io.has_partial_head() {
            let detail = "the client left before its request head was complete";
            recorder.malformed(&config, facts, Some(499), ErrorClass::ClientAbort, detail);
        }
    }
}

/// Counts a connection for as long as it is parked.
struct Parked(prometheus::IntGauge);

impl Parked {
    fn count(gauge: prometheus::IntGauge) -> Self {
        gauge.inc();
        Self(gauge)
    }
}

impl Drop for Parked {
    fn drop(&mut self) {
        self.0.dec();
    }
}
