//! The commands of the program, but for running the proxy: one file each.

pub mod check;
pub mod diff;
pub mod explain;
pub mod hash;
pub mod print_config;
pub mod quarantine;
pub mod top;

use clap::ValueEnum;

/// Exit status for a configuration that is refused.
pub const EXIT_CONFIG: u8 = 2;

/// How results are written to standard output.
#[derive(Debug, Clone, Copy, Default, ValueEnum)]
pub enum Format {
    /// One line each, as editors can jump to.
    #[default]
    Text,
    /// One JSON object.
    Json,
}
