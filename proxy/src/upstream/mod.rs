//! Connections to upstreams: taken from the pool, waited for, or dialled.
//!
//! ```text
//! lease ─▶ pool: an idle HTTP/1.1 connection, or a stream of a shared HTTP/2 one
//!      └─▶ none, and an HTTP/2 connection is being dialled: wait for it
//!      └─▶ a place is free: dial = resolve ─▶ connect ─▶ PROXY header ─▶ TLS ─▶ HTTP/1.1 or HTTP/2
//!      └─▶ all places are taken: wait for one, up to a bound in number and time
//! ```
//! The wing knows neither workers nor transactions: it is generic over the request's body ([`SendBody`]), writes what
//! happened into [`UpstreamFacts`], and answers an [`UpstreamError`] that says whether a retry is legal. Whether there
//! is one, the caller decides.

pub mod balance;
pub mod budget;
mod connector;
mod dial;
pub mod dns;
mod error;
mod facts;
pub mod health;
mod lease;
mod pool;
mod prewarm;
pub mod reach;
mod shared;
mod slot;

use bytes::Bytes;

pub use connector::{Connector, Wanted};
pub use error::{Fault, Retry, SendError, UpstreamError};
pub use facts::{PeerAddr, UpstreamFacts};
pub use health::passive::RequestCount;
pub use lease::Lease;
pub use pool::Pool;
pub use prewarm::prewarm;

/// A request body that can be sent upstream.
pub trait SendBody: http_body::Body<Data = Bytes, Error = <Self as SendBody>::Fault> + Unpin + 'static {
    /// Why the body broke off.
    type Fault: std::error::Error + Send + Sync + 'static;
}

impl<B> SendBody for B
where
    B: http_body::Body<Data = Bytes> + Unpin + 'static,
    B::Error: std::error::Error + Send + Sync + 'static,
{
    type Fault = B::Error;
}
