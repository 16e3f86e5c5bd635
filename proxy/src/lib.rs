//! Tollgate's proxy: carries the traffic, and leaves one record for each transaction.
//!
//! ```text
//!            ┌─── worker 0 … N-1: one thread, one runtime, nothing shared ───────────────────────────────┐
//! client ──▶ │ client: server ▶ transaction: forward ▶ exchange ▶ upstream: pool, dial ──────────────────│──▶ upstream
//!            │                            └── Transaction: ends once, from Drop too ▶ Recorder ▶ batch   │
//!            └────────────────────────────────────────┬──────────────────────────────────────────────────┘
//!  admin: a thread of its own                         ship: ring ▶ collector, or spool ▶ collector
//! ```
//!
//! The wings, each of which knows only those below it:
//!
//! ```text
//! runtime                  threads, start and stop; the only wing that knows all others
//! admin    client          the endpoint of operators; listeners, TLS and protocols of clients
//!     transaction          one request and its record
//!     issuers              the thread that asks issuers of tokens
//!     upstream             connections to upstreams; generic over the body
//!     reload, metrics      the configuration in force; counters
//!     plan                 the configuration, compiled
//! identity                 who called: the methods of a route, and the threads that verify passwords
//! health, providers        state of upstreams and of issuers, shared by all workers
//! socket, task             sockets that note what they carry; cancellation and deadlines
//! ```
//!
//! * [`plan::RuntimeConfig`] is the configuration, checked as a whole. Nothing binds before there is one.
//! * [`start`] binds every address, then starts the workers. [`Running::stop`] drains them under a deadline.
//! * Each accepted request head and each failed handshake takes a number, and leaves exactly one record.
//! * The request path waits for a collector only if the configuration says `overflow: block`.

mod admin;
mod client;
pub mod explain;
mod health;
mod identity;
mod issuers;
mod metrics;
pub mod plan;
mod providers;
pub mod quarantine;
mod reload;
mod runtime;
mod socket;
mod task;
mod transaction;
mod upstream;

pub use reload::{CONFIGS_MAX, ReloadError, Reloaded};
pub use runtime::{Running, SocketError, StartError, inherited as inherited_sockets, start, start_on};
