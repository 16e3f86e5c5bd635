//! Through a proxy: the made-up records as HTTP requests.
//!
//! A request has the method, the host, the caller's program and the ids of its record. Its path is one of those that were
//! named, or the record's own. How it ends is up to the proxy and the services behind it.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::Request;
use http_body_util::{BodyExt, Full, Limited};
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::curve::Curve;
use crate::draws::mixed;
use crate::facts::Facts;
use crate::report::{Counters, Report};
use crate::traffic::Traffic;
use crate::world::World;

/// Bytes of an answer that are read.
const ANSWER_BYTES_MAX: usize = 8 << 20;
/// How long a request may take.
const ANSWER_MAX: Duration = Duration::from_secs(60);
/// Bytes of a request's body, at most.
const BODY_BYTES_MAX: i64 = 64 << 10;

/// A load on a proxy.
pub struct ProxyLoad {
    /// The proxy's plaintext listener.
    pub address: SocketAddr,
    /// Connections, each with one request at a time.
    pub connections: usize,
    /// Host that is asked for; `None` asks for the record's.
    pub host: Option<String>,
    /// Paths that are asked for in place of the records' own; `{id}` becomes a number.
    pub paths: Vec<String>,
    /// Whether requests are sent at the times of their records.
    pub is_paced: bool,
    /// What is made up.
    pub traffic: Traffic,
    /// Counts that others may watch.
    pub counters: Arc<Counters>,
}

impl ProxyLoad {
    /// Sends everything, or until `stop`; answers what became of it.
    pub async fn run(self, stop: CancellationToken) -> Report {
        let load = Arc::new(self);
        let world = Arc::new(World::of(&load.traffic));
        let (next, started) = (Arc::new(AtomicU64::new(0)), Instant::now());
        let mut clients = JoinSet::new();
        for _ in 0..load.connections.max(1) {
            let (load, world, next, stop) = (Arc::clone(&load), Arc::clone(&world), Arc::clone(&next), stop.clone());
            clients.spawn(async move { load.send_all(&world, &next, started, &stop).await });
        }
        while clients.join_next().await.is_some() {}
        load.counters.report()
    }

    async fn send_all(&self, world: &World, next: &AtomicU64, started: Instant, stop: &CancellationToken) {
        let curve = Curve::new(self.traffic.start_us, self.traffic.rate, self.traffic.diurnal);
        let (mut facts, mut connection) = (Facts::default(), None);
        while !stop.is_cancelled() {
            let number = next.fetch_add(1, Ordering::Relaxed);
            if number >= self.traffic.records {
                return;
            }
            let time_us = curve.time_us(number);
            if self.is_paced {
                let due = started + Duration::from_micros((time_us - self.traffic.start_us).max(0) as u64);
                tokio::select! {
                    () = tokio::time::sleep_until(due.into()) => {}
                    () = stop.cancelled() => return,
                }
            }
            facts.draw(world, number, time_us, 1);
            self.counters.made(1);
            let began = Instant::now();
            match tokio::time::timeout(ANSWER_MAX, self.exchange(world, &facts, number, &mut connection)).await {
                Ok(Ok(())) => self.counters.taken(1, began.elapsed()),
                Ok(Err(reason)) => {
                    connection = None;
                    self.counters.refused(&reason, 1);
                }
                Err(_) => {
                    connection = None;
                    self.counters.refused("no answer in a minute", 1);
                }
            }
        }
    }

    #[expect(clippy::disallowed_methods, reason = "`collect` is bounded by `Limited`")]
    async fn exchange(
        &self,
        world: &World,
        facts: &Facts,
        number: u64,
        connection: &mut Option<SendRequest<Full<Bytes>>>,
    ) -> Result<(), String> {
        let request = self.request(world, facts, number).map_err(|error| error.to_string())?;
        let mut sender = match connection.take().filter(|sender| !sender.is_closed()) {
            Some(sender) => sender,
            None => connect(self.address).await.map_err(|error| format!("cannot connect: {error}"))?,
        };
        sender.ready().await.map_err(|error| error.to_string())?;
        let answer = sender.send_request(request).await.map_err(|error| error.to_string())?;
        // The body is read so that the connection can be used again; what it says is the proxy's matter.
        let body = Limited::new(answer.into_body(), ANSWER_BYTES_MAX).collect().await;
        body.map_err(|error| error.to_string())?;
        *connection = Some(sender);
        Ok(())
    }

    fn request(&self, world: &World, facts: &Facts, number: u64) -> Result<Request<Full<Bytes>>, http::Error> {
        let record = facts.record(world);
        let drawn = mixed(number);
        let path = match self.paths.get((drawn % self.paths.len().max(1) as u64) as usize) {
            Some(path) => path.replace("{id}", &(drawn % 10_000).to_string()),
            None => record.path.unwrap_or("/").replace("{redacted}", &(drawn % 10_000).to_string()),
        };
        let host = self.host.as_deref().or(record.host).unwrap_or("localhost");
        let bytes = record.request_bytes.unwrap_or_default().clamp(0, BODY_BYTES_MAX) as usize;
        let mut request = Request::builder().method(record.method.unwrap_or("GET")).uri(path).header("host", host);
        if let Some(agent) = record.user_agent {
            request = request.header("user-agent", agent);
        }
        if let Some(id) = facts.correlation_id() {
            request = request.header("x-correlation-id", id);
        }
        if let Some(trace) = facts.traceparent() {
            request = request.header("traceparent", trace);
        }
        request.body(Full::new(Bytes::from(vec![b'x'; bytes])))
    }
}

async fn connect(address: SocketAddr) -> Result<SendRequest<Full<Bytes>>, Box<dyn std::error::Error + Send + Sync>> {
    let (sender, connection) = http1::handshake(TokioIo::new(TcpStream::connect(address).await?)).await?;
    tokio::spawn(connection);
    Ok(sender)
}
