//! Tasks of HTTP/2 streams, each of which can be aborted alone.
//!
//! hyper spawns one task for each stream, and does not say which task serves which request. So the executor puts the
//! task's [`Abort`] into a task-local, where the transaction that begins in the task finds it.

use hyper::rt::Executor;

use crate::task::cancel::Abort;

tokio::task_local! {
    static STREAM: Abort;
}

/// The handle that drops the HTTP/2 stream which the calling task serves; `None` outside such a task.
#[must_use]
pub fn current() -> Option<Abort> {
    STREAM.try_with(Abort::clone).ok()
}

/// Runs HTTP/2 streams on the worker's own thread, each until it ends or is aborted.
#[derive(Debug, Clone, Copy)]
pub struct StreamExecutor;

impl<F: Future + 'static> Executor<F> for StreamExecutor {
    fn execute(&self, future: F) {
        let abort = Abort::default();
        tokio::task::spawn_local(STREAM.scope(abort.clone(), async move {
            tokio::select! {
                biased;
                () = abort.aborted() => {}
                _ = future => {}
            }
        }));
    }
}
