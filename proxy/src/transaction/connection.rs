//! Facts of one client connection. Its transactions share them, and its records are made from them.

use std::cell::Cell;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use http::header::{HeaderName, HeaderValue};
use tollgate_proxy_http::quota::Admitted;
use tollgate_record::vocabulary::ClientIpSource;
use tollgate_tls::{PeerCertificate, ServerPolicy};

use crate::socket::IoFacts;
use crate::task::cancel::Abort;
use crate::task::stream;

/// Facts of one client connection.
#[derive(Debug)]
pub struct ConnectionFacts {
    /// Index into [`crate::plan::RuntimeConfig::listeners`].
    pub listener: usize,
    /// The address that the client connected to.
    pub local: Option<SocketAddr>,
    /// Address of the TCP peer as text, formatted once.
    pub peer_ip: String,
    /// Effective client address: the peer's, or the one in the peer's PROXY header.
    pub client: SocketAddr,
    /// The client's address as text, formatted once.
    pub client_ip: String,
    /// The client's address as a header value.
    pub client_value: HeaderValue,
    /// Whether the client's address is the peer's or the PROXY header's.
    pub client_source: ClientIpSource,
    pub http2: bool,
    /// `None` without TLS.
    pub tls: Option<TlsFacts>,
    pub io: Arc<IoFacts>,
    /// Drops the connection of an overdue HTTP/1 transaction.
    pub cut: Abort,
    /// Makes an HTTP/2 client open another connection for its next request.
    pub leave: Abort,
    /// Counts the connection for as long as anything of it lives, a tunnel included.
    pub _counted: Counted,
    /// Requests so far.
    pub requests: Cell<u64>,
    /// Transactions that have not ended.
    pub open: Cell<usize>,
    /// When the last transaction ended, or the connection began.
    pub quiet_since: Cell<Instant>,
}

impl ConnectionFacts {
    /// Whether the connection waits for its client to begin a request.
    #[must_use]
    pub fn is_quiet(&self) -> bool {
        self.open.get() == 0 && self.io.is_between_requests()
    }

    /// Whether the connection has served as many requests as it may; 0 = no limit.
    #[must_use]
    pub fn reached_request_limit(&self, requests_max: u64) -> bool {
        requests_max > 0 && self.requests.get() >= requests_max
    }

    /// The handle that drops the transaction served by the calling task: its HTTP/2 stream, or the HTTP/1 connection.
    #[must_use]
    pub fn abort_handle(&self) -> Abort {
        let stream = if self.http2 { stream::current() } else { None };
        stream.unwrap_or_else(|| self.cut.clone())
    }

    /// Returns once no transaction was open for `idle`.
    pub async fn idle_for(&self, idle: Duration) {
        loop {
            let until = self.quiet_since.get() + idle;
            if self.open.get() == 0 && Instant::now() >= until {
                return;
            }
            tokio::time::sleep_until(until.max(Instant::now() + idle / 8).into()).await;
        }
    }
}

/// Counts one client connection for as long as it lives: in its worker, in the listener's gauge, and against the caps.
#[derive(Debug)]
pub struct Counted {
    worker: Rc<Cell<usize>>,
    gauge: prometheus::IntGauge,
    /// The connection's share of its listener's caps.
    pub admitted: Admitted,
}

impl Counted {
    #[must_use]
    pub fn new(worker: Rc<Cell<usize>>, gauge: prometheus::IntGauge, admitted: Admitted) -> Self {
        worker.set(worker.get() + 1);
        gauge.inc();
        Self { worker, gauge, admitted }
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.worker.set(self.worker.get() - 1);
        self.gauge.dec();
    }
}

/// Facts of one connection's TLS session. A resumed session has those of the session that it resumes.
#[derive(Debug, Default)]
pub struct TlsFacts {
    /// `1.2` or `1.3`.
    pub version: &'static str,
    /// IANA name of the cipher suite.
    pub cipher: String,
    pub resumed: bool,
    /// Server name that the client sent.
    pub sni: Option<String>,
    /// Protocol agreed on by ALPN.
    pub alpn: Option<String>,
    /// The verified client certificate.
    pub client: Option<Arc<PeerCertificate>>,
    /// Header fields that describe the client certificate to upstreams.
    pub client_fields: Vec<(HeaderName, HeaderValue)>,
    /// The policy that the handshake ran under; `None` when it failed.
    pub policy: Option<Arc<ServerPolicy>>,
}
