//! What happened between the proxy and an upstream: target, address, attempts, and how long each step took.

use std::fmt;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Address of an upstream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PeerAddr {
    Tcp(SocketAddr),
    /// A UNIX socket of this machine.
    Unix(Arc<Path>),
}

impl fmt::Display for PeerAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(addr) => addr.fmt(f),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

/// The facts of one transaction's exchange. A time is `None` if its phase was not reached.
#[derive(Debug, Default)]
pub struct UpstreamFacts {
    /// Index of the chosen target in its service.
    pub target: Option<usize>,
    /// Address of the last attempt.
    pub addr: Option<PeerAddr>,
    /// Attempts so far.
    pub attempts: i32,
    /// Whether the last attempt used a pooled connection.
    pub reused: Option<bool>,
    /// Status of the response.
    pub status: Option<u16>,
    /// Wait for the resolver, summed over all attempts.
    pub dns: Option<Duration>,
    /// TCP connect, summed over all attempts.
    pub connect: Option<Duration>,
    /// TLS handshake, summed over all attempts.
    pub tls: Option<Duration>,
    /// The current step and when it began. It is kept here so that the record of a client that leaves in it has its
    /// time.
    stage: Option<(Stage, Instant)>,
    /// When the head was handed to the connection.
    pub sent_at: Option<Instant>,
    /// When the response head arrived.
    pub first_byte_at: Option<Instant>,
    /// When the last byte of the response arrived.
    pub last_byte_at: Option<Instant>,
}

/// A step on the way to a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    Dns,
    Connect,
    Tls,
}

impl UpstreamFacts {
    /// Notes that an attempt on `target` begins.
    pub fn attempt(&mut self, target: usize) {
        self.target = Some(target);
        self.attempts += 1;
    }

    /// Notes the connection that a request is sent on.
    pub fn sent(&mut self, addr: PeerAddr, reused: bool, at: Instant) {
        self.reused = Some(reused);
        self.addr = Some(addr);
        self.sent_at = Some(at);
    }

    /// Ends the current step and begins another.
    pub fn enter(&mut self, stage: Stage) {
        self.leave();
        self.stage = Some((stage, Instant::now()));
    }

    /// Ends the current step and adds its time.
    pub fn leave(&mut self) {
        let Some((stage, since)) = self.stage.take() else { return };
        let sum = match stage {
            Stage::Dns => &mut self.dns,
            Stage::Connect => &mut self.connect,
            Stage::Tls => &mut self.tls,
        };
        *sum = Some(sum.unwrap_or_default() + since.elapsed());
    }

    /// Drops the current step without its time: nothing was waited for.
    pub fn skip(&mut self) {
        self.stage = None;
    }
}
