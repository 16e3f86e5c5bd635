//! Logs go to standard error, one line an event.

use std::io::IsTerminal;
use std::sync::OnceLock;

use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, reload};

/// The environment variable with the filter, such as `info,tollgate_journal=debug`.
pub const FILTER_VARIABLE: &str = "TOLLGATE_LOG";

/// Replaces the filter of the process's log, JSON or text.
type Replace = Box<dyn Fn(EnvFilter) -> Result<(), reload::Error> + Send + Sync>;

static REPLACE: OnceLock<Replace> = OnceLock::new();

/// Why logging could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// The filter is not valid.
    #[error(
        "log filter `{filter}` from {origin} is not valid: {source}; write for example `info,tollgate_journal=debug`"
    )]
    Filter {
        /// The filter.
        filter: String,
        /// Where the filter came from.
        origin: &'static str,
        /// What is wrong with the filter.
        source: tracing_subscriber::filter::ParseError,
    },
    /// Another subscriber was installed before.
    #[error("logging is set up already: {0}")]
    Twice(#[from] tracing_subscriber::util::TryInitError),
    /// There is no log whose filter could be changed.
    #[error("logging was never set up by this process; its filter cannot be changed")]
    NotSetUp,
    /// The log is gone.
    #[error("the log filter cannot be changed: {0}")]
    Reload(#[from] reload::Error),
}

/// Installs the process's log: JSON or text on standard error, filtered by `TOLLGATE_LOG` or else by `default`.
///
/// # Errors
/// The filter is not valid, or logging was set up before.
pub fn init_logging(json: bool, default: &str) -> Result<(), LogError> {
    let filter = match std::env::var(FILTER_VARIABLE) {
        Ok(filter) if !filter.trim().is_empty() => parse(&filter, FILTER_VARIABLE)?,
        _ => parse(default, "the default")?,
    };
    let lines = tracing_subscriber::fmt().with_writer(std::io::stderr);
    let replace: Replace = if json {
        let lines = lines.json().flatten_event(true).with_current_span(false);
        let lines = lines.with_env_filter(filter).with_filter_reloading();
        let handle = lines.reload_handle();
        lines.finish().try_init()?;
        Box::new(move |filter| handle.reload(filter))
    } else {
        let lines = lines.with_ansi(std::io::stderr().is_terminal()).with_env_filter(filter).with_filter_reloading();
        let handle = lines.reload_handle();
        lines.finish().try_init()?;
        Box::new(move |filter| handle.reload(filter))
    };
    // Only the first call reaches this line: `try_init` refuses every later one.
    let _first = REPLACE.set(replace);
    Ok(())
}

/// Replaces the filter of the log that [`init_logging`] has installed.
///
/// # Errors
/// The filter is not valid, or there is no log.
pub fn set_log_filter(filter: &str) -> Result<(), LogError> {
    let filter = parse(filter, "the caller")?;
    let replace = REPLACE.get().ok_or(LogError::NotSetUp)?;
    Ok(replace(filter)?)
}

/// Libraries that write a line about what a peer does, as an illegal server name: anybody could fill the log with those, and the
/// record of the connection says it. A filter that names them (`rustls=debug`) lets them speak.
const QUIET: &str = "rustls=off,tokio_rustls=off,h2=off";

fn parse(filter: &str, origin: &'static str) -> Result<EnvFilter, LogError> {
    // What comes later wins, so the filter can undo it.
    let parsed = EnvFilter::builder().parse(format!("{QUIET},{filter}"));
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
        let quiet = parse("debug", "the default").unwrap().to_string();
        assert!(quiet.contains("rustls=off") && quiet.contains("h2=off"), "{quiet}");
        assert!(parse("rustls=debug", "the caller").unwrap().to_string().contains("rustls=debug"));
        assert!(!parse("rustls=debug", "the caller").unwrap().to_string().contains(" rustls=off"));
    }

    #[test]
    fn a_second_start_is_an_error_and_no_panic() {
        assert!(matches!(set_log_filter("debug"), Err(LogError::NotSetUp)));
        init_logging(true, "info").unwrap();
        assert!(!tracing::enabled!(tracing::Level::DEBUG));
        set_log_filter("debug").unwrap();
        assert!(tracing::enabled!(tracing::Level::DEBUG));
        assert!(matches!(set_log_filter("loud=loud"), Err(LogError::Filter { .. })));
        assert!(matches!(init_logging(false, "info"), Err(LogError::Twice(_))));
    }
}
