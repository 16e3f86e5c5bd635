//! The sections of the configuration and their defaults: one file a section.

mod admin;
mod delivery;
mod ingest;
mod journal;

use tollgate_config::Diagnostic;

pub use admin::AdminConfig;
pub use delivery::DeliveryConfig;
pub(crate) use ingest::{CONNECTION_SHARE, RAW_BYTES_MAX, ROWS_MAX};
pub use ingest::{IngestConfig, IngestTls};
pub use journal::JournalConfig;

/// The sections that the collector acts on. Where they stand in a file is decided by the crate that owns the file.
#[derive(Debug, Clone)]
pub struct CollectorConfig {
    /// Where and how batches are received.
    pub ingest: IngestConfig,
    /// Where they are made durable, and how much of them is kept.
    pub journal: JournalConfig,
    /// How sinks are served.
    pub delivery: DeliveryConfig,
    /// Metrics, health and status.
    pub admin: AdminConfig,
}

impl CollectorConfig {
    /// The defaults, with these certificates and this folder.
    pub fn new(ingest: IngestConfig, journal: JournalConfig) -> Self {
        Self { ingest, journal, delivery: DeliveryConfig::default(), admin: AdminConfig::default() }
    }

    /// Everything that the types do not rule out, by the full name of the key. Empty if the configuration can be used.
    pub fn check(&self) -> Vec<Diagnostic> {
        let below = |section: &'static str, found: Vec<Diagnostic>| {
            found.into_iter().map(move |found| Diagnostic::of_key(format!("{section}.{}", found.key), found.problem))
        };
        below("ingest", self.ingest.check())
            .chain(below("journal", self.journal.check(self.ingest.batch_bytes_max)))
            .chain(below("delivery", self.delivery.check()))
            .collect()
    }
}

/// The problems of those numbers that are 0.
fn at_least_one<const N: usize>(numbers: [(&str, usize); N]) -> Vec<Diagnostic> {
    let zeros = numbers.into_iter().filter(|(_, number)| *number == 0);
    zeros.map(|(key, _)| Diagnostic::of_key(key, "must be at least 1")).collect()
}

/// Says the defaults of a section once: a function each, for `#[serde(default = "…")]`, and `with_defaults`, which takes the keys
/// that have none.
///
/// A container's `#[serde(default)]` would do without, but only for sections of which every key has a default.
macro_rules! defaults {
    ($section:ident { $($required:ident: $type:ty),* } $($key:ident: $key_type:ty = $value:expr;)*) => {
        impl $section {
            $(fn $key() -> $key_type {
                $value
            })*

            fn with_defaults($($required: $type),*) -> Self {
                Self { $($required,)* $($key: Self::$key(),)* }
            }
        }
    };
}
use defaults;
