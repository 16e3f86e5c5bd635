//! Brings the configuration of another gateway along: reads it whole, writes Tollgate's, and says what became of it.
//!
//! ```text
//! kong.yml ─▶ node (tree with places) ─▶ kong (entities ─▶ policies ─▶ routes) ─▶ write ─▶ DIR/*.yaml, IMPORT.md
//!                └─ left: what nobody took ───────────────▶ report ───────────────────────────────┘
//! ```
//! * Nothing is dropped in silence: [`Node`](node::Node) notes which keys were taken, and each that was not is a
//!   remark in the report's list of what was not mapped.
//! * Nothing is opened in silence: a route whose access control cannot be mapped is written with an answer of 503 in
//!   the upstream's place, and the report says so.
//! * No secret is printed or written: consumers and their credentials are listed by name alone.
//! * A second run on the same file writes the same bytes.
//!
//! Bounds: [`FILE_BYTES_MAX`], [`node::NODES_MAX`], [`node::DEPTH_MAX`]; routes that one route may become:
//! [`kong::ROUTES_OF_ONE_MAX`].

pub mod kong;
pub mod node;
mod out;
pub mod report;
mod run;
mod write;

use std::path::PathBuf;

pub use report::{Fate, Remark, Report};
pub use run::{ImportError, kong_file};
pub use write::{Imported, MARK, OutFile, WriteError, earlier};

/// Bytes of a file to import.
pub const FILE_BYTES_MAX: u64 = 32 * 1024 * 1024;

/// What an import needs beside the file.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// Name of the file, for messages.
    pub file: PathBuf,
    /// Values of environment variables, for `${{ env "DECK_X" }}` and `$X`.
    pub environment: std::collections::BTreeMap<String, String>,
    /// Files of an earlier run, by name: hashes of passwords that still hold are kept, so that a second run writes the
    /// same bytes.
    pub earlier: std::collections::BTreeMap<String, String>,
}
