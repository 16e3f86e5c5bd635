//! Tollgate's proxy: carries the traffic, and leaves one record for each transaction.
//!
//! ```text
//!            ┌───────────── worker 0 … N-1: one thread, one runtime, nothing shared ─────────────┐
//! client ──▶ │ server ▶ forward ▶ normalize ▶ routing ▶ exchange ▶ pool/upstream ──▶ upstream     │
//!            │             └── transaction: finishes once, from Drop too ▶ row ▶ batch            │
//!            └────────────────────────────────────────────────────────────────────┬──────────────┘
//!  admin: a thread of its own                            ship: ring ▶ collector, or spool ▶ collector
//! ```
//!
//! * [`config::Plan`] is the configuration, checked as a whole; nothing binds before there is one.
//! * [`start`] binds every address, then starts the workers; [`Running::stop`] drains them under a deadline.
//! * Each accepted request head and each failed handshake takes a number and leaves exactly one record.
//! * The request path waits for a collector only if the configuration says `overflow: block`.

mod admin;
mod caps;
mod client;
mod client_cert;
pub mod compare;
pub mod config;
mod edits;
mod forwarded;
mod forwarding;
mod frames;
#[doc(hidden)]
pub mod fuzz;
mod lint;
mod metrics;
mod normalize;
mod proxy_protocol;
pub mod quarantine;
mod refusal;
mod rewrite;
pub mod routing;
mod runtime;
mod ship;
mod spelling;
mod survey;
mod task;
mod trace;
mod transaction;
mod upstream;
mod worker_plan;

pub use runtime::reload::{PLANS_MAX, ReloadError, Reloaded};
pub use runtime::running::{Running, StartError, start, start_on};
pub use runtime::sockets::{SocketError, inherited as inherited_sockets};
