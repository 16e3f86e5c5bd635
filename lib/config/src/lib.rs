//! Strict YAML configuration: a file is either understood completely, or refused with the place and the cure.
//!
//! ```text
//! gate.yaml:14:7: key `services[3].upstream.adress`: there is no such key here; did you mean `address`?
//! gate.yaml:2:12: key `drain`: `10` has no unit; write for example `10s`
//! ```
//!
//! * [`load`] reads, parses and types a file. Unknown keys, duplicate keys, missing keys and wrong types are errors.
//! * [`Loaded::also`] adds a further file to a configuration: revision, places and checks are those of all files together.
//! * [`Loaded::checked`] runs the checks that types cannot express; it collects every problem before it answers.
//! * [`At`] keeps where a value stands in the file, [`ByteSize`] and [`Span`] carry their unit, and [`ConfigPath`]
//!   is relative to the file it is written in, not to where the process happened to be started.
//! * [`to_yaml`] prints an effective configuration in the form in which it can be loaded again.
//!
//! Limits: a file of at most [`FILE_BYTES_MAX`] bytes with at most [`NODES_MAX`] keys, values and items; the parser
//! bounds nesting (64) and what aliases repeat (1,000,000 events).

mod at;
mod error;
mod explain;
mod load;
mod outline;
mod path;
mod size;
mod source;
mod span;

pub use at::At;
pub use error::{ConfigError, Problem};
pub use load::{
    FILE_BYTES_MAX, FILES_BYTES_MAX, FILES_MAX, Loaded, NODES_MAX, PrintError, Problems, load, parse, to_yaml,
};
pub use path::ConfigPath;
pub use size::ByteSize;
pub use span::Span;
