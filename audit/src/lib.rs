//! The completeness audit: is every number that a producer gave accounted for, exactly once?
//!
//! ```text
//!   Table ── seq_account, a day at a time ──▶ what was observed of each producer ─┐
//!   StatusPage ── sinks behind, posts refused, journal damaged ───────────────────┤
//!   folders ── dead letters, spools, quarantines ─────────────────────────────────┼─▶ judge ─▶ Report
//!   Topic ── identities in the headers of Kafka's messages ───────────────────────┘
//! ```
//! [`audit`] gathers the [`Evidence`]; [`judge`] turns it into a [`Report`] and reads nothing. The evidence rests on
//! (producer, seq) alone: docs/audit.md says what that can prove and what it cannot.
//!
//! The crate has no HTTP client and no Kafka client: its caller passes them in behind [`Table`], [`StatusPage`] and [`Topic`]. So it needs neither DataFusion nor librdkafka, whose build takes longer than everything here, and its tests
//! hand it data. The command line implements the three: it has an HTTP client for its other commands, and it links the Kafka
//! sink anyway, which knows the headers that it writes.
//!
//! Order matters in two places. The table is read before the folders, as a batch moves from the table's way into a folder,
//! never back. And Kafka is read only after its sink has passed everything that the journal held when the table was read.

mod answer;
mod ask;
mod before;
mod contents;
mod dead_letters;
mod error;
mod evidence;
mod kafka;
mod observed;
mod range;
mod report;
mod scope;
mod set_aside;
mod sql;
mod status;
mod time;
mod verdict;

pub use answer::{Answer, Cost, Table};
pub use contents::{Contents, Day};
pub use dead_letters::DeadLetters;
pub use error::{AuditError, SourceError};
pub use evidence::{Evidence, Request, Sources};
pub use kafka::{Consumed, Identity, KafkaCost, Topic, TopicContents};
pub use observed::{ByProducer, Observed};
pub use range::{Range, RangeError};
pub use report::{Report, Totals, judge};
pub use scope::{Scope, ScopeError};
pub use set_aside::SetAsideFolders;
pub use status::{Status, StatusPage};
pub use time::time_text;
pub use verdict::{CountedRuns, KafkaVerdict, SetAside, State, Terms, Verdict, verdict};

/// Gathers the evidence and judges it.
///
/// # Errors
/// A source does not answer, a folder cannot be read, or what was read allows no verdict.
pub fn audit(request: &Request, sources: &Sources<'_>) -> Result<Report, AuditError> {
    judge(request, &evidence::gather(request, sources)?)
}
