//! The collector as it is shipped: its configuration file, its sinks, and the query servers in front of its table.
//!
//! ```text
//!   collector.yaml ─▶ CollectorFile ─▶ check ─▶ start ─▶ Service
//!                        │                        │
//!     ingest, journal, delivery, admin            ├─ tollgate_collector: receives, journals, delivers
//!     sinks   ── one section each ────────────────┼─ sinks.rs: every sink that there is
//!     queries ────────────────────────────────────┴─ query_servers.rs: starts and stops every query server
//! ```
//! The core, `tollgate_collector`, knows sinks by their contract alone and builds without DataFusion and librdkafka. This crate
//! is the one place that names them all. Every section of the file belongs to the crate that acts on it: its keys, its
//! defaults and its `check` stand there, and [`CollectorFile`] only says where in the file the section is.
//!
//! **A new sink** is its crate, a line in `sinks!` (`sinks.rs`) and its dependency in `Cargo.toml`. **A new query server** is a
//! module of `tollgate_queries`, with its key in `QueriesConfig`: nothing here changes.
//!
//! Order at a start: the table and the other sinks, then the collector, and the query servers last: rows that only the journal
//! holds could not be seen before.
//!
//! `query_process` is the other process of this crate: query servers without a collector, on a table that one writes.

mod error;
mod file;
mod query_metrics;
mod query_process;
mod query_servers;
mod service;
mod sinks;
mod table_metrics;

pub use error::ServiceError;
pub use file::{CollectorFile, read};
pub use query_process::{QueryFile, QueryProcess, ReadTable, read_query_file};
pub use service::{Service, start};
pub use sinks::Sinks;
