//! Delivery into the table is exactly once, wherever the process is killed; memory stays bounded, whatever is offered.
//!
//! Each test starts this very binary again as a process that can be killed: [`child::collect`] is a collector with a table,
//! [`overload::hang`] one whose sink never answers. What the table then holds is read from the JSON of its log and from its
//! Parquet files, by no code of ours.

mod child;
mod failover;
mod files;
mod matrix;
mod order;
mod overload;

#[path = "../../../../collector/tests/support/mod.rs"]
mod support;
