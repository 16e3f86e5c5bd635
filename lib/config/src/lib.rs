//! Strict YAML configuration: a file is either understood completely, or refused with the place and the cure.
//!
//! ```text
//! gate.yaml:14:7: key `services[3].upstream.adress`: there is no such key here; did you mean `address`?
//! gate.yaml:2:12: key `drain`: `10` has no unit; write for example `10s`
//! ```
//!
//! * [`load`] reads, parses and types a file. Unknown keys, duplicate keys, missing keys and wrong types are errors.
//! * [`Loaded::also`] adds a further file to a configuration: revision, places and checks are those of all files
//!   together.
//! * [`Loaded::checked`] runs the checks that types cannot express; [`Diagnostics`] collects every problem before it
//!   answers.
//! * [`Diagnostic`] is the one form of a problem, from the parser, from a check, or from a part that was given its
//!   values in code ([`Diagnostic::of_key`]).
//! * [`Spanned`] keeps where a value stands, [`ByteSize`] and [`ConfigDuration`] carry their unit, and [`ConfigPath`]
//!   is relative to the file it is written in, not to where the process happened to be started.
//! * [`parse_duration`] is the grammar of lengths of time for everything that people write outside of a configuration.
//! * [`to_yaml`] prints an effective configuration in the form in which it can be loaded again.
//!
//! Limits: a file of at most [`FILE_BYTES_MAX`] bytes with at most [`NODES_MAX`] keys, values and items; the parser
//! bounds nesting (64) and what aliases repeat (1,000,000 events).
//!
//! The modules stand on each other in one direction:
//!
//! ```text
//! loaded ──▶ explain ──────▶ outline ──▶ limits
//!    │          └──────────────▶ diagnostic
//!    ├─────▶ diagnostics ──▶ outline, diagnostic, spanned
//!    └─────▶ context ◀────── spanned, config_path
//! config_duration ──▶ duration
//! ```

mod byte_size;
mod config_duration;
mod config_path;
mod context;
mod diagnostic;
mod diagnostics;
mod duration;
mod explain;
mod limits;
mod loaded;
mod outline;
mod print;
mod source;
mod spanned;

pub use byte_size::ByteSize;
pub use config_duration::ConfigDuration;
pub use config_path::ConfigPath;
pub use diagnostic::{ConfigError, Diagnostic};
pub use diagnostics::Diagnostics;
pub use duration::{DurationError, DurationForm, parse_duration};
pub use limits::{FILE_BYTES_MAX, FILES_BYTES_MAX, FILES_MAX, NODES_MAX};
pub use loaded::{Loaded, load, parse};
pub use print::{PrintError, to_yaml};
pub use source::FileId;
pub use spanned::Spanned;
