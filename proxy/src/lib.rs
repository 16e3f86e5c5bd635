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
mod alarm;
mod balance;
mod body;
mod caps;
mod checks;
mod client_cert;
pub mod compare;
pub mod config;
mod connection;
mod credentials;
mod dns;
mod edits;
mod exchange;
mod forward;
mod forwarded;
mod forwarding;
mod frames;
#[doc(hidden)]
pub mod fuzz;
mod handshake;
mod head_copy;
mod health;
mod http1;
mod lint;
mod live;
mod metrics;
mod min_rate;
mod misdirected;
mod normalize;
mod pool;
mod proxy_protocol;
pub mod quarantine;
mod quiet;
mod readable;
mod redaction;
mod refusal;
mod reload;
mod replay;
mod rest;
mod rewrite;
pub mod routing;
mod row;
mod running;
mod server;
mod ship;
mod sockets;
mod spelling;
mod survey;
mod tls_stream;
mod trace;
mod transaction;
mod tunnel;
mod upstream;
mod upstreams_view;
mod warm;
mod worker;
mod worker_plan;

pub use reload::{PLANS_MAX, ReloadError, Reloaded};
pub use running::{Running, StartError, start, start_on};
pub use sockets::{SocketError, inherited as inherited_sockets};
