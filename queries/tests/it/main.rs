//! The query engine and its servers, over a table made by the table's own writer.

mod distincts;
mod engine;
mod find;
mod fixture;
mod functions;
mod http;
mod limits;
mod percentiles;
mod portals;
mod postgres;
mod pruning;
mod psql;
mod questions;
mod questions_more;
mod refusals;
mod rollups;
mod sanity;
mod slt;
mod spill;
mod streaming;
mod wire;
