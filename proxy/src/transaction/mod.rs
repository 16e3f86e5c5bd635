//! Transactions: from an accepted request head to the end of its response, with exactly one record each.
//!
//! ```text
//! forward::handle ─▶ normalize, route, authenticate ─▶ request ─▶ exchange ─▶ upstream     the way there
//!        │                                                                      │
//!   Transaction ◀── ResponseBody (or a tunnel) ◀── head of the response ◀───────┘          the way back
//!        └─ finish, or drop ─▶ Recorder ─▶ batch
//! ```
//! * [`Transaction`] holds the facts, grouped as the registry of columns is; the steps write them through its methods.
//! * [`exchange`] decides about retries; [`request`] makes the head that an upstream gets.
//! * [`Recorder`] makes every row: of a transaction, of a failed handshake, and of a head that cannot be parsed.
//! * [`WorkerContext`] is all that the transactions of one worker share.
//!
//! Invariant: a transaction that took a number leaves one record, whatever drops it.

mod connection;
mod context;
mod credentials;
mod exchange;
mod facts;
mod forward;
mod identify;
mod in_flight;
mod min_rate;
mod misdirected;
mod patience;
mod policy;
mod recorder;
mod replay;
mod request;
mod request_body;
mod response_body;
#[expect(clippy::module_inception, reason = "the wing has the name of the type at its centre")]
mod transaction;
mod tunnel;
mod worker_config;

pub use connection::{ConnectionFacts, Counted, TlsFacts};
pub use context::WorkerContext;
pub use forward::handle;
pub use in_flight::LiveTransaction;
pub use recorder::{Recorder, scrub_path};
pub use request_body::RequestBody;
pub use transaction::Transaction;
pub use worker_config::WorkerConfig;
