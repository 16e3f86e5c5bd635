//! The way of a record from a worker to the collector: sealed into batches, held, spooled, posted.
//!
//! ```text
//! workers ──▶ sealer ──▶ ring (bytes_max) ──▶ posters ──HTTP/2, mTLS──▶ collector: 200 = on stable storage
//!                     │ past half full       ▲                              └─ refused for good ─▶ quarantine
//!                     ▼                      │ oldest first
//!                   spool (bytes_max, on disk)
//! ```
//! * A batch counts against the ring, with all that it costs in memory, until it is acknowledged, spooled or refused.
//! * A ring that is full sheds the newest batch: counted, and reported by a gap record once there is room again.
//! * What is shed while the proxy shuts down is reported by a gap batch in the spool, which the next process sends.
//!
//! Invariant: issued = acknowledged + shed + spooled + in the ring, at every moment, over what was sealed.
//!
//! The crate takes [`ShipOptions`], and knows neither the proxy's configuration nor its workers.

mod batch_file;
mod batch_writer;
mod delivery;
mod forbidden;
mod link;
mod metrics;
mod options;
mod quarantine;
mod ring;
mod sealer;
mod shipper;
mod spill;
mod spool;

#[cfg(any(test, fuzzing))]
pub use batch_file::promises;
pub use batch_file::{BatchName, ReadError};
pub use batch_writer::BatchWriter;
pub use link::{Link, PostOutcome};
pub use metrics::ShipMetrics;
pub use options::{Collector, LinkOptions, ShipOptions};
pub use quarantine::{Quarantine, QuarantineLimits, QuarantinedBatch, RefusalNote};
pub use ring::Ring;
pub use sealer::{SealQueue, Sealer};
pub use shipper::{Shipper, StartError};
pub use spool::SpoolLimits;
