//! SIGTERM and SIGINT.

use anyhow::Context;
use tokio::signal::unix::{Signal, SignalKind, signal};

/// SIGTERM and SIGINT: from [`Signals::catch`] on they ask the process to stop, and do not end it by themselves.
pub struct Signals {
    term: Signal,
    interrupt: Signal,
}

impl Signals {
    /// Catches both. Within a runtime, and before anything that must not end half-way: a signal that comes after this is not lost.
    pub fn catch() -> anyhow::Result<Self> {
        let caught = |kind| signal(kind).context("signals cannot be waited for");
        Ok(Self { term: caught(SignalKind::terminate())?, interrupt: caught(SignalKind::interrupt())? })
    }

    /// Waits for either.
    pub async fn stop(&mut self) {
        tokio::select! {
            _ = self.term.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}
