//! Accepts connections. Each is bounded in time, and all are bounded in number.

use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;
use tokio::time::timeout;

/// From a connection's beginning, or from an answer, to the end of the next request's head.
const HEAD_TIME_MAX: Duration = Duration::from_secs(10);
/// What requests under way have to end at shutdown, before their connections are cut.
const SHUTDOWN_GRACE: Duration = Duration::from_secs(2);
/// Wait after a failed accept (out of file descriptors), so that the server does not spin.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Serves until `shutdown` resolves, and the grace after it at most.
pub(super) async fn serve(
    listener: TcpListener,
    router: Router,
    connections_max: usize,
    shutdown: impl Future<Output = ()> + Send,
) {
    let permits = Arc::new(Semaphore::new(connections_max));
    let (stop, stopped) = watch::channel(false);
    let mut connections = JoinSet::new();
    let mut shutdown = pin!(shutdown);
    loop {
        let accepted: io::Result<TcpStream> = tokio::select! {
            () = &mut shutdown => break,
            Some(_) = connections.join_next() => continue,
            accepted = listener.accept() => accepted.map(|(socket, _)| socket),
        };
        let socket = match accepted {
            Ok(socket) => socket,
            Err(error) => {
                tracing::warn!(%error, "a connection to the HTTP door could not be accepted");
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        let Ok(permit) = permits.clone().try_acquire_owned() else {
            tracing::debug!("a connection to the HTTP door is past the limit");
            continue;
        };
        let (router, stopped) = (router.clone(), stopped.clone());
        connections.spawn(async move {
            connection(socket, router, stopped).await;
            drop(permit);
        });
    }
    drop(listener);
    stop.send_replace(true);
    let ended = timeout(SHUTDOWN_GRACE, async { while connections.join_next().await.is_some() {} });
    if ended.await.is_err() {
        tracing::debug!(connections = connections.len(), "connections to the HTTP door are cut");
    }
}

async fn connection(socket: TcpStream, router: Router, mut stopped: watch::Receiver<bool>) {
    let mut serving = pin!(
        http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(HEAD_TIME_MAX)
            .serve_connection(TokioIo::new(socket), TowerToHyperService::new(router))
    );
    let mut stopping = false;
    loop {
        tokio::select! {
            served = &mut serving => {
                if let Err(error) = served {
                    tracing::debug!(%error, "a connection to the HTTP door broke off");
                }
                return;
            }
            _ = stopped.wait_for(|stopped| *stopped), if !stopping => {
                stopping = true;
                serving.as_mut().graceful_shutdown();
            }
        }
    }
}
