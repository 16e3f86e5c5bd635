//! Receives batches: HTTP/2 over TLS 1.3, with a client certificate from every peer.
//!
//! Bounds, all of them in the configuration: connections, posts on one connection, bytes of one body, bytes of all
//! bodies held at once, and of those the share of one connection; time for a handshake and for a body, and time without
//! a post. Every connection and every post has a task of its own: what one peer sends ends at most its own connection.

mod body;
pub(crate) mod intake;
mod post;
pub(crate) mod refused;
mod server;

pub(crate) use body::{Budget, HeldBytes};
pub(crate) use post::IngestService;
pub(crate) use server::serve;
