//! Batches posted to a collector by a test: what was acknowledged is known exactly.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use bytes::Bytes;
use http::{Request, StatusCode, header};
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http2::{self, SendRequest};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls_pki_types::ServerName;
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tollgate_tls::Identity;

/// A collector's answer to a posted batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// 200: on stable storage.
    Acknowledged {
        /// The collector had stored the batch before.
        duplicate: bool,
        /// Where it stands in the journal, if it is new.
        position: Option<u64>,
    },
    /// Any other status.
    Refused {
        /// The status.
        status: u16,
        /// Retry-After in seconds, if the answer has one.
        retry_after: Option<u64>,
        /// The answer's reason.
        reason: String,
    },
}

/// A client of a collector's ingest; cheap to clone, and its clones share one connection.
#[derive(Debug, Clone)]
pub struct Poster {
    send: SendRequest<Full<Bytes>>,
    _connection: Arc<Connection>,
}

/// Ends with the last poster that uses it.
#[derive(Debug)]
struct Connection(JoinHandle<()>);

impl Drop for Connection {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// TLS towards a collector, with the certificate `NAME.pem` of a folder that [`crate::certificates`] wrote.
///
/// # Errors
/// When a file cannot be read.
pub fn client_tls(dir: &std::path::Path, name: &str) -> anyhow::Result<Arc<rustls::ClientConfig>> {
    tollgate_tls::install_provider();
    let identity = Identity::load(&dir.join(format!("{name}.pem")), &dir.join(format!("{name}.key")))?;
    Ok(tollgate_tls::client(Some(&dir.join("ca.pem")), Some(identity), &["h2"])?)
}

impl Poster {
    /// Connects.
    ///
    /// # Errors
    /// When nothing accepts, or a handshake fails or takes longer than `patience`.
    pub async fn connect(tls: Arc<rustls::ClientConfig>, addr: SocketAddr, patience: Duration) -> anyhow::Result<Self> {
        timeout(patience, async {
            let stream = TcpStream::connect(addr).await?;
            stream.set_nodelay(true)?;
            let stream = TlsConnector::from(tls).connect(ServerName::try_from("localhost")?, stream).await?;
            let (send, connection) = http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await?;
            let connection = Arc::new(Connection(tokio::spawn(async move {
                // The posts fail when the connection ends.
                let _ = connection.await;
            })));
            Ok(Self { send, _connection: connection })
        })
        .await
        .context("connecting took too long")?
    }

    /// Posts one batch.
    ///
    /// # Errors
    /// When no answer arrives within `patience`: whether the batch is stored is unknown then.
    pub async fn post(&self, batch: Bytes, patience: Duration) -> anyhow::Result<Answer> {
        let request = Request::post("https://localhost/v1/batches")
            .header(header::CONTENT_TYPE, "application/vnd.apache.arrow.stream")
            .header(header::CONTENT_ENCODING, "zstd")
            .body(Full::new(batch))?;
        let mut send = self.send.clone();
        timeout(patience, async {
            send.ready().await?;
            read(send.send_request(request).await?).await
        })
        .await
        .context("no answer in time")?
    }
}

#[expect(clippy::disallowed_methods, reason = "the collector answers one line")]
async fn read(response: http::Response<hyper::body::Incoming>) -> anyhow::Result<Answer> {
    let status = response.status();
    let retry_after = response.headers().get(header::RETRY_AFTER).and_then(|value| value.to_str().ok()?.parse().ok());
    let body = response.into_body().collect().await?.to_bytes();
    if status != StatusCode::OK {
        let reason = String::from_utf8_lossy(&body).into_owned();
        return Ok(Answer::Refused { status: status.as_u16(), retry_after, reason });
    }
    let body: serde_json::Value = serde_json::from_slice(&body)?;
    Ok(Answer::Acknowledged { duplicate: body["duplicate"] == true, position: body["position"].as_u64() })
}
