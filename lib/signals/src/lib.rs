//! The signals that ask a process to stop, or to read its configuration again.
//!
//! They are caught before anything runs that a signal may not end half-way: one that comes later is then not lost,
//! however long the process takes to start.

use std::io;

use tokio::signal::unix::{Signal, SignalKind, signal};

/// What a signal asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Asked {
    /// SIGTERM or SIGINT, by its name: the process stops.
    Stop(&'static str),
    /// SIGHUP: the process reads its configuration again.
    Reload,
}

/// The signals that this process catches. From then on they no longer end it by themselves.
#[derive(Debug)]
pub struct Signals {
    terminate: Signal,
    interrupt: Signal,
    /// Caught only where a configuration can be read again: elsewhere SIGHUP goes on ending the process.
    hangup: Option<Signal>,
}

impl Signals {
    /// Catches SIGTERM and SIGINT. Runs within a runtime.
    ///
    /// # Errors
    /// The system refuses a handler.
    pub fn to_stop() -> io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hangup: None,
        })
    }

    /// Catches SIGTERM, SIGINT and SIGHUP. Runs within a runtime.
    ///
    /// # Errors
    /// The system refuses a handler.
    pub fn to_stop_and_reload() -> io::Result<Self> {
        Ok(Self { hangup: Some(signal(SignalKind::hangup())?), ..Self::to_stop()? })
    }

    /// Waits for the next signal.
    pub async fn next(&mut self) -> Asked {
        let hangup = async {
            match &mut self.hangup {
                Some(hangup) => drop(hangup.recv().await),
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            _ = self.terminate.recv() => Asked::Stop("SIGTERM"),
            _ = self.interrupt.recv() => Asked::Stop("SIGINT"),
            () = hangup => Asked::Reload,
        }
    }

    /// Waits until the process is asked to stop; returns the signal's name.
    pub async fn stop(&mut self) -> &'static str {
        loop {
            if let Asked::Stop(signal) = self.next().await {
                return signal;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    fn send(signal: &str) {
        let own = std::process::id().to_string();
        assert!(Command::new("kill").args(["-s", signal, &own]).status().unwrap().success());
    }

    #[tokio::test]
    async fn each_signal_says_what_it_asks_for() {
        let mut signals = Signals::to_stop_and_reload().unwrap();
        send("HUP");
        assert_eq!(signals.next().await, Asked::Reload);
        send("TERM");
        assert_eq!(signals.next().await, Asked::Stop("SIGTERM"));
        send("INT");
        assert_eq!(signals.stop().await, "SIGINT");
    }
}
