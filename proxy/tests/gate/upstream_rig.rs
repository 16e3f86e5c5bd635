//! Shared by the tests of the upstream side: raw HTTP/2 upstreams, and requests to a gate.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use h2::server::{Connection, SendResponse};
use http::{Request, Response};
use tokio::net::{TcpListener, TcpSocket, TcpStream};

use crate::rig::{Gate, PATIENCE};

/// Status of an answer.
pub fn status_of(answer: &str) -> &str {
    answer.split(' ').nth(1).unwrap_or("none")
}

/// A POST on a connection that is closed after it.
pub fn post(gate: &Gate, body: &str) -> String {
    let head = format!("POST /api HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: {}\r\n\r\n", body.len());
    gate.exchange(&(head + body))
}

/// Waits until a condition holds.
pub fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let until = Instant::now() + PATIENCE;
    while !holds() {
        assert!(Instant::now() < until, "{what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// An address that refuses connections. It is given to no other socket while this is kept.
#[derive(Debug)]
pub struct Nobody {
    pub addr: SocketAddr,
    _bound: TcpSocket,
}

impl Nobody {
    pub fn there() -> Self {
        let bound = TcpSocket::new_v4().unwrap();
        bound.bind("127.0.0.1:0".parse().unwrap()).unwrap();
        Self { addr: bound.local_addr().unwrap(), _bound: bound }
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.addr)
    }
}

/// An upstream that speaks HTTP/2 in plaintext.
#[derive(Debug, Clone)]
pub struct H2Upstream {
    pub addr: SocketAddr,
    pub connections: Arc<AtomicUsize>,
    pub streams: Arc<AtomicUsize>,
}

/// A connection whose streams are served by hand.
pub type H2 = Connection<TcpStream, Bytes>;
/// A stream that waits for an answer.
pub type Answer = SendResponse<Bytes>;

impl H2Upstream {
    /// Serves each connection by `serve`, with its number from 0.
    pub fn start<F>(
        configure: fn(&mut h2::server::Builder),
        serve: impl Fn(H2, usize, Arc<AtomicUsize>) -> F + Send + 'static,
    ) -> Self
    where
        F: Future<Output = ()> + 'static,
    {
        let socket = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        socket.set_nonblocking(true).unwrap();
        let upstream =
            Self { addr: socket.local_addr().unwrap(), connections: Arc::default(), streams: Arc::default() };
        let counts = upstream.clone();
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            tokio::task::LocalSet::new().block_on(&runtime, async move {
                let listener = TcpListener::from_std(socket).unwrap();
                while let Ok((stream, _)) = listener.accept().await {
                    let nth = counts.connections.fetch_add(1, Ordering::SeqCst);
                    let mut builder = h2::server::Builder::new();
                    configure(&mut builder);
                    let Ok(connection) = builder.handshake(stream).await else { continue };
                    tokio::task::spawn_local(serve(connection, nth, counts.streams.clone()));
                }
            });
        });
        upstream
    }

    /// Answers each stream at once, in a task of its own.
    pub fn answering<F>(answer: impl Fn(Request<h2::RecvStream>, Answer) -> F + Clone + Send + 'static) -> Self
    where
        F: Future<Output = ()> + 'static,
    {
        Self::start(
            |_| {},
            move |mut connection, _, streams| {
                let answer = answer.clone();
                async move {
                    while let Some(Ok((request, respond))) = connection.accept().await {
                        streams.fetch_add(1, Ordering::SeqCst);
                        tokio::task::spawn_local(answer(request, respond));
                    }
                }
            },
        )
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.addr)
    }

    pub fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }

    pub fn streams(&self) -> usize {
        self.streams.load(Ordering::SeqCst)
    }
}

/// Reads a request's body.
pub async fn body_of(request: Request<h2::RecvStream>) -> String {
    let mut body = request.into_body();
    let mut bytes = Vec::new();
    while let Some(Ok(data)) = body.data().await {
        body.flow_control().release_capacity(data.len()).unwrap();
        bytes.extend_from_slice(&data);
    }
    String::from_utf8(bytes).unwrap()
}

/// Answers 200 with a text.
pub fn ok(mut respond: Answer, text: String) {
    let Ok(mut stream) = respond.send_response(Response::new(()), false) else { return };
    let _the_gate_may_have_left = stream.send_data(Bytes::from(text), true);
}
