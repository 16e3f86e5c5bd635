//! The connection to the collector: HTTP/2 over mutual TLS, one for all posts, the next address on an error.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONTENT_ENCODING, CONTENT_TYPE, RETRY_AFTER};
use http::{Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::client::conn::http2::{self, SendRequest};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use rustls::ClientConfig;
use tokio::net::TcpStream;
use tokio::sync::Mutex;
use tokio_rustls::TlsConnector;

use crate::config::CollectorPlan;

/// Silence on the connection after which the collector is pinged.
const KEEPALIVE: Duration = Duration::from_secs(10);
/// Longest Retry-After that is honoured.
const RETRY_AFTER_MAX: Duration = Duration::from_secs(300);
/// Media type of a batch.
const BATCH_TYPE: &str = "application/vnd.apache.arrow.stream";

/// What became of a post.
#[derive(Debug, PartialEq, Eq)]
pub enum Answer {
    /// On stable storage.
    Acknowledged,
    /// Never to be sent again.
    Refused(StatusCode),
    /// To be sent again, not before this wait if there is one.
    Again {
        /// Label of the metric.
        cause: &'static str,
        /// What the collector asks for.
        after: Option<Duration>,
    },
}

/// The collectors and the connection at hand.
#[derive(Debug)]
pub struct Link {
    collectors: Vec<CollectorPlan>,
    tls: Arc<ClientConfig>,
    timeout: Duration,
    at_hand: Mutex<AtHand>,
}

#[derive(Debug, Default)]
struct AtHand {
    collector: usize,
    /// Counts connections, so that a post that failed drops only the one it used.
    generation: u64,
    sender: Option<SendRequest<Full<Bytes>>>,
}

impl Link {
    /// No connection yet.
    #[must_use]
    pub fn new(collectors: Vec<CollectorPlan>, tls: Arc<ClientConfig>, timeout: Duration) -> Self {
        Self { collectors, tls, timeout, at_hand: Mutex::default() }
    }

    /// Posts one batch.
    pub async fn post(&self, batch: Bytes) -> Answer {
        let again = |cause| Answer::Again { cause, after: None };
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
            sender.send_request(request).await
        };
        match tokio::time::timeout(self.timeout, exchange).await {
            Ok(Ok(response)) => answer_of(&response),
            Ok(Err(_)) => {
                self.drop_connection(generation).await;
                again("connection")
            }
            Err(_) => {
                self.drop_connection(generation).await;
                again("timeout")
            }
        }
    }

    async fn connected(&self) -> Result<(SendRequest<Full<Bytes>>, String, u64), &'static str> {
        let mut at_hand = self.at_hand.lock().await;
        let usable = at_hand.sender.as_ref().filter(|sender| !sender.is_closed()).cloned();
        let sender = match usable {
            Some(sender) => sender,
            None => {
                let collector = &self.collectors[at_hand.collector];
                let connected = tokio::time::timeout(self.timeout, connect(collector, &self.tls)).await;
                match connected.unwrap_or(Err("timeout")) {
                    Ok(sender) => {
                        at_hand.generation += 1;
                        at_hand.sender.insert(sender).clone()
                    }
                    Err(cause) => {
                        at_hand.sender = None;
                        at_hand.collector = (at_hand.collector + 1) % self.collectors.len();
                        return Err(cause);
                    }
                }
            }
        };
        Ok((sender, self.collectors[at_hand.collector].authority.clone(), at_hand.generation))
    }

    async fn drop_connection(&self, generation: u64) {
        let mut at_hand = self.at_hand.lock().await;
        if at_hand.generation == generation && at_hand.sender.take().is_some() {
            at_hand.collector = (at_hand.collector + 1) % self.collectors.len();
        }
    }
}

async fn connect(collector: &CollectorPlan, tls: &Arc<ClientConfig>) -> Result<SendRequest<Full<Bytes>>, &'static str> {
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
        // How the connection ends shows in the posts that it carried.
        let _ended = connection.await;
    });
    Ok(sender)
}

fn answer_of(response: &Response<Incoming>) -> Answer {
    let status = response.status();
    let after = || {
        let seconds = response.headers().get(RETRY_AFTER)?.to_str().ok()?.parse().ok()?;
        Some(Duration::from_secs(seconds).min(RETRY_AFTER_MAX))
    };
    match status.as_u16() {
        200..=299 => Answer::Acknowledged,
        429 => Answer::Again { cause: "status_429", after: after() },
        503 => Answer::Again { cause: "status_503", after: after() },
        400 | 403 | 413 | 415 | 422 => Answer::Refused(status),
        _ => Answer::Again { cause: "status_other", after: after() },
    }
}
