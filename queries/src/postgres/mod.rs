//! The PostgreSQL door: psql, Grafana's data source, and whatever else speaks version 3 of that protocol.
//!
//! Statements of a session (SET, SHOW, BEGIN, …) are answered here, on an allow-list; everything else goes through
//! the [`Engine`], and so through its gate and limits, in the simple and in the extended protocol alike. There is
//! neither COPY nor a password: bind it to loopback, or put what authenticates in front of it.

mod handlers;
mod parameters;
mod reply;
mod session;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use datafusion_postgres::pgwire::tokio::process_socket;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio::task::{JoinHandle, JoinSet};

use crate::engine::Engine;
use handlers::Door;

/// Wait after a failed accept (out of file descriptors), so that the door does not spin.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Binds `address` and serves until `shutdown` resolves; the address is the one bound, for port 0.
///
/// Connections past the engine's limit are closed at once. At shutdown, open ones are cut.
pub async fn serve_postgres(
    address: SocketAddr,
    engine: Arc<Engine>,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> io::Result<(SocketAddr, JoinHandle<()>)> {
    let listener = TcpListener::bind(address).await?;
    let local = listener.local_addr()?;
    let served = tokio::spawn(async move {
        tokio::select! {
            () = shutdown => {}
            () = accept(listener, engine) => {}
        }
    });
    Ok((local, served))
}

async fn accept(listener: TcpListener, engine: Arc<Engine>) {
    let places = Arc::new(Semaphore::new(engine.limits().connections_max));
    let door = Arc::new(Door::new(engine));
    // Dropped with this future, and with it every connection.
    let mut connections = JoinSet::new();
    loop {
        while connections.try_join_next().is_some() {}
        let socket = match listener.accept().await {
            Ok((socket, _)) => socket,
            Err(error) => {
                tracing::warn!(%error, "a connection to the PostgreSQL door could not be accepted");
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        let Ok(place) = places.clone().try_acquire_owned() else {
            tracing::debug!("a connection to the PostgreSQL door is past the limit");
            continue;
        };
        let door = door.clone();
        connections.spawn(async move {
            if let Err(error) = process_socket(socket, None, door).await {
                tracing::debug!(%error, "a connection to the PostgreSQL door broke off");
            }
            drop(place);
        });
    }
}
