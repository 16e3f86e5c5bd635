//! How large a configuration may be.

/// Largest configuration file, in bytes. 11,000 services at 400 bytes each are about 4 MiB.
pub const FILE_BYTES_MAX: u64 = 32 * 1024 * 1024;

/// Most keys, values and items of a configuration. 11,000 services of 60 are 660,000.
pub const NODES_MAX: usize = 4_000_000;

/// Most files of one configuration.
pub const FILES_MAX: usize = 50_000;

/// Most bytes of all files of one configuration.
pub const FILES_BYTES_MAX: usize = 128 * 1024 * 1024;
