//! The way of a sealed batch to the collector. Bounded at every step, and what does not fit is counted.
//!
//! ```text
//! workers ──▶ sealer ──▶ ring (bytes_max) ──▶ posters ──HTTP/2, mTLS──▶ collector: 200 = on stable storage
//!                     │ past half full       ▲
//!                     ▼                      │ oldest first
//!                   spool (bytes_max, on disk)
//! ```
//! * A batch counts against the ring, with all that it costs in memory, until it is acknowledged, spooled or refused.
//! * A ring that is full sheds the newest batch: counted, and reported by a gap record once there is room again.
//! * What is shed while the proxy shuts down is reported by a gap batch in the spool, which the next process sends.
//! * issued = acknowledged + shed + spooled + in the ring, at every moment, over what was sealed.

mod batch_file;
mod forbidden;
mod link;
mod outbox;
mod quarantine;
mod sealer;
mod shipper;
mod spool;

pub use batch_file::BatchName;
pub use link::Answer;
pub use outbox::Outbox;
pub use quarantine::{Kept, Quarantine, QuarantineLimits};
pub use sealer::{Rows, SealJobs, Sealer};
pub use shipper::{Shipper, StartError, link};
pub use spool::SpoolLimits;
