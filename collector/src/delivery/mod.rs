//! Brings the journal to every sink, to each at its own pace.

pub(crate) mod backoff;
pub(crate) mod runner;
pub(crate) mod sink_state;
pub(crate) mod source;
