//! SQL over the transaction records, and the doors through which it is asked.
//!
//! ```text
//!   psql, Grafana ──▶ postgres ─┐
//!   curl, alerts  ──▶ http ─────┼──▶ Engine: parse ─▶ gate ─▶ plan ─▶ limits ─▶ one snapshot ─▶ answer
//!   questions, find ────────────┘                                                  │
//!                                                             table: hot rows UNION Parquet files
//! ```
//!
//! Everything only reads: the gate is on the plan (see `sql`), and the engine knows no place but the table.
//! An [`Engine`] keeps [`Limits`] on time, memory, rows and concurrency for all doors together, and runs on threads of
//! its own, so that no query delays the receipt of records.

pub mod account;
mod contents;
mod engine;
mod error;
pub mod find;
mod http;
mod limits;
mod postgres;
pub mod questions;
mod result;
mod source;
mod sql;
mod table;
mod yielding;

pub use contents::{Contents, Day};
pub use engine::Engine;
pub use error::{ErrorKind, Place, QueryError};
pub use http::serve_http;
pub use limits::Limits;
pub use postgres::serve_postgres;
pub use result::{Format, QueryResult};
pub use source::Source;
pub use table::{ScanCount, shown_schema};
