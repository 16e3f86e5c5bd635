//! Ends connections whose client is no longer there, or no longer reads.

use std::time::Duration;

use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tollgate_net::CancellationToken;

/// After the end of a query's time, its client has this long to take what waits. Then the connection is cut.
const READ_GRACE: Duration = Duration::from_secs(5);
/// A client that has sent something and may be gone behind it is looked at again after this time.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// Cuts a connection whose client does not take its answer.
#[derive(Debug, Clone)]
pub(super) struct Stalls {
    cut: CancellationToken,
}

impl Stalls {
    /// `cut` ends the connection.
    pub fn new(cut: CancellationToken) -> Self {
        Self { cut }
    }

    /// Watches one answer until what it returns is dropped.
    pub fn watch(&self, time_max: Duration) -> Watched {
        let cut = self.cut.clone();
        Watched(tokio::spawn(async move {
            tokio::time::sleep(time_max + READ_GRACE).await;
            tracing::debug!("a connection to the PostgreSQL server is cut: its answer was not read in time");
            cut.cancel();
        }))
    }
}

/// An answer that is sent.
pub(super) struct Watched(JoinHandle<()>);

impl Drop for Watched {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Resolves when the client of a connection has gone. pgwire reads from it only between two messages, and so would not
/// notice while a query runs. `socket` is a second handle of the connection; nothing is taken from it.
pub(super) async fn gone(socket: std::io::Result<TcpStream>) {
    let Ok(socket) = socket else { return std::future::pending().await };
    loop {
        match socket.peek(&mut [0]).await {
            Ok(0) | Err(_) => return,
            Ok(_) => tokio::time::sleep(LOOK_EVERY).await,
        }
    }
}

/// A second handle of a connection.
pub(super) fn second_handle(socket: TcpStream) -> std::io::Result<(TcpStream, std::io::Result<TcpStream>)> {
    let socket = socket.into_std()?;
    let second = socket.try_clone().and_then(TcpStream::from_std);
    Ok((TcpStream::from_std(socket)?, second))
}
