//! The metrics sink: what Prometheus shows of the transactions, derived from their records.
//!
//! The proxy counts nothing of this on its hot path, and the numbers are those of the records: what a dashboard shows
//! can be asked for in SQL and must agree.
//!
//! | rows | count in |
//! |---|---|
//! | `kind = transaction` | transactions, durations, errors, authentication, WAF, TLS, bytes |
//! | `kind = handshake_failed` | failed handshakes, by `auth_fail_reason` or else `error_class` |
//! | `kind = gap` | records shed, by reason |
//! | all | holes in `seq`; expiry of client certificates |
//!
//! **Cost.** A row costs a few array reads and atomic additions: every dictionary value of a batch is turned into
//! a number once, and numbers index the counters. No text is made or hashed for a transaction.
//!
//! **Cardinality.** Services, subjects and producers are capped by [`MetricsConfig`]; every other label takes at most
//! [`LABEL_VALUES_MAX`] values, though its list is closed, because a newer proxy may know more. Past a cap the value is
//! `_other`; an absent value is `_none`.
//!
//! **Restarts.** Counters begin at zero, as Prometheus expects, and go on from the collector's cursor. Frames that are
//! offered again within one process are recognised by their position and not counted twice.
//!
//! **Missing records** (`tollgate_records_missing`). Records finish in another order than they begin, so a hole in
//! `seq` is no loss yet: it counts when it is older than [`MetricsConfig::missing_grace`], by default a minute more than the
//! proxies let a transaction take. A tunnel that takes longer (WebSocket) counts as missing until its record arrives, and then no more. A gap record fills the
//! hole that it declares. Known limits, by design:
//! * A producer that is first seen in the middle is followed from there: after a restart of the collector, holes from
//!   before are not seen. `tollgate audit` asks the table and sees all.
//! * Records lost at the very end of a producer leave no hole, as nothing comes after them.
//! * Holes of a producer that ended stay, rightly: its unfinished transactions left no record. The series goes away when
//!   nothing was heard of the producer for [`MetricsConfig::producer_idle`]; an alert has had that time to fire.
//! * Past [`MetricsConfig::holes_max`] holes of one producer the oldest are given up: they count as missing for good.
//!
//! **Doubled records** (`tollgate_records_doubled_total`). A number that was seen is seen again: within one collector, whose
//! ledger recognises resent batches, that must not happen. It is counted once, for all producers, and only where the number
//! is followed. Doubles across collectors show in the table: `tollgate audit`.
//!
//! **Expiring certificates** (`tollgate_client_cert_expiry_timestamp_seconds`) show the earliest expiry that a subject
//! presented within the last [`MetricsConfig::expiry_window`] (at least half of it), so that a renewed certificate ends
//! its alert. Past the cap, the subjects that expire soonest are kept.

mod columns;
mod config;
mod derive;
mod expiry;
mod labels;
mod producers;
mod sequence;
mod sink;

pub use config::MetricsConfig;
pub use derive::Totals;
pub use labels::{ABSENT, LABEL_VALUES_MAX};
pub use sink::MetricsSink;
