//! Free ports, and waiting.

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::time::{Duration, Instant};

use anyhow::bail;

/// How long a test waits for something that must happen.
pub const PATIENCE: Duration = Duration::from_secs(120);
/// How long to sleep between two looks.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// A port of the loopback interface that is free now. It is not held: what is started next must take it.
///
/// # Errors
/// When the machine has none.
pub fn free_port() -> anyhow::Result<u16> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}

/// Looks until `look` answers, for [`PATIENCE`] at most.
///
/// # Errors
/// When it never does; the message carries the last reason that `look` gave.
pub fn wait_for<T>(what: &str, mut look: impl FnMut() -> anyhow::Result<T>) -> anyhow::Result<T> {
    let started = Instant::now();
    loop {
        match look() {
            Ok(found) => return Ok(found),
            Err(reason) if started.elapsed() > PATIENCE => bail!("waited {PATIENCE:?} for {what}: {reason:#}"),
            Err(_) => sleep(LOOK_EVERY),
        }
    }
}

/// Waits until something listens on `addr`.
///
/// # Errors
/// When nothing does.
pub fn wait_listening(addr: SocketAddr) -> anyhow::Result<()> {
    wait_for(&format!("a listener on {addr}"), || Ok(TcpStream::connect_timeout(&addr, LOOK_EVERY).map(drop)?))
}

/// Sleeps on this thread: tests are not asynchronous.
pub fn sleep(time: Duration) {
    std::thread::sleep(time);
}
