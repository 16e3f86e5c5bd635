//! Why a collector does not start or stop.

use std::error::Error;
use std::io;
use std::net::SocketAddr;

use tollgate_collector::{JournalIdError, StartError};
use tollgate_telemetry::MetricError;

/// Why a collector does not start or stop. The chain of causes says what to do.
#[derive(Debug, thiserror::Error)]
pub enum ServiceError {
    /// The journal has no name and cannot be given one.
    #[error(transparent)]
    JournalId(#[from] JournalIdError),
    /// The collector's own part does not start.
    #[error(transparent)]
    Start(#[from] StartError),
    /// A metric was registered twice.
    #[error(transparent)]
    Metric(#[from] MetricError),
    /// A part cannot be made from its section of the file.
    #[error("{part}")]
    Part {
        /// What was made, or the key of its section.
        part: &'static str,
        /// What it said.
        source: Box<dyn Error + Send + Sync>,
    },
    /// The engine of the queries does not start.
    #[error(transparent)]
    Engine(Box<dyn Error + Send + Sync>),
    /// An address of a query server is none, or cannot be listened on.
    #[error("queries.{server}.address: {address}")]
    Address {
        /// The server.
        server: &'static str,
        /// Its address, as it was parsed.
        address: String,
        /// What the system said.
        source: io::Error,
    },
    /// The admin address of a query process cannot be listened on.
    #[error("admin.address: {address}")]
    Admin {
        /// The address.
        address: SocketAddr,
        /// What the system said.
        source: io::Error,
    },
    /// A task of a query server panicked.
    #[error(transparent)]
    Task(#[from] tokio::task::JoinError),
}

impl ServiceError {
    /// Names the part that does not start.
    pub(crate) fn of_part<E: Into<Box<dyn Error + Send + Sync>>>(part: &'static str) -> impl Fn(E) -> Self {
        move |source| Self::Part { part, source: source.into() }
    }
}
