//! One accept loop for the servers that carry no traffic of clients: the proxy's admin endpoint, the collector's
//! ingest, the HTTP and the PostgreSQL server.
//!
//! ```text
//! accept ──▶ at most `connections_max` tasks ──▶ stop: no more is accepted, each connection is told
//!                                            ──▶ grace over: what is left is cut
//! ```
//!
//! The proxy's own listeners have another loop: one per worker, on threads of their own, with caps per client, a PROXY
//! header and a drain that the workers agree on.
//!
//! hyper-util's `server::graceful` was looked at. It watches hyper's connections from their first byte to the end; here
//! a TLS handshake comes first, the PostgreSQL server is not hyper's, and neither a bound on connections nor a pause
//! after a failed accept is part of it.

use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
pub use tokio_util::sync::CancellationToken;

/// Wait after a failed accept (out of file descriptors), so that the loop does not spin.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// How a server bounds its connections.
#[derive(Debug, Clone)]
pub struct Limit {
    /// Name of the server in the log.
    pub server: &'static str,
    /// Connections at one time.
    pub connections_max: usize,
    /// What becomes of a connection past that.
    pub past: Past,
    /// Time that connections have to end after the stop, before they are cut.
    pub grace: Duration,
}

/// What becomes of a connection past the limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Past {
    /// It waits in the listener's backlog: for peers that come again anyhow, and whose work must be done.
    Waits,
    /// It is closed at once: for people and tools, who see that the limit is reached.
    Closes,
}

/// A series of failed accepts, which is one event for whoever reads the log: without descriptors, an accept fails again
/// after every pause.
#[derive(Debug, Default)]
struct FailedAccepts {
    series: bool,
}

impl FailedAccepts {
    /// Notes a failed accept. Returns whether a series begins with it.
    fn begins(&mut self) -> bool {
        !std::mem::replace(&mut self.series, true)
    }

    /// Ends the series, after a good accept.
    fn end(&mut self) {
        self.series = false;
    }
}

/// Serves each connection with `connection`, until `stop` resolves. The token of a connection is cancelled at the stop:
/// it ends what it has begun, and takes on nothing new. Returns how many connections outlived the grace and were cut.
pub async fn serve<F>(
    listener: TcpListener,
    limit: Limit,
    stop: impl Future<Output = ()>,
    mut connection: impl FnMut(TcpStream, CancellationToken) -> F,
) -> usize
where
    F: Future<Output = ()> + Send + 'static,
{
    let permits = Arc::new(Semaphore::new(limit.connections_max));
    let stopping = CancellationToken::new();
    let mut connections = JoinSet::new();
    let mut failed = FailedAccepts::default();
    let mut stop = pin!(stop);
    loop {
        let accepted = tokio::select! {
            () = &mut stop => break,
            // The results of ended connections are taken, or the set would grow without a bound.
            Some(_) = connections.join_next() => continue,
            accepted = accept(&listener, &permits, limit.past) => accepted,
        };
        if accepted.is_ok() {
            failed.end();
        }
        match accepted {
            Ok((stream, Some(permit))) => {
                let serving = connection(stream, stopping.clone());
                connections.spawn(async move {
                    serving.await;
                    drop(permit);
                });
            }
            Ok((_, None)) => tracing::debug!(server = limit.server, "a connection past the limit is closed"),
            Err(error) => {
                if failed.begins() {
                    tracing::warn!(server = limit.server, %error, "cannot accept a connection");
                } else {
                    tracing::debug!(server = limit.server, %error, "still cannot accept a connection");
                }
                sleep(ACCEPT_PAUSE).await;
            }
        }
    }
    drop(listener);
    stopping.cancel();
    let ended = async { while connections.join_next().await.is_some() {} };
    let _cut = timeout(limit.grace, ended).await;
    connections.len()
}

/// Accepts a connection, with its permit if there is one.
async fn accept(
    listener: &TcpListener,
    permits: &Arc<Semaphore>,
    past: Past,
) -> io::Result<(TcpStream, Option<OwnedSemaphorePermit>)> {
    let permit = match past {
        Past::Waits => Some(Arc::clone(permits).acquire_owned().await.map_err(io::Error::other)?),
        Past::Closes => None,
    };
    let (stream, _) = listener.accept().await?;
    Ok((stream, permit.or_else(|| Arc::clone(permits).try_acquire_owned().ok())))
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    /// Answers one byte for each, until the peer closes or the server stops.
    async fn echo(mut stream: TcpStream, stopping: CancellationToken) {
        let mut byte = [0];
        loop {
            tokio::select! {
                read = stream.read(&mut byte) => match read {
                    Ok(1) if stream.write_all(&byte).await.is_ok() => {}
                    _ => return,
                },
                () = stopping.cancelled() => return,
            }
        }
    }

    async fn answers(stream: &mut TcpStream) -> bool {
        let mut byte = [7];
        stream.write_all(&byte).await.is_ok() && matches!(stream.read(&mut byte).await, Ok(1))
    }

    fn limit(past: Past) -> Limit {
        Limit { server: "test", connections_max: 1, past, grace: Duration::from_millis(50) }
    }

    #[tokio::test]
    async fn a_connection_past_the_limit_is_closed_or_waits() {
        for past in [Past::Closes, Past::Waits] {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let address = listener.local_addr().unwrap();
            let stop = CancellationToken::new();
            let serving = tokio::spawn(serve(listener, limit(past), stop.clone().cancelled_owned(), echo));
            let mut first = TcpStream::connect(address).await.unwrap();
            assert!(answers(&mut first).await);
            let mut second = TcpStream::connect(address).await.unwrap();
            if past == Past::Closes {
                assert!(!answers(&mut second).await, "there is no room for it");
            } else {
                let waits = timeout(Duration::from_millis(50), answers(&mut second)).await;
                assert!(waits.is_err(), "it is neither served nor closed");
                drop(first);
                assert!(matches!(second.read(&mut [0]).await, Ok(1)), "its turn has come");
            }
            stop.cancel();
            assert_eq!(serving.await.unwrap(), 0, "every connection has ended by itself");
        }
    }

    #[test]
    fn a_series_of_failed_accepts_begins_once() {
        let mut failed = FailedAccepts::default();
        assert_eq!([failed.begins(), failed.begins(), failed.begins()], [true, false, false]);
        failed.end();
        assert_eq!([failed.begins(), failed.begins()], [true, false], "a good accept has ended the series");
    }

    #[tokio::test]
    async fn what_outlives_the_grace_is_cut_and_counted() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let stop = CancellationToken::new();
        let hang = |stream: TcpStream, _| async move {
            std::future::pending::<()>().await;
            drop(stream);
        };
        let serving = tokio::spawn(serve(listener, limit(Past::Closes), stop.clone().cancelled_owned(), hang));
        let mut client = TcpStream::connect(address).await.unwrap();
        tokio::time::sleep(Duration::from_millis(20)).await;
        stop.cancel();
        assert_eq!(serving.await.unwrap(), 1);
        assert!(matches!(client.read(&mut [0]).await, Ok(0) | Err(_)), "it is closed");
    }
}
