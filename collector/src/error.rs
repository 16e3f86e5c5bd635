//! The errors of a start.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;

use tollgate_config::Diagnostic;
use tollgate_journal::JournalError;
use tollgate_telemetry::MetricError;
use tollgate_tls::TlsError;

/// Why a collector does not start. Each says what to do.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The configuration contradicts itself.
    #[error("{}", list(.0))]
    Config(Vec<Diagnostic>),
    /// A certificate or key cannot be used.
    #[error("ingest.tls: {0}")]
    Tls(#[from] TlsError),
    /// The data folder cannot be written.
    #[error(
        "journal.dir: cannot write to {}: {source}; make the folder writable for the user that runs the collector, or name \
         another", .dir.display()
    )]
    Unwritable {
        /// The folder.
        dir: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The disk is full, or nearly.
    #[error(
        "journal.dir: the disk of {} is full ({free_bytes} bytes free, journal.disk_free_min_bytes is {wanted_bytes}); make \
         room, or put the data folder on another disk", .dir.display()
    )]
    Full {
        /// The folder.
        dir: PathBuf,
        /// What is left.
        free_bytes: u64,
        /// What must be left.
        wanted_bytes: u64,
    },
    /// The journal cannot be opened.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// A small file in the data folder cannot be read or moved.
    #[error("cannot read {}: {source}", .file.display())]
    State {
        /// The file.
        file: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// An address cannot be listened on.
    #[error("{key}: cannot listen on {address}: {source}; choose another address, or stop what listens there")]
    Listen {
        /// Key of the address.
        key: &'static str,
        /// The address.
        address: SocketAddr,
        /// What the system said.
        source: io::Error,
    },
    /// Two sinks have the same name.
    #[error("two sinks are called {0:?}: each needs a cursor of its own")]
    SameName(&'static str),
    /// `delivery.skip_when_full` names a sink that there is not.
    #[error("delivery.skip_when_full: there is no sink {name:?}; there are {known}")]
    UnknownSink {
        /// The name.
        name: String,
        /// Names of the sinks.
        known: String,
    },
    /// `delivery.skip_when_full` names the sink that stores the hot rows.
    #[error(
        "delivery.skip_when_full: {0:?} cannot be named: its frames stay in the journal for the hot rows, so skipping them \
         would lose rows and free nothing; raise journal.high_water_bytes and journal.bytes_max instead"
    )]
    SkipsTail(&'static str),
    /// A frame that the hot rows need again cannot be read.
    #[error("position {position} is needed for the hot rows and cannot be decoded: {reason}")]
    Tail {
        /// The frame.
        position: u64,
        /// Why.
        reason: String,
    },
    /// A metric was registered twice.
    #[error(transparent)]
    Metric(#[from] MetricError),
}

fn list(problems: &[Diagnostic]) -> String {
    problems.iter().map(Diagnostic::to_string).collect::<Vec<_>>().join("\n")
}
