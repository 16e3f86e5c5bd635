//! How upstreams fare, as all workers know it.
//!
//! * **Passive**: failures in a row, seen by transactions ([`UpstreamState`], one for each upstream identity). At the
//!   service's limit the target is ejected for a while. It returns when that time is over; if its next request fails
//!   too, it is ejected for twice as long; a success clears its record.
//! * **Active**: the results of checks ([`Check`], one for each identity and rule), by thresholds in both directions.
//!
//! The state is atomics that workers read when a service has several targets. There is no lock on that path, and
//! nothing is written while all is well. The configuration carries the handles: the state belongs to the upstream
//! identity, so it outlives a reload of the configuration. What reads and writes it is [`crate::upstream`].

mod check;
mod state;

pub use check::{Check, CheckRule};
pub use state::{EjectionRule, UpstreamState, clock_ms};
