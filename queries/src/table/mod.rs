//! The table `transactions`: hot rows UNION a plain Parquet scan of the snapshot's files.
//!
//! ```text
//!   filters of the query ──▶ predicate: prunable form over the stored columns (a superset of the answer)
//!                                │
//!   snapshot ── files ──▶ prune ─┴─▶ ParquetSource(pushdown, page index, bloom) ──▶ projection ──┐
//!        └───── hot ────▶ prune by time ──▶ memory ──▶ filter ──▶ projection (dictionaries cast) ─┴─▶ union
//!                                                                                                    │
//!                                                            the query's own filter, exact ◀─────────┘
//! ```
//!
//! A projection computes the columns that SQL has and the files have not: `request_id` from (time, producer, seq), and
//! hexadecimal text for the binary columns. It computes them only for queries that name them.

mod cell_scan;
mod columns;
mod compute;
mod file_statistics;
mod id_lookup;
mod optimizer_fence;
mod predicate;
mod provider;
mod prune;
mod scan;
mod scope;
mod top;

pub(crate) use cell_scan::{CellScan, Source, files_with};
pub use columns::sql_schema;
pub use provider::TransactionsTable;
pub(crate) use scan::STORE_URL;
pub use scope::{QueryScope, ScanCount};
pub(crate) use top::told;
