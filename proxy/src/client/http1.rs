//! An HTTP/1 connection: served while it has requests, at [rest](crate::client::idle) while it has none.

use std::rc::Rc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Instant;

use bytes::Bytes;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::io::AsyncWriteExt;
use tollgate_record::vocabulary::ErrorClass;

use crate::client::connection::{ConnectionFacts, Watched};
use crate::client::idle::{self, HeadClock, Restful, Until};
use crate::client::server::Server;
use crate::task::cancel::Quiet;
use crate::transaction::forward;

impl Server {
    /// Serves one connection to its end.
    pub(crate) async fn serve_http1<IO>(&self, io: IO, facts: Rc<ConnectionFacts>)
    where
        IO: Restful + Send + 'static,
    {
        let mut io = Box::new(self.watched(io, &facts));
        let mut waited_since = None;
        loop {
            // In a box of its own, which a connection at rest does not have.
            let awake = Box::pin(self.awake(io, &facts, waited_since)).await;
            let Some(quiet) = awake else { return };
            io = quiet;
            if !io.has_unread() && !self.rest(&mut io, &facts).await {
                return;
            }
            waited_since = Some(facts.quiet_since.get());
        }
    }

    /// Serves requests until the connection ends, which is `None`, or may rest. `waited_since`: since when its first head
    /// is waited for, if that is not now.
    async fn awake<IO>(
        &self,
        io: Box<Watched<IO>>,
        facts: &Rc<ConnectionFacts>,
        waited_since: Option<Instant>,
    ) -> Option<Box<Watched<IO>>>
    where
        IO: Restful + Send + 'static,
    {
        let (io, plan) = (TokioIo::new(io), self.worker.plan());
        let service = service_fn(|request| forward::handle(self.worker.clone(), facts.clone(), request));
        let connection = match waited_since {
            None => plan.protocols.http1.serve_connection(io, service),
            Some(since) => plan.protocols.http1.clone().timer(HeadClock::new(since)).serve_connection(io, service),
        };
        // Not for as long as it is served.
        drop(plan);
        let mut connection = connection.with_upgrades();
        let place = self.awake.enter(facts);
        let served = async {
            // In order: drawing lots for it would cost every request.
            tokio::select! {
                biased;
                ended = &mut connection => Some(ended),
                () = Quiet::cancelled(&self.worker.drain) => {
                    // hyper would close what was accepted just now, before it reads the request that is on its way.
                    // Every answer ends its connection by now, so that it need not be told.
                    let grace = self.worker.plan().config.timeouts.drain_first_request.0;
                    if facts.io.read_bytes.load(Relaxed) == 0
                        && let Ok(ended) = tokio::time::timeout(grace, &mut connection).await
                    {
                        return Some(ended);
                    }
                    std::pin::Pin::new(&mut connection).graceful_shutdown();
                    Some((&mut connection).await)
                }
                () = place.may_rest() => None,
            }
        };
        let ended = tokio::select! {
            biased;
            ended = served => ended,
            () = facts.cut.happened() => return None,
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
            facts.io.note_begun(self.worker.epoch, facts.quiet_since.get());
            io.unread(begun);
        }
        Some(io)
    }

    /// Waits for the next request; false = the connection is closed.
    async fn rest<IO>(&self, io: &mut Watched<IO>, facts: &ConnectionFacts) -> bool
    where
        IO: Restful,
    {
        let (until, resting) = {
            let plan = self.worker.plan();
            let timeouts = &plan.config.timeouts;
            let resting = &self.worker.metrics.shared().connections_resting;
            let until = Until {
                deadline: facts.quiet_since.get() + timeouts.header_read.0,
                drain: &self.worker.drain,
                grace: (facts.io.read_bytes.load(Relaxed) == 0).then_some(timeouts.drain_first_request.0),
            };
            (until, Resting::count(resting.with_label_values(&[&plan.listeners[facts.listener].name])))
        };
        let byte = idle::rest(io, until).await;
        drop(resting);
        match byte {
            Some(byte) => io.unread(Bytes::copy_from_slice(&[byte])),
            // Whether it still hears that changes nothing.
            None => drop(io.shutdown().await),
        }
        byte.is_some()
    }

    /// Records the request whose head hyper refused or never got to the end of: it made no service call.
    fn note_malformed(&self, facts: &ConnectionFacts, error: &hyper::Error) {
        let worker = &self.worker;
        // hyper names these two in words only.
        let words = error.to_string();
        if error.is_parse_too_large() {
            let status = if words.contains("URI") { 414 } else { 431 };
            worker.malformed(facts, Some(status), ErrorClass::TooLarge, "the request head is too large");
        } else if error.is_parse() && words.contains("HTTP2 preface") {
            let detail = "the client speaks HTTP/2 where HTTP/1.1 is served; closed without an answer";
            worker.malformed(facts, None, ErrorClass::BadRequest, detail);
        } else if error.is_parse() {
            let detail = format!("the request head cannot be parsed: {error}");
            worker.malformed(facts, Some(400), ErrorClass::BadRequest, &detail);
        } else if facts.io.has_partial_head() && error.is_timeout() {
            let detail = "the request head did not arrive in time";
            worker.malformed(facts, None, ErrorClass::BadRequest, detail);
        } else if facts.io.has_partial_head() {
            let detail = "the client left before its request head was complete";
            worker.malformed(facts, Some(499), ErrorClass::ClientAbort, detail);
        }
    }
}

/// Counts a connection for as long as it rests.
struct Resting(prometheus::IntGauge);

impl Resting {
    fn count(gauge: prometheus::IntGauge) -> Self {
        gauge.inc();
        Self(gauge)
    }
}

impl Drop for Resting {
    fn drop(&mut self) {
        self.0.dec();
    }
}
