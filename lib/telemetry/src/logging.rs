//! Logs go to standard error, one line an event.

use std::io::IsTerminal;

use tracing_subscriber::EnvFilter;
use tracing_subscriber::util::SubscriberInitExt;

/// The environment variable with the filter, such as `info,tollgate_journal=debug`.
pub const FILTER_VARIABLE: &str = "TOLLGATE_LOG";

/// Why logging could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// The filter cannot be understood.
    #[error(
        "log filter `{filter}` from {origin} is not valid: {source}; write for example `info,tollgate_journal=debug`"
    )]
    Filter {
        /// The filter.
        filter: String,
        /// Where it came from.
        origin: &'static str,
        /// What is wrong with it.
        source: tracing_subscriber::filter::ParseError,
    },
    /// Another subscriber was installed before.
    #[error("logging is set up already: {0}")]
    Twice(#[from] tracing_subscriber::util::TryInitError),
}

/// Installs the process's log: JSON or text on standard error, filtered by `TOLLGATE_LOG` or else by `default`.
///
/// # Errors
/// The filter cannot be understood, or logging was set up before.
pub fn init_logging(json: bool, default: &str) -> Result<(), LogError> {
    let filter = match std::env::var(FILTER_VARIABLE) {
        Ok(filter) if !filter.trim().is_empty() => parse(&filter, FILTER_VARIABLE)?,
        _ => parse(default, "the default")?,
    };
    let lines = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    if json {
        lines.json().flatten_event(true).with_current_span(false).finish().try_init()?;
    } else {
        lines.with_ansi(std::io::stderr().is_terminal()).finish().try_init()?;
    }
    Ok(())
}

fn parse(filter: &str, origin: &'static str) -> Result<EnvFilter, LogError> {
    let parsed = EnvFilter::builder().parse(filter);
    parsed.map_err(|source| LogError::Filter { filter: filter.to_owned(), origin, source })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_filter_that_cannot_be_understood_is_an_error_with_the_cure() {
        let error = parse("info,tollgate_journal=loud", FILTER_VARIABLE).unwrap_err();
        assert!(
            error.to_string().starts_with("log filter `info,tollgate_journal=loud` from TOLLGATE_LOG is not valid")
        );
        assert!(parse("warn,tollgate=debug", "the default").is_ok());
    }

    #[test]
    fn a_second_start_is_an_error_and_no_panic() {
        init_logging(true, "info").unwrap();
        assert!(matches!(init_logging(false, "info"), Err(LogError::Twice(_))));
    }
}
