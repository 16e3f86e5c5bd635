//! Connections: accepted, greeted, served, closed.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use hyper::server::conn::http2;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use rustls::ServerConfig;
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{sleep, timeout};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tollgate_net::{Limit, Past};
use tollgate_tls::{PeerCertificate, Rotating, Rotation};

use super::body::Budget;
use super::post::IngestService;
use crate::config::CONNECTION_SHARE;

/// Flow-control windows: a batch fits into a stream's, a few into a connection's. What a peer may make us buffer unread
/// is a connection's window.
const STREAM_WINDOW_BYTES: u32 = 1024 * 1024;
const CONNECTION_WINDOW_BYTES: u32 = 4 * 1024 * 1024;
/// A post has three headers of its own.
const HEADER_BYTES_MAX: u32 = 16 * 1024;
/// A peer that is gone is noticed by a ping that is not answered.
const PING_INTERVAL: Duration = Duration::from_secs(20);
const PING_TIMEOUT: Duration = Duration::from_secs(20);

/// Serves until `stop`; then lets posts under way finish, and closes.
pub(crate) async fn serve(
    listener: TcpListener,
    tls: Rotating<ServerConfig>,
    service: Arc<IngestService>,
    stop: CancellationToken,
) {
    let limit = Limit {
        server: "ingest",
        connections_max: service.config.connections_max,
        // A proxy that is turned away comes again at once: it is better off in the backlog.
        past: Past::Waits,
        grace: service.config.drain_timeout.duration(),
    };
    let serve = |stream, stopping| connection(stream, acceptor(&tls), Arc::clone(&service), stopping);
    let cut = tollgate_net::serve(listener, limit, stop.cancelled(), serve).await;
    if cut > 0 {
        tracing::warn!(connections = cut, "posts did not finish in time");
    }
}

/// Makes an acceptor with the certificates of this moment.
fn acceptor(tls: &Rotating<ServerConfig>) -> TlsAcceptor {
    let (config, rotation) = tls.current();
    match rotation {
        Rotation::Unchanged => {}
        Rotation::Changed => tracing::info!("the certificates of the ingest have changed"),
        Rotation::Kept(error) => {
            tracing::error!(%error, "the certificates of the ingest cannot be used: the old ones stay");
        }
    }
    TlsAcceptor::from(config)
}

/// When a connection was made, and when it last had a post.
struct Activity {
    born: Instant,
    posts: AtomicUsize,
    last_ms: AtomicU64,
}

impl Activity {
    fn idle(&self) -> Duration {
        if self.posts.load(Ordering::Acquire) > 0 {
            return Duration::ZERO;
        }
        self.born.elapsed().saturating_sub(Duration::from_millis(self.last_ms.load(Ordering::Acquire)))
    }

    fn touch(&self) {
        self.last_ms.store(self.born.elapsed().as_millis() as u64, Ordering::Release);
    }
}

/// Counts a post as under way until it is dropped, which a reset of its stream does, too.
struct Post(Arc<Activity>);

impl Post {
    fn begin(activity: &Arc<Activity>) -> Self {
        activity.posts.fetch_add(1, Ordering::AcqRel);
        Self(Arc::clone(activity))
    }
}

impl Drop for Post {
    fn drop(&mut self) {
        self.0.touch();
        self.0.posts.fetch_sub(1, Ordering::AcqRel);
    }
}

async fn connection(stream: TcpStream, acceptor: TlsAcceptor, service: Arc<IngestService>, stop: CancellationToken) {
    // Small answers must not wait for each other.
    let _ = stream.set_nodelay(true);
    let handshake = timeout(service.config.handshake_timeout.duration(), acceptor.accept(stream));
    let Ok(Ok(stream)) = handshake.await else { return };
    let certificate = stream.get_ref().1.peer_certificates().and_then(|chain| chain.first());
    let Some(Ok(peer)) = certificate.map(|der| PeerCertificate::parse(der)) else { return };
    let peer = Arc::new(peer);
    let own = Budget::new(service.config.inflight_bytes_max.bytes() / CONNECTION_SHARE);
    let activity = Arc::new(Activity { born: Instant::now(), posts: AtomicUsize::new(0), last_ms: AtomicU64::new(0) });
    let (idle_timeout, age_max) =
        (service.config.idle_timeout.duration(), service.config.connection_age_max.duration());
    let builder = builder(service.config.posts_max);
    let service = {
        let activity = Arc::clone(&activity);
        service_fn(move |request| {
            let (service, peer, own, post) =
                (Arc::clone(&service), Arc::clone(&peer), own.clone(), Post::begin(&activity));
            async move {
                let answer = service.answer(request, &peer, &own).await;
                drop(post);
                Ok::<_, Infallible>(answer)
            }
        })
    };
    let serving = builder.serve_connection(TokioIo::new(stream), service);
    tokio::pin!(serving);
    let mut closing = false;
    loop {
        let idle = idle_timeout.saturating_sub(activity.idle());
        let left = idle.min(age_max.saturating_sub(activity.born.elapsed()));
        tokio::select! {
            // An error here is a peer's behaviour. It is not logged: a peer must not be able to fill the log.
            _ = serving.as_mut() => return,
            () = sleep(left.max(Duration::from_millis(10))), if !closing => {
                if activity.idle() < idle_timeout && activity.born.elapsed() < age_max {
                    continue;
                }
            }
            () = stop.cancelled(), if !closing => {}
        }
        serving.as_mut().graceful_shutdown();
        closing = true;
    }
}

fn builder(posts_max: u32) -> http2::Builder<TokioExecutor> {
    let mut builder = http2::Builder::new(TokioExecutor::new());
    builder
        .timer(TokioTimer::new())
        .max_concurrent_streams(posts_max)
        .initial_stream_window_size(STREAM_WINDOW_BYTES)
        .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
        .max_header_list_size(HEADER_BYTES_MAX)
        .keep_alive_interval(PING_INTERVAL)
        .keep_alive_timeout(PING_TIMEOUT);
    builder
}
