//! The columnar table as a sink.

pub use tollgate_table::*;
