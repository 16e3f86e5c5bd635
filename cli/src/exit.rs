//! How a command ends: its exit status, and why on standard error.

use std::io;
use std::process::ExitCode;

/// Exit status when the command understood what to do, and could not; for `journal verify` and `audit`: damage, a loss.
pub const FAILED: u8 = 1;
/// Exit status for a configuration or an argument that is wrong, and for a question that could not be answered.
pub const USAGE: u8 = 2;

/// Whether the reader of standard output has gone.
pub fn is_broken_pipe(error: &anyhow::Error) -> bool {
    error.downcast_ref::<io::Error>().is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe)
}

/// Prints an error with its causes.
pub fn explain(error: &anyhow::Error) {
    eprintln!("tollgate: {error:#}");
}

/// Ends with [`USAGE`] where a command failed: for commands whose status [`FAILED`] is an answer.
pub fn or_usage(done: anyhow::Result<ExitCode>) -> anyhow::Result<ExitCode> {
    done.or_else(|error| {
        if is_broken_pipe(&error) {
            return Err(error);
        }
        explain(&error);
        Ok(ExitCode::from(USAGE))
    })
}
