//! One file a command.

pub mod ask;
pub mod audit;
pub mod collector;
pub mod dlq;
pub mod find;
pub mod import;
pub mod journal;
pub mod load_test;
pub mod query;
pub mod sql;
