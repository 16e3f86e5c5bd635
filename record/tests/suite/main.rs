//! The behaviour of tollgate-record, through its public API.

#[path = "../../examples/plausible/mod.rs"]
mod plausible;

mod budget;
mod builder;
mod documents;
mod error_classes;
mod foreign;
mod hostile;
mod ids;
mod json_rows;
mod properties;
mod redaction;
mod runs;
mod streams;
