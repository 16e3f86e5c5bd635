//! Sample upstreams: small HTTP/1.1 servers that behave well or badly on purpose.
//!
//! The demo, the whole-system tests and the benches put them behind the proxy: for each way in which a transaction can
//! end, there is an upstream that causes it. None of them runs in production.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// Most bytes that `/bytes/N` sends.
pub const STREAMED_BYTES_MAX: u64 = 1 << 30;
/// Size of one chunk of a streamed body.
const CHUNK_BYTES: usize = 64 * 1024;

/// What a sample upstream does with a request.
#[derive(Debug, Clone, Copy)]
pub enum Behaviour {
    /// Answers at once: `/bytes/N` streams N bytes, `/status/N` answers N, a request body is read and counted,
    /// anything else is a small JSON document.
    Healthy,
    /// Answers as `Healthy` does, after a wait.
    Slow(Duration),
    /// Answers 500 to all requests but each n-th.
    Failing {
        /// Of so many requests one succeeds; 0 = none does.
        succeeds_every: u64,
    },
    /// Reads the request head, then closes the connection without an answer.
    Closing,
    /// Promises a body, sends half of it, then closes the connection.
    Truncating,
}

/// A running sample upstream; it stops when dropped.
#[derive(Debug)]
pub struct Upstream {
    /// Where it listens.
    pub addr: SocketAddr,
    cancel: CancellationToken,
    tasks: TaskTracker,
}

impl Upstream {
    /// Binds `addr` (port 0 picks a free one) and serves on the current tokio runtime.
    ///
    /// # Errors
    /// When the address cannot be bound.
    pub async fn start(addr: SocketAddr, behaviour: Behaviour) -> io::Result<Self> {
        let listener = TcpListener::bind(addr).await?;
        let addr = listener.local_addr()?;
        let cancel = CancellationToken::new();
        let tasks = TaskTracker::new();
        let accept = accept_loop(listener, behaviour, cancel.clone(), tasks.clone());
        tasks.spawn(cancel.clone().run_until_cancelled_owned(accept));
        Ok(Self { addr, cancel, tasks })
    }

    /// Closes the listener and every connection, as a crash would, and waits until they are gone.
    pub async fn kill(self) {
        self.cancel.cancel();
        self.tasks.close();
        self.tasks.wait().await;
    }
}

impl Drop for Upstream {
    fn drop(&mut self) {
        self.cancel.cancel();
    }
}

async fn accept_loop(listener: TcpListener, behaviour: Behaviour, cancel: CancellationToken, tasks: TaskTracker) {
    let mut served: u64 = 0;
    while let Ok((stream, _)) = listener.accept().await {
        served += 1;
        let connection = serve(stream, behaviour, served);
        tasks.spawn(cancel.clone().run_until_cancelled_owned(connection));
    }
}

async fn serve(stream: TcpStream, behaviour: Behaviour, nth_connection: u64) {
    let _ = stream.set_nodelay(true);
    match behaviour {
        Behaviour::Closing => close_after_head(stream, b"").await,
        Behaviour::Truncating => {
            close_after_head(stream, b"HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\nonly the beginning").await;
        }
        Behaviour::Healthy | Behaviour::Slow(_) | Behaviour::Failing { .. } => {
            let count = std::sync::atomic::AtomicU64::new(nth_connection);
            let service = service_fn(|request| {
                let nth = count.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
                answer(request, behaviour, nth)
            });
            // The result is dropped: a client that goes away is no error of the upstream.
            let _ = hyper::server::conn::http1::Builder::new()
                .timer(TokioTimer::new())
                .serve_connection(TokioIo::new(stream), service)
                .await;
        }
    }
}

async fn close_after_head(mut stream: TcpStream, answer: &[u8]) {
    let mut head = Vec::with_capacity(1024);
    while !head.windows(4).any(|w| w == b"\r\n\r\n") && head.len() < 64 * 1024 {
        match stream.read_buf(&mut head).await {
            Ok(0) | Err(_) => return,
            Ok(_) => {}
        }
    }
    let _ = stream.write_all(answer).await;
    let _ = stream.shutdown().await;
}

type Body = BoxBody<Bytes, Infallible>;

async fn answer(request: Request<Incoming>, behaviour: Behaviour, nth: u64) -> Result<Response<Body>, hyper::Error> {
    match behaviour {
        Behaviour::Slow(wait) => tokio::time::sleep(wait).await,
        Behaviour::Failing { succeeds_every } if succeeds_every == 0 || !nth.is_multiple_of(succeeds_every) => {
            return Ok(json(StatusCode::INTERNAL_SERVER_ERROR, r#"{"error":"database is down"}"#.into()));
        }
        _ => {}
    }
    let path = request.uri().path().to_owned();
    let mut received: u64 = 0;
    let mut body = request.into_body();
    while let Some(frame) = body.frame().await {
        received += frame?.data_ref().map_or(0, |data| data.len() as u64);
    }
    if let Some(n) = number_after(&path, "/bytes/") {
        return Ok(Response::new(streamed(n.min(STREAMED_BYTES_MAX))));
    }
    let status = number_after(&path, "/status/")
        .and_then(|n| u16::try_from(n).ok())
        .and_then(|n| StatusCode::from_u16(n).ok())
        .unwrap_or(StatusCode::OK);
    Ok(json(status, format!(r#"{{"path":{path:?},"received_bytes":{received}}}"#)))
}

fn number_after(path: &str, marker: &str) -> Option<u64> {
    path.split_once(marker)?.1.split('/').next()?.parse().ok()
}

fn json(status: StatusCode, body: String) -> Response<Body> {
    let mut response = Response::new(Full::new(Bytes::from(body)).boxed());
    *response.status_mut() = status;
    let value = hyper::header::HeaderValue::from_static("application/json");
    response.headers_mut().insert(hyper::header::CONTENT_TYPE, value);
    response
}

/// Makes a body of `total` zero bytes in chunks.
fn streamed(total: u64) -> Body {
    static ZEROS: [u8; CHUNK_BYTES] = [0; CHUNK_BYTES];
    let chunks = (0..total.div_ceil(CHUNK_BYTES as u64)).map(move |i| {
        let left = total - i * CHUNK_BYTES as u64;
        let n = usize::try_from(left).unwrap_or(CHUNK_BYTES).min(CHUNK_BYTES);
        Ok::<_, Infallible>(Frame::data(Bytes::from_static(&ZEROS[..n])))
    });
    BodyExt::boxed(StreamBody::new(futures::stream::iter(chunks)))
}
