//! The connection to the collectors: HTTP/2 over mutual TLS, one for all posts.
//!
//! The link uses the first collector of the list that works. A collector that fails (it cannot be reached, does not
//! answer, or answers 503) is skipped for `failback_after`, longer if its Retry-After says so. Then a connection to it
//! is tried beside the current one, and replaces it once it stands. If all are skipped, the one whose time ends first
//! is tried. Posts in flight on a replaced connection finish there.
//!
//! A connection is used for `connection_age_max`. A new one is made with the certificates that the files hold by then.

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use bytes::Bytes;
use http::header::{CONTENT_ENCODING, CONTENT_TYPE, RETRY_AFTER};
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper::client::conn::http2::{self, SendRequest};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use rustls::ClientConfig;
use tokio::net::TcpStream;
use tokio::sync::Mutex;
use tokio_rustls::TlsConnector;
use tollgate_retry::retry_after;
use tollgate_tls::Rotation;

use crate::{Collector, LinkOptions};

/// Silence after which the collector is pinged.
const KEEPALIVE: Duration = Duration::from_secs(10);
/// Longest Retry-After that the link obeys.
const RETRY_AFTER_MAX: Duration = Duration::from_secs(300);
/// Longest time to connect.
const CONNECT_MAX: Duration = Duration::from_secs(5);
/// Bytes that are read of a collector's reason.
const REASON_BYTES_MAX: usize = 4_096;
/// Media type of a batch.
const BATCH_TYPE: &str = "application/vnd.apache.arrow.stream";

/// The result of a post.
#[derive(Debug, PartialEq, Eq)]
pub enum PostOutcome {
    /// The batch is on stable storage.
    Acknowledged,
    /// The batch must never be sent again.
    Refused {
        /// Status of the answer.
        status: StatusCode,
        /// The collector's reason, at most 4 KiB.
        reason: String,
    },
    /// The certificate does not speak for the batch's node. A person must correct one of them.
    Forbidden {
        /// The collector's reason, at most 4 KiB.
        reason: String,
    },
    /// The batch is to be sent again.
    Again {
        /// Label of the metric.
        cause: &'static str,
        /// Wait that the collector asks for.
        after: Option<Duration>,
    },
}

/// The collectors, and the current connection to one of them.
#[derive(Debug, Clone)]
pub struct Link(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    options: LinkOptions,
    state: Mutex<LinkState>,
}

#[derive(Debug)]
struct LinkState {
    /// Number of the connection: a post that failed drops only the connection that it used.
    generation: u64,
    connection: Option<Connection>,
    /// The time until which each collector is skipped.
    skipped_until: Vec<Option<Instant>>,
    /// Whether a connection to a better collector is being tried.
    switching: bool,
}

#[derive(Debug)]
struct Connection {
    collector: usize,
    sender: SendRequest<Full<Bytes>>,
    opened_at: Instant,
    /// Whether a post was answered on the connection.
    has_answered: bool,
}

impl LinkState {
    /// Returns the collector to use: the first that is not skipped, else the one whose time ends first.
    fn best(&self, now: Instant) -> usize {
        let waits = self.skipped_until.iter().map(|until| until.map_or(Duration::ZERO, |until| until - now));
        // `min_by_key` returns the first of equals, which is the preferred collector.
        waits.enumerate().min_by_key(|(_, wait)| *wait).map_or(0, |(index, _)| index)
    }

    fn install(&mut self, collector: usize, sender: SendRequest<Full<Bytes>>) {
        self.generation += 1;
        self.skipped_until[collector] = None;
        self.connection = Some(Connection { collector, sender, opened_at: Instant::now(), has_answered: false });
    }
}

type Connected = (SendRequest<Full<Bytes>>, String, u64);

impl Link {
    /// Begins without a connection; the first post makes one.
    #[must_use]
    pub fn new(options: LinkOptions) -> Self {
        let skipped_until = vec![None; options.collectors.len()];
        let state = LinkState { generation: 0, connection: None, skipped_until, switching: false };
        Self(Arc::new(Shared { options, state: Mutex::new(state) }))
    }

    /// Posts one batch, and returns what became of it. It does not retry.
    pub async fn post(&self, batch: Bytes) -> PostOutcome {
        let again = |cause| PostOutcome::Again { cause, after: None };
        let (mut sender, authority, generation) = match self.connected().await {
            Ok(connected) => connected,
            Err(cause) => return again(cause),
        };
        let request = Request::post(format!("https://{authority}/v1/batches"))
            .header(CONTENT_TYPE, BATCH_TYPE)
            .header(CONTENT_ENCODING, "zstd")
            .body(Full::new(batch));
        let Ok(request) = request else { return again("internal") };
        let exchange = async {
            sender.ready().await?;
            Ok::<_, hyper::Error>(answer_of(sender.send_request(request).await?).await)
        };
        match tokio::time::timeout(self.0.options.post_timeout, exchange).await {
            Ok(Ok(answer)) => self.answered(generation, answer).await,
            Ok(Err(_)) => {
                // A connection that has answered before was closed in good order, or its collector restarted: no reason
                // to skip the collector. `drop_connection` sees that.
                self.0.drop_connection(generation, false).await;
                again("connection")
            }
            Err(_) => {
                self.0.drop_connection(generation, true).await;
                again("timeout")
            }
        }
    }

    async fn answered(&self, generation: u64, answer: PostOutcome) -> PostOutcome {
        let mut state = self.0.state.lock().await;
        let LinkState { generation: current, connection, skipped_until, .. } = &mut *state;
        let Some(connection) = connection.as_mut().filter(|_| *current == generation) else { return answer };
        connection.has_answered = true;
        if let PostOutcome::Again { cause: "status_503", after } = &answer
            && self.0.options.collectors.len() > 1
        {
            let wait = after.unwrap_or_default().max(self.0.options.failback_after);
            skipped_until[connection.collector] = Some(Instant::now() + wait);
            state.connection = None;
            // Retry-After is the wait of this collector; the next post goes to another at once.
            return PostOutcome::Again { cause: "status_503", after: None };
        }
        answer
    }

    async fn connected(&self) -> Result<Connected, &'static str> {
        let mut state = self.0.state.lock().await;
        let (now, best) = (Instant::now(), state.best(Instant::now()));
        let usable = state.connection.as_ref().filter(|connection| {
            !connection.sender.is_closed() && now - connection.opened_at < self.0.options.connection_age_max
        });
        if let Some(connection) = usable {
            let (sender, collector) = (connection.sender.clone(), connection.collector);
            if best < collector && !state.switching {
                state.switching = true;
                tokio::spawn(self.0.clone().switch_to(best));
            }
            return Ok((sender, self.0.options.collectors[collector].authority.clone(), state.generation));
        }
        // The lock is held while connecting: the other posters wait for this connection instead of making their own.
        match self.0.connect(best).await {
            Ok(sender) => {
                state.install(best, sender.clone());
                Ok((sender, self.0.options.collectors[best].authority.clone(), state.generation))
            }
            Err(cause) => {
                state.connection = None;
                state.skipped_until[best] = Some(Instant::now() + self.0.options.failback_after);
                Err(cause)
            }
        }
    }
}

impl Shared {
    /// Connects to a better collector beside the current connection, and replaces it.
    async fn switch_to(self: Arc<Self>, collector: usize) {
        let connected = self.connect(collector).await;
        let mut state = self.state.lock().await;
        state.switching = false;
        match connected {
            Ok(sender) => {
                tracing::info!(
                    collector = self.options.collectors[collector].authority,
                    "records go to this collector again"
                );
                state.install(collector, sender);
            }
            Err(_) => state.skipped_until[collector] = Some(Instant::now() + self.options.failback_after),
        }
    }

    /// Drops the connection. Its collector is skipped if the post `failed`, or if the connection closed without any
    /// answer.
    async fn drop_connection(&self, generation: u64, failed: bool) {
        let mut state = self.state.lock().await;
        if state.generation != generation {
            return;
        }
        if let Some(connection) = state.connection.take()
            && (failed || !connection.has_answered)
        {
            state.skipped_until[connection.collector] = Some(Instant::now() + self.options.failback_after);
        }
    }

    async fn connect(&self, collector: usize) -> Result<SendRequest<Full<Bytes>>, &'static str> {
        let (tls, rotation) = self.options.tls.current();
        match rotation {
            Rotation::Unchanged => {}
            Rotation::Changed => tracing::info!("the certificates towards the collectors have changed"),
            Rotation::Kept(error) => {
                tracing::error!(%error, "the certificates towards the collectors cannot be used: the old ones stay");
            }
        }
        let patience = self.options.post_timeout.min(CONNECT_MAX);
        let connected = tokio::time::timeout(patience, connect(&self.options.collectors[collector], &tls)).await;
        connected.unwrap_or(Err("timeout"))
    }
}

async fn connect(collector: &Collector, tls: &Arc<ClientConfig>) -> Result<SendRequest<Full<Bytes>>, &'static str> {
    let stream = TcpStream::connect(&collector.authority).await.map_err(|_| "connect")?;
    stream.set_nodelay(true).map_err(|_| "connect")?;
    let connector = TlsConnector::from(tls.clone());
    let stream = connector.connect(collector.server_name.clone(), stream).await.map_err(|_| "tls")?;
    let (sender, connection) = http2::Builder::new(TokioExecutor::new())
        .timer(TokioTimer::new())
        .keep_alive_interval(KEEPALIVE)
        .keep_alive_timeout(KEEPALIVE)
        .handshake(TokioIo::new(stream))
        .await
        .map_err(|_| "http2")?;
    tokio::spawn(async move {
        // The posts on the connection report how it ended.
        let _ended = connection.await;
    });
    Ok(sender)
}

async fn answer_of(response: Response<Incoming>) -> PostOutcome {
    let status = response.status();
    let after = || {
        let asked = retry_after(response.headers().get(RETRY_AFTER)?, SystemTime::now())?;
        Some(asked.min(RETRY_AFTER_MAX))
    };
    match status.as_u16() {
        200..=299 => PostOutcome::Acknowledged,
        429 => PostOutcome::Again { cause: "status_429", after: after() },
        503 => PostOutcome::Again { cause: "status_503", after: after() },
        403 => PostOutcome::Forbidden { reason: reason(response.into_body()).await },
        400 | 413 | 415 | 422 => PostOutcome::Refused { status, reason: reason(response.into_body()).await },
        _ => PostOutcome::Again { cause: "status_other", after: after() },
    }
}

/// Reads the collector's reason. It is text for people: the status alone decides.
#[expect(clippy::disallowed_methods, reason = "limited")]
async fn reason(body: Incoming) -> String {
    match Limited::new(body, REASON_BYTES_MAX).collect().await {
        Ok(body) => String::from_utf8_lossy(&body.to_bytes()).trim().to_owned(),
        Err(error) => format!("the reason could not be read: {error}"),
    }
}
