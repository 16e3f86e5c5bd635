//! Accepts connections. Each is bounded in time, and all are bounded in number.

use std::pin::pin;
use std::time::Duration;

use axum::{Extension, Router};
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tollgate_net::{CancellationToken, Limit, Past};

use super::answer::Cut;

/// From a connection's beginning, or from an answer, to the end of the next request's head.
const HEAD_TIME_MAX: Duration = Duration::from_secs(10);
/// What requests under way have to end at shutdown, before their connections are cut.
const SHUTDOWN_GRACE: Duration = Duration::from_secs(2);

/// Serves until `shutdown` resolves, and the grace after it at most.
pub(super) async fn serve(
    listener: TcpListener,
    router: Router,
    connections_max: usize,
    shutdown: impl Future<Output = ()> + Send,
) {
    let limit = Limit { server: "HTTP server", connections_max, past: Past::Closes, grace: SHUTDOWN_GRACE };
    let serve = |socket, stopping| connection(socket, router.clone(), stopping);
    let cut = tollgate_net::serve(listener, limit, shutdown, serve).await;
    if cut > 0 {
        tracing::debug!(connections = cut, "connections to the HTTP server are cut");
    }
}

async fn connection(socket: TcpStream, router: Router, stopped: CancellationToken) {
    let cut = CancellationToken::new();
    let router = router.layer(Extension(Cut(cut.clone())));
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
                    tracing::debug!(%error, "a connection to the HTTP server broke off");
                }
                return;
            }
            () = cut.cancelled() => {
                tracing::debug!("a connection to the HTTP server is cut: its answer was not read in time");
                return;
            }
            () = stopped.cancelled(), if !stopping => {
                stopping = true;
                serving.as_mut().graceful_shutdown();
            }
        }
    }
}
