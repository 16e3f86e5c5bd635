//! Receives batches, makes them durable, brings them to every sink.
//!
//! ```text
//!   POST /v1/batches ─▶ ingest: limits, decode, certificate ─▶ intake: ledger, journal ─▶ 200 {"position":n}
//!                                                                  │ after the fdatasync, in order
//!                             tail (hot rows) ◀────────────────────┤
//!                                                                  ▼
//!                          journal ─▶ one runner a sink: recover, deliver, cursor ─▶ retention: trim
//! ```
//! The data folder:
//! ```text
//!   LOCK, *.seg, quarantine/     the journal, see `tollgate_journal`
//!   ID                           the journal's name, by which the table knows whose positions it has stored
//!   cursors/SINK.cursor          next position of each sink
//!   dlq/SINK/                    what it refused, and what it passed over; `replay/` in it is delivered again
//!   ledger.checkpoint            which batches are stored, for those whose segments are deleted
//! ```
//! The folders, each of which knows only those below it:
//! ```text
//!   start, serving, running      put together, and taken apart again
//!   admin                        pages: metrics, health, status         retention   what may be deleted
//!   ingest                       from a post to the journal             delivery    from the journal to the sinks
//!   dlq                          what a sink refused                    store       the data folder
//!   config, metrics, error       known to all
//! ```
//! The crate knows sinks by their contract alone: `tollgate_collector_service` names them, and reads the file.
//!
//! Order at a start: configuration, certificates, a test write, addresses, journal, ledger, hot rows; only then is the
//! first post answered. Order at a stop: posts under way finish, sinks store what they hold, cursors, ledger, journal.

mod admin;
mod config;
mod delivery;
pub mod dlq;
mod error;
mod ingest;
mod metrics;
mod retention;
mod running;
mod serving;
mod start;
mod store;

pub use config::{AdminConfig, CollectorConfig, DeliveryConfig, IngestConfig, IngestTls, JournalConfig};
pub use error::StartError;
pub use running::Running;
pub use start::{Parts, start};
pub use store::checkpoint::{CHECKPOINT_FILE, is_checkpoint, with_checkpoint_checksum};
pub use store::cursor_file::{CURSOR_DIR, decode_cursor, encode_cursor};
pub use store::journal_id::{JournalIdError, NoJournal, journal_folder, read_or_create as journal_id};
pub use store::restart_report::RestartReport;
