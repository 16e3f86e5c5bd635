//! Free ports, and waiting.

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::ops::Range;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use anyhow::bail;

/// How long a test waits for something that must happen.
pub const PATIENCE: Duration = Duration::from_secs(120);
/// How long to sleep between two looks.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// Ports that tests listen on: below those that Linux gives to outgoing connections (32768 and up), as one of these
/// could take a port between the look and the start of whoever is to listen on it.
const PORTS: Range<u32> = 16_000..32_000;

/// A port of the loopback interface that is free now, and that this process has not handed out before. It is not held:
/// what is started next must take it. The one above is free and not handed out either: Kafka's controller takes it.
///
/// # Errors
/// When the machine has none.
pub fn free_port() -> anyhow::Result<u16> {
    static NEXT: OnceLock<AtomicU32> = OnceLock::new();
    // Test processes that run at once begin far from each other.
    let next = NEXT.get_or_init(|| AtomicU32::new(std::process::id().wrapping_mul(7_919)));
    for _ in PORTS {
        let pair = next.fetch_add(1, Ordering::Relaxed) % ((PORTS.end - PORTS.start) / 2);
        let port = u16::try_from(PORTS.start + 2 * pair)?;
        let is_free = |port: u16| TcpListener::bind(("127.0.0.1", port)).is_ok();
        if is_free(port) && is_free(port + 1) {
            return Ok(port);
        }
    }
    bail!("no port of {PORTS:?} is free on the loopback interface")
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
