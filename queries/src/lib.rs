//! SQL over the transaction records, and the servers that answer it.
//!
//! ```text
//!   psql, Grafana ──▶ PgServer ───┐
//!   curl, alerts  ──▶ HttpServer ─┼──▶ Engine: parse ─▶ plan ─▶ policy ─▶ limits ─▶ one snapshot ─▶ answer
//!   questions, find ──────────────┘                                                    │
//!                                                                 table: hot rows UNION Parquet files
//! ```
//!
//! Nothing writes: a policy refuses every plan that does more than read (see `sql`), and the engine can reach no storage but
//! the table's. An [`Engine`] keeps [`Limits`] on time, memory, rows and concurrency for all servers together. It runs on
//! threads of its own, so that no query delays the receipt of records.

pub mod completeness;
mod config;
mod contents;
mod engine;
mod error;
pub mod find;
mod http;
mod interval;
mod limits;
mod postgres;
pub mod questions;
mod result;
mod rollup;
mod service;
mod source;
mod sql;
mod table;
mod yielding;

pub use config::{QueriesConfig, ServerConfig, TokenHmacKey};
pub use contents::{Contents, Day};
pub use engine::{Engine, Load};
pub use error::{ErrorKind, QueryError, TextPosition};
pub use http::HttpServer;
pub use limits::{Limits, QueryLimits};
pub use postgres::PgServer;
pub use result::{Format, QueryResult, Summary};
pub use service::{QueryService, RunningService};
pub use source::Source;
pub use table::{ScanCount, sql_schema};
