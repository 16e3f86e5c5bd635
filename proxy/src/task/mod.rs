//! How a task on a worker is cancelled, and how it waits until a deadline. Knows nothing of HTTP's meaning.

pub mod cancel;
pub mod stream;
pub mod timer;
