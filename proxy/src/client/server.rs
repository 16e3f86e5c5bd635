//! Accepts clients: bounded, under deadlines, and by the protocol that TLS agreed on. Nothing is sniffed.

use std::cell::Cell;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use http::header::HeaderValue;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tollgate_proxy_http::forwarding;
use tollgate_proxy_http::proxy_protocol::ProxyHeaderPolicy;
use tollgate_proxy_http::quota::Admitted;
use tollgate_record::vocabulary::ClientIpSource;
use tollgate_tls::{ServerNames, TlsStream};

use crate::client::clients::Clients;
use crate::client::handshake;
use crate::client::idle::ActiveConnections;
use crate::client::proxy_header::receive;
use crate::socket::{IoFacts, Watched};
use crate::task::cancel::Abort;
use crate::transaction::{ConnectionFacts, Counted, TlsFacts};

/// Wait after a failed accept, which most likely lacked a file descriptor.
const ACCEPT_RETRY: Duration = Duration::from_millis(20);

/// The addresses of a connection.
#[derive(Debug, Clone, Copy)]
struct Ends {
    /// The TCP peer.
    peer: SocketAddr,
    /// The peer, or the client that its PROXY header names.
    client: SocketAddr,
    source: ClientIpSource,
    /// The address that the client connected to, if it is known.
    local: Option<SocketAddr>,
}

/// One listener of one worker.
#[derive(Debug)]
pub struct Server {
    pub(super) clients: Rc<Clients>,
    listener: usize,
    /// The listener's HTTP/1 connections that are not parked.
    pub(super) active: Rc<ActiveConnections>,
}

/// A connection that is ready for its first request.
enum Greeted {
    Plain(TcpStream, Rc<ConnectionFacts>),
    Tls(Box<TlsStream>, Rc<ConnectionFacts>),
}

impl Server {
    /// `listener` is an index into [`crate::plan::RuntimeConfig::listeners`].
    #[must_use]
    pub fn new(clients: &Rc<Clients>, listener: usize) -> Rc<Self> {
        Rc::new(Self { clients: clients.clone(), listener, active: Rc::default() })
    }

    /// Accepts until the worker drains.
    pub async fn accept(self: Rc<Self>, listener: TcpListener) {
        let context = &self.clients.context;
        let (drain, metrics, config) = (context.drain().clone(), context.metrics.shared(), context.config());
        let name = &config.listeners[self.listener].name;
        let (accepted, open) =
            (metrics.connections.with_label_values(&[name]), metrics.connections_open.with_label_values(&[name]));
        let refused_at = name.clone();
        // A configuration is not held for longer than a call, as a reload replaces it.
        drop(config);
        tokio::task::spawn_local(self.active.clone().park_quiet_ones(context.clone()));
        loop {
            let (stream, peer) = tokio::select! {
                biased;
                () = drain.cancelled() => return,
                connected = listener.accept() => match connected {
                    Ok(connected) => connected,
                    Err(_) => {
                        tokio::time::sleep(ACCEPT_RETRY).await;
                        continue;
                    }
                },
            };
            accepted.inc();
            let admitted = match self.admit(peer) {
                Ok(admitted) => admitted,
                Err(cap) => {
                    metrics.connections_refused.with_label_values(&[&refused_at, cap]).inc();
                    continue;
                }
            };
            let counted = Counted::new(self.clients.open.clone(), open.clone(), admitted);
            tokio::task::spawn_local(self.clone().serve(stream, peer, counted));
        }
    }

    /// Takes the connection's share of the quotas; an error names the quota that is used up.
    fn admit(&self, peer: SocketAddr) -> Result<Admitted, &'static str> {
        let config = self.clients.context.config();
        if self.clients.open.get() >= config.file.limits.connections_max {
            return Err("worker");
        }
        let ip = peer.ip().to_canonical();
        let listener = &config.listeners[self.listener];
        // A connection with a PROXY header is not the peer's own: its client is known only after the header.
        let shared = || listener.proxy_headers.is_some() || forwarding::is_trusted(ip, &config.trusted_hops);
        listener.quota.admit(ip, shared)
    }

    async fn serve(self: Rc<Self>, stream: TcpStream, peer: SocketAddr, counted: Counted) {
        // Boxed, because a task keeps room for the largest future that it ever awaits: greeting is over before the
        // connection is, and HTTP/2 is larger than HTTP/1.
        let greeted = Box::pin(self.greet(stream, peer, counted)).await;
        match greeted {
            None => {}
            Some(Greeted::Plain(stream, facts)) => self.serve_http1(stream, facts).await,
            Some(Greeted::Tls(stream, facts)) if facts.http2 => Box::pin(self.serve_http2(stream, facts)).await,
            Some(Greeted::Tls(stream, facts)) => self.serve_http1(stream, facts).await,
        }
    }

    /// Takes a connection to its first request; `None` = there will be none.
    async fn greet(&self, mut stream: TcpStream, peer: SocketAddr, mut counted: Counted) -> Option<Greeted> {
        stream.set_nodelay(true).ok()?;
        let peer = SocketAddr::new(peer.ip().to_canonical(), peer.port());
        let mut ends = Ends { peer, client: peer, source: ClientIpSource::Peer, local: stream.local_addr().ok() };
        let config = self.clients.context.config();
        let mut handshake = config.file.timeouts.handshake.0;
        let proxy_headers = config.listeners[self.listener].proxy_headers.clone();
        // Not held while the header is waited for.
        drop(config);
        if let Some(headers) = proxy_headers {
            let began_at = Instant::now();
            if !self.take_proxy_header(&mut stream, &headers, handshake, &mut ends, &mut counted).await {
                return None;
            }
            // One allowance for both: a client must not get twice the time by sending a PROXY header slowly.
            handshake = handshake.saturating_sub(began_at.elapsed());
        }
        // Read only now: a reload may have changed the listener's TLS while the header was waited for.
        let tls = self.clients.context.config().listeners[self.listener].tls.clone();
        match tls {
            None => Some(Greeted::Plain(stream, self.facts(ends, None, false, counted))),
            Some(tls) => self.shake(stream, ends, tls, handshake, counted).await,
        }
    }

    /// Reads the PROXY header, which names the client; false = the connection is to be closed.
    async fn take_proxy_header(
        &self,
        stream: &mut TcpStream,
        headers: &ProxyHeaderPolicy,
        patience: Duration,
        ends: &mut Ends,
        counted: &mut Counted,
    ) -> bool {
        let received = tokio::time::timeout(patience, receive(stream, ends.peer.ip(), headers)).await;
        let context = &self.clients.context;
        let (config, metrics) = (context.config(), context.metrics.shared());
        let listener = &config.listeners[self.listener];
        let reason = match &received {
            Ok(Ok(header)) => {
                if let Some((client, local)) = header.ends {
                    ends.client = SocketAddr::new(client.ip().to_canonical(), client.port());
                    (ends.source, ends.local) = (ClientIpSource::ProxyProtocol, Some(local));
                }
                None
            }
            Ok(Err(error)) => error.reason(),
            Err(_) => Some("timeout"),
        };
        if let Some(reason) = reason {
            metrics.proxy_headers_refused.with_label_values(&[&listener.name, reason]).inc();
        }
        if !matches!(received, Ok(Ok(_))) {
            return false;
        }
        let client = ends.client.ip();
        let shared = || forwarding::is_trusted(client, &config.trusted_hops);
        let served = counted.admitted.serves(&listener.quota, client, shared);
        if let Err(cap) = served {
            metrics.connections_refused.with_label_values(&[&listener.name, cap]).inc();
        }
        served.is_ok()
    }

    /// Shakes hands. A handshake that fails is recorded.
    async fn shake(
        &self,
        stream: TcpStream,
        ends: Ends,
        names: Arc<ServerNames>,
        handshake: Duration,
        counted: Counted,
    ) -> Option<Greeted> {
        let context = &self.clients.context;
        context.recorder.room().await;
        let began_at = Instant::now();
        let deadline = began_at + handshake;
        // A client that connects and sends nothing has begun no transaction.
        match tokio::time::timeout_at(deadline.into(), stream.peek(&mut [0])).await {
            Ok(Ok(bytes)) if bytes > 0 => {}
            _ => return None,
        }
        let mut tls = TlsFacts::default();
        let fields = context.config().file.forwarding.client_cert;
        let shaken = tokio::time::timeout_at(deadline.into(), handshake::shake(stream, &names, fields, &mut tls)).await;
        let failure = match shaken {
            Ok(Ok(stream)) => {
                let http2 = tls.alpn.as_deref() == Some("h2");
                return Some(Greeted::Tls(stream, self.facts(ends, Some(tls), http2, counted)));
            }
            Ok(Err(error)) => error,
            Err(_) => std::io::ErrorKind::TimedOut.into(),
        };
        let reason = tollgate_tls::handshake_failure_reason(&failure);
        let facts = self.facts(ends, Some(tls), false, counted);
        let detail = format!("{reason}: {failure}");
        context.recorder.handshake_failed(&context.config(), &facts, began_at, reason, &detail);
        None
    }

    fn facts(&self, ends: Ends, tls: Option<TlsFacts>, http2: bool, counted: Counted) -> Rc<ConnectionFacts> {
        let client_ip = ends.client.ip().to_string();
        Rc::new(ConnectionFacts {
            listener: self.listener,
            peer_ip: ends.peer.ip().to_string(),
            client: ends.client,
            client_value: HeaderValue::from_str(&client_ip).unwrap_or_else(|_| HeaderValue::from_static("unknown")),
            client_ip,
            client_source: ends.source,
            local: ends.local,
            http2,
            tls,
            io: Arc::new(IoFacts::default()),
            cut: Abort::default(),
            leave: Abort::default(),
            _counted: counted,
            requests: Cell::new(0),
            open: Cell::new(0),
            quiet_since: Cell::new(Instant::now()),
        })
    }

    pub(super) fn watched<IO: AsyncRead + AsyncWrite + Unpin>(&self, io: IO, facts: &ConnectionFacts) -> Watched<IO> {
        let context = &self.clients.context;
        let config = context.config();
        let write_max = Some(config.file.timeouts.client_write.0);
        let watched = Watched::new(io, facts.io.clone(), context.epoch(), write_max);
        if facts.http2 { watched.metered(&config.file.http2) } else { watched }
    }
}
