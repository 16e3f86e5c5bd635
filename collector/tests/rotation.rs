//! Certificates of the ingest that change while the collector runs.

mod support;

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, StatusCode};
use http_body_util::Full;
use hyper::client::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls_pki_types::ServerName;
use support::{LONG, Producer, Site, parts};
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep};
use tokio_rustls::TlsConnector;
use tollgate_collector::start;
use tollgate_config::ConfigDuration;
use tollgate_demo_ca::{DemoCa, Lifetime};
use tollgate_tls::{Identity, PeerCertificate};

type Wrong = Box<dyn std::error::Error>;

/// Posts over a new connection: the serial of the certificate that the collector showed, and its answer.
async fn post(roots: &Path, own: &Identity, addr: SocketAddr, body: Bytes) -> Result<(String, StatusCode), Wrong> {
    let tls = tollgate_tls::client(Some(roots), Some(own.clone()), &["h2"])?;
    let stream = TcpStream::connect(addr).await?;
    let stream = TlsConnector::from(tls).connect(ServerName::try_from("localhost")?, stream).await?;
    let shown = stream.get_ref().1.peer_certificates().ok_or("no certificate")?[0].clone();
    let (mut send, connection) = http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await?;
    tokio::spawn(connection);
    let request = Request::post("https://localhost/v1/batches")
        .header("content-type", "application/vnd.apache.arrow.stream")
        .header("content-encoding", "zstd")
        .body(Full::new(body))?;
    let answer = send.send_request(request).await?;
    Ok((PeerCertificate::parse(&shown)?.serial_hex, answer.status()))
}

fn copy(from: &Path, to: &Path) {
    std::fs::copy(from, to).expect("copies");
}

#[tokio::test]
async fn new_connections_use_the_new_certificates_and_half_a_pair_keeps_the_old() {
    let site = Site::new();
    let running = start(site.config(), parts(vec![])).await.expect("starts");
    let (addr, batch) = (running.ingest_addr, Producer::new("gw-1").batch(1).bytes);
    let client = site.ca.client("gw-1", "gw-1", &[], Lifetime::days(2)).expect("certificate");
    let client = client.identity().expect("identity");
    let (old, status) = post(site.ca.roots(), &client, addr, batch.clone()).await.expect("answers");
    assert_eq!(status, StatusCode::OK);

    let others = tempfile::tempdir().expect("folder");
    let other = DemoCa::open(others.path()).expect("authority");
    let server = other.server("collector", &["localhost"], Lifetime::days(2)).expect("certificate");
    let other_client = other.client("gw-1", "gw-1", &[], Lifetime::days(2)).expect("certificate");
    let (new, other_client) = (server.identity().expect("identity"), other_client.identity().expect("identity"));
    let ingest_tls = site.config().ingest.tls;
    copy(&server.cert, &ingest_tls.certificate);
    let until = Instant::now() + Duration::from_millis(1_500);
    while Instant::now() < until {
        let (shown, _) = post(site.ca.roots(), &client, addr, batch.clone()).await.expect("half a pair hurts nobody");
        assert_eq!(shown, old);
        sleep(Duration::from_millis(50)).await;
    }

    copy(&server.key, &ingest_tls.key);
    let deadline = Instant::now() + LONG;
    let shown = loop {
        // The authority of clients is still the old one.
        match post(other.roots(), &client, addr, batch.clone()).await {
            Ok((shown, _)) => break shown,
            Err(error) => assert!(Instant::now() < deadline, "{error}"),
        }
        sleep(Duration::from_millis(50)).await;
    };
    assert_eq!(shown, new.certificate().serial_hex);
    copy(other.roots(), &ingest_tls.client_ca);
    while post(other.roots(), &other_client, addr, batch.clone()).await.is_err() {
        assert!(Instant::now() < deadline, "clients of the new authority are believed");
        sleep(Duration::from_millis(50)).await;
    }
    assert!(post(other.roots(), &client, addr, batch).await.is_err(), "those of the old one no more");
    running.stop().await;
}

#[tokio::test]
async fn a_connection_in_use_ends_at_its_age() {
    let site = Site::new();
    let mut config = site.config();
    config.ingest.connection_age_max = ConfigDuration::millis(100);
    let running = start(config, parts(vec![])).await.expect("starts");
    let client = site.client("gw-1", running.ingest_addr).await;
    let (deadline, mut posts) = (Instant::now() + LONG, 0);
    loop {
        let request = Request::post("https://localhost/v1/batches").body(Full::default()).expect("request");
        if client.send(request).await.is_err() {
            break;
        }
        posts += 1;
        assert!(Instant::now() < deadline, "it is never idle, and ends all the same");
        sleep(Duration::from_millis(5)).await;
    }
    assert!(posts > 0);
    running.stop().await;
}
