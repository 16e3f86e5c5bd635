//! How message sets are compressed.

use serde::{Deserialize, Serialize};

/// Compression of message sets.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Compression {
    /// As it is.
    None,
    /// Fastest.
    Lz4,
    /// Smallest; the default, as a record in JSON repeats its keys.
    #[default]
    Zstd,
    /// For consumers that know nothing newer.
    Gzip,
    /// For consumers that know nothing newer.
    Snappy,
}

impl Compression {
    /// The name that Kafka knows it by.
    pub fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Lz4 => "lz4",
            Self::Zstd => "zstd",
            Self::Gzip => "gzip",
            Self::Snappy => "snappy",
        }
    }

    /// The level unless `properties` names one: the client's default, but 1 for zstd. JSON records compress little worse at
    /// level 1, and zstd builds its tables again for every message set.
    pub(super) fn level(self) -> &'static str {
        match self {
            Self::Zstd => "1",
            _ => "-1",
        }
    }
}
