//! How a task on a worker is cancelled, and how it waits until a deadline.

pub mod cancel;
pub mod timer;
