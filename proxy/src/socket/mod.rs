//! Sockets that note what they carry, for both sides of the proxy and for the admin endpoint.
//!
//! [`Watched`] wraps a socket and writes [`IoFacts`]; [`read_readiness`] spares the reads that would find nothing.

mod facts;
mod read_readiness;
mod watched;

pub use facts::{FirstByte, IoFacts};
pub use watched::Watched;
