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
mod client;
/// The configuration as it is written, and as it is compiled.
pub mod config {
    pub use crate::plan::{
        Endpoint, HealthPlan, HmacPlan, ListenerPlan, PathPlan, Plan, RoutePlan, ServicePlan, TargetPlan, UpstreamKey,
        UpstreamPlan,
    };
    pub use tollgate_proxy_config::*;
}
mod metrics;
pub mod plan;
pub mod quarantine;
mod runtime;
mod task;
mod transaction;
mod upstream;
mod worker_plan;

use tollgate_proxy_http::{client_cert, forwarding, normalize, rewrite, routing, trace};
/// The way of records, under its names of before.
mod ship {
    pub use tollgate_proxy_ship::{
        BatchWriter as Rows, Ring as Outbox, SealQueue as SealJobs, Sealer, Shipper, StartError,
    };
}
/// The reply in the upstream's place, under its name of before.
mod refusal {
    pub use tollgate_proxy_http::local_reply::{LocalReply as Refusal, X_REQUEST_ID};
}

pub use runtime::reload::{PLANS_MAX, ReloadError, Reloaded};
pub use runtime::running::{Running, StartError, start, start_on};
pub use runtime::sockets::{SocketError, inherited as inherited_sockets};
