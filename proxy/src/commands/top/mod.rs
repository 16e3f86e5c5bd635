//! `top`: shows what a running proxy is doing, read from its admin endpoint again and again.
//!
//! Rates and latencies are of the time between two readings: the difference of the same counters that Prometheus
//! scrapes. Transactions in flight are those of the second reading. A reading that fails is shown as such, and the next
//! one is tried, so that `top` goes on through a restart of the proxy.

mod difference;
mod reading;
mod screen;

use std::io::{ErrorKind, IsTerminal, Write};
use std::path::Path;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::{Args, ValueEnum};
use tollgate_config::ConfigDuration;
use tollgate_proxy_config::{Admin, load};

use super::EXIT_CONFIG;

/// Workers flush their counts every half a second: a shorter time would show the flushes, not a rate.
const EVERY_MIN: Duration = Duration::from_secs(1);
/// Switches to the terminal's other screen, where lines are cut at the edge; and back.
const ENTER: &str = "\x1b[?1049h\x1b[?7l";
const LEAVE: &str = "\x1b[?7h\x1b[?1049l";
/// Moves to the first cell; clears to the end of the line; clears everything below.
const HOME: &str = "\x1b[H";
const CLEAR_LINE: &str = "\x1b[K";
const CLEAR_BELOW: &str = "\x1b[J";

/// The arguments of `top`.
#[derive(Debug, Args)]
pub struct Settings {
    /// The proxy's admin endpoint, `host:port`; that of --config, or the default, if it is not given.
    #[arg(long, value_name = "ADDRESS", value_parser = admin_address)]
    admin: Option<String>,
    /// Between two readings, 1s or more.
    #[arg(long, value_name = "TIME", default_value = "2s", value_parser = at_least_a_second)]
    every: ConfigDuration,
    /// Most services and most transactions shown; 6 of each fit a terminal of 24 lines.
    #[arg(long, value_name = "N", default_value_t = 6)]
    lines: usize,
    /// Which services come first.
    #[arg(long, value_enum, default_value_t)]
    by: Order,
    /// Show one screen and end.
    #[arg(long)]
    once: bool,
}

/// Which services come first.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub enum Order {
    /// Those with the most requests.
    #[default]
    Requests,
    /// Those with the most answers 5xx and requests without an answer.
    Failures,
}

fn admin_address(text: &str) -> Result<String, String> {
    let address = text.strip_prefix("http://").unwrap_or(text).trim_end_matches('/');
    let port = address.rsplit_once(':').and_then(|(_, port)| port.parse::<u16>().ok());
    port.map(|_| address.to_owned()).ok_or_else(|| "write host:port, as 127.0.0.1:9901".to_owned())
}

fn at_least_a_second(text: &str) -> Result<ConfigDuration, String> {
    let span = text.parse::<ConfigDuration>().map_err(|error| error.to_string())?;
    if span.0 < EVERY_MIN {
        return Err("write 1s or more: workers add up their counts twice a second".to_owned());
    }
    Ok(span)
}

/// Shows readings until it is interrupted, or one with `--once`.
pub fn run(settings: &Settings, config: Option<&Path>) -> ExitCode {
    let admin = match (&settings.admin, config) {
        (Some(admin), _) => admin.clone(),
        (None, None) => Admin::default().address.into_inner(),
        (None, Some(file)) => match load(file) {
            Ok(loaded) => loaded.value.admin.address.into_inner(),
            Err(error) => {
                eprintln!("{error}\nname the admin endpoint with --admin, and no configuration is read");
                return ExitCode::from(EXIT_CONFIG);
            }
        },
    };
    let shown = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(anyhow::Error::from)
        .and_then(|runtime| runtime.block_on(show(settings, &admin)));
    match shown {
        Ok(()) => ExitCode::SUCCESS,
        // The reader of the output has seen enough.
        Err(error) if error.downcast_ref::<std::io::Error>().is_some_and(|e| e.kind() == ErrorKind::BrokenPipe) => {
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("{error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn show(settings: &Settings, admin: &str) -> anyhow::Result<()> {
    let mut before = reading::read(admin).await?;
    let terminal = !settings.once && std::io::stdout().is_terminal();
    let _left_at_the_end = if terminal { Some(AnotherScreen::enter()?) } else { None };
    let mut interrupted = std::pin::pin!(tokio::signal::ctrl_c());
    let (mut last, mut read_at) = (String::new(), Instant::now());
    loop {
        tokio::select! {
            () = tokio::time::sleep(settings.every.0) => {}
            _ = &mut interrupted => return Ok(()),
        }
        let screen = match reading::read(admin).await {
            Ok(now) => {
                read_at = Instant::now();
                last = screen::screen(&before, &now, admin, settings.lines, settings.by);
                before = now;
                last.clone()
            }
            Err(error) if settings.once => return Err(error),
            Err(error) => format!("NO ANSWER for {} s: {error:#}\n{last}", read_at.elapsed().as_secs()),
        };
        let text = match terminal {
            true => format!("{HOME}{}{CLEAR_BELOW}", screen.replace('\n', &format!("{CLEAR_LINE}\n"))),
            false => screen + "\n",
        };
        let mut out = std::io::stdout().lock();
        out.write_all(text.as_bytes())?;
        out.flush()?;
        if settings.once {
            return Ok(());
        }
    }
}

/// The terminal's other screen. Restores the first one on drop.
struct AnotherScreen;

impl AnotherScreen {
    fn enter() -> std::io::Result<Self> {
        std::io::stdout().write_all(ENTER.as_bytes())?;
        Ok(Self)
    }
}

impl Drop for AnotherScreen {
    fn drop(&mut self) {
        let mut out = std::io::stdout();
        let _the_terminal_may_be_gone = out.write_all(LEAVE.as_bytes()).and_then(|()| out.flush());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_and_times_are_checked_when_they_are_written() {
        assert_eq!(admin_address("http://127.0.0.1:9901/").unwrap(), "127.0.0.1:9901");
        assert_eq!(admin_address("[::1]:9901").unwrap(), "[::1]:9901");
        assert!(admin_address("edge-1").unwrap_err().contains("host:port"));
        assert!(at_least_a_second("500ms").unwrap_err().contains("1s or more"));
        assert_eq!(at_least_a_second("5s").unwrap().0, Duration::from_secs(5));
    }
}
