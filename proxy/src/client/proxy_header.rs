//! Reads the PROXY header from a socket, and not one byte of what follows it.
//!
//! Bytes are peeked before they are read. While the header is incomplete, everything that has come belongs to it; once
//! it is complete, its length is known.

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
    /// The peer is in none of the trusted networks.
    #[error("the peer may send no PROXY header; name its network in `proxy_protocol.from`")]
    Untrusted,
    /// The connection begins with something else.
    #[error(transparent)]
    Malformed(#[from] Malformed),
    /// The connection ended or failed before the header was complete.
    #[error("the connection ended before its PROXY header did")]
    Closed {
        /// Whether a byte had come. A client that connects and leaves without one only probes the port.
        begun: bool,
    },
}

impl HeaderError {
    /// The label of the metric; `None` = the failure is not counted.
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

/// Reads the header of a connection of `peer`. Waits until it is complete.
///
/// # Errors
/// The connection is to be closed.
pub async fn receive(stream: &mut TcpStream, peer: IpAddr, headers: &ProxyHeaderPolicy) -> Result<Header, HeaderError> {
    if !is_trusted(peer, &headers.from) {
        return Err(HeaderError::Untrusted);
    }
    let mut bytes = vec![0; BYTES_MAX];
    // Bytes of the header that were read.
    let mut taken = 0;
    loop {
        let closed = |_: io::Error| HeaderError::Closed { begun: taken > 0 };
        // The buffer is never full here: an incomplete header is shorter than the bound.
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
