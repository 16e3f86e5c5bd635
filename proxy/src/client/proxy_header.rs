//! Takes the PROXY header from a socket, and not one byte of what follows it.
//!
//! Bytes are looked at first and read then: while the header is incomplete, all that has come belongs to it, and once
//! it is complete its length is known.

use std::io;
use std::net::IpAddr;

use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;

use tollgate_proxy_http::forwarding::is_trusted;
use tollgate_proxy_http::proxy_protocol::ProxyHeaderPolicy;
use tollgate_proxy_http::proxy_protocol::decode::{BYTES_MAX, Header, Malformed, decode};

/// Why a connection that must begin with a PROXY header is closed.
#[derive(Debug, thiserror::Error)]
pub enum HeaderError {
    /// The peer is in none of the networks.
    #[error("the peer may send no PROXY header; name its network in `proxy_protocol.from`")]
    Untrusted,
    /// It begins with something else.
    #[error(transparent)]
    Malformed(#[from] Malformed),
    /// It ended inside the header, or failed; `begun` = after a first byte.
    #[error("the connection ended before its PROXY header did")]
    Closed {
        /// Whether a byte of it had come: who connects and leaves only looks whether the port is open.
        begun: bool,
    },
}

impl HeaderError {
    /// The label of the metric; `None` = nothing to count.
    #[must_use]
    pub const fn reason(&self) -> Option<&'static str> {
        match self {
            Self::Untrusted => Some("untrusted"),
            Self::Malformed(_) => Some("malformed"),
            Self::Closed { begun: true } => Some("closed"),
            Self::Closed { begun: false } => None,
        }
    }
}

/// Reads the header of a connection of `peer`. Waits for as long as it is incomplete.
///
/// # Errors
/// The connection is to be closed.
pub async fn receive(stream: &mut TcpStream, peer: IpAddr, headers: &ProxyHeaderPolicy) -> Result<Header, HeaderError> {
    if !is_trusted(peer, &headers.from) {
        return Err(HeaderError::Untrusted);
    }
    let mut bytes = vec![0; BYTES_MAX];
    // What was read of it so far.
    let mut taken = 0;
    loop {
        let closed = |_: io::Error| HeaderError::Closed { begun: taken > 0 };
        // Never full: a header that is incomplete is shorter than its bound.
        let seen = taken + stream.peek(&mut bytes[taken..]).await.map_err(closed)?;
        if seen == taken {
            return Err(HeaderError::Closed { begun: taken > 0 });
        }
        let header = decode(&bytes[..seen], headers.accepted)?;
        let until = header.map_or(seen, |header| header.bytes);
        stream.read_exact(&mut bytes[taken..until]).await.map_err(closed)?;
        taken = until;
        if let Some(header) = header {
            return Ok(header);
        }
    }
}
