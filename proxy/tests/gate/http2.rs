//! HTTP/2 towards clients.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::Request;
use http_body_util::{BodyExt, Collected, Empty, Full, Limited};
use hyper::body::Incoming;
use hyper::client::conn::http2::{self, SendRequest};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::ClientConfig;
use serde_json::json;
use tokio::net::TcpStream;

use crate::reload::admin;
use crate::rig::{Gate, PATIENCE, Setup, Upstream, assert_row, read_request};

pub type Body = http_body_util::combinators::BoxBody<Bytes, std::convert::Infallible>;

pub async fn connect(addr: SocketAddr, config: Arc<ClientConfig>) -> SendRequest<Body> {
    let stream = TcpStream::connect(addr).await.unwrap();
    let connector = tokio_rustls::TlsConnector::from(config);
    let stream = connector.connect("localhost".try_into().unwrap(), stream).await.unwrap();
    let (sender, connection) = http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    sender
}

#[expect(clippy::disallowed_methods, reason = "limited")]
pub async fn read(body: Incoming) -> Collected<Bytes> {
    Limited::new(body, 1 << 20).collect().await.unwrap()
}

fn config(gate: &Gate) -> Arc<ClientConfig> {
    tollgate_tls::client(Some(gate.ca.roots()), None, &["h2"]).unwrap()
}

#[tokio::test]
async fn requests_share_a_connection_and_each_leaves_a_record() {
    let upstream = Upstream::echo();
    let targets = [format!("http://{}", upstream.addr)];
    let gate = Gate::with(&Setup { targets: &targets, service: "    host: client", ..Setup::default() });
    let mut sender = connect(gate.tls, config(&gate)).await;
    let request = Request::post("https://localhost/api/x?page=1")
        .header("cookie", "a=1")
        .header("cookie", "b=2")
        .header("te", "trailers")
        .body(Full::from("hello").boxed())
        .unwrap();
    let first = sender.send_request(request).await.unwrap();
    let id = first.headers()["x-request-id"].to_str().unwrap().to_owned();
    let echoed = read(first.into_body()).await.to_bytes();
    let echoed = String::from_utf8_lossy(&echoed).to_ascii_lowercase();
    assert!(echoed.starts_with("post /api/x?page=1 http/1.1\r\n"), "{echoed}");
    for field in [
        "cookie: a=1; b=2\r\n",
        "te: trailers\r\n",
        "host: localhost\r\n",
        "x-forwarded-proto: https\r\n",
        "x-forwarded-for: 127.0.0.1\r\n",
        &format!("x-request-id: {id}\r\n"),
    ] {
        assert!(echoed.contains(field), "{field} in {echoed}");
    }
    let request = Request::get("https://localhost/nowhere").body(Empty::new().boxed()).unwrap();
    let second = sender.send_request(request).await.unwrap();
    assert_eq!(second.status(), 404);
    read(second.into_body()).await;
    drop(sender);
    let rows = tokio::task::spawn_blocking(move || gate.finish()).await.unwrap();
    assert_eq!(rows.len(), 2);
    assert_row(
        &rows[0],
        json!({
            "network.protocol.version": "2", "tls.next_protocol": "h2", "http.request.body.size": 5,
            "http.response.status_code": 200, "server.address": "localhost", "http.request.id": id,
        }),
    );
    assert_row(&rows[1], json!({"network.protocol.version": "2", "error.type": "no_route"}));
}

#[tokio::test]
async fn a_stream_that_is_reset_is_a_client_abort() {
    let upstream = Upstream::start(|mut stream, _| {
        use std::io::{Read, Write};
        read_request(&mut stream);
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 1000000\r\n\r\nbegun");
        let _ = stream.read(&mut [0]);
    });
    let gate = Gate::before(&upstream, "");
    let mut sender = connect(gate.tls, config(&gate)).await;
    let request = Request::get("https://localhost/api").body(Empty::new().boxed()).unwrap();
    let mut response = sender.send_request(request).await.unwrap();
    response.body_mut().frame().await.unwrap().unwrap();
    drop(response);
    let row = tokio::task::spawn_blocking(move || {
        gate.rows(1);
        gate.one_record()
    });
    assert_row(
        &row.await.unwrap(),
        json!({
            "http.response.status_code": 499, "error.type": "client_abort", "tollgate.termination": "client",
            "tollgate.upstream_status": 200, "http.response.body.size": 5,
        }),
    );
}

#[tokio::test]
async fn grpc_trailers_pass() {
    let upstream = Upstream::start(|mut stream, _| {
        use std::io::Write;
        read_request(&mut stream);
        let answer = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\ntrailer: grpc-status\r\n\r\n2\r\nok\r\n0\r\ngrpc-status: 0\r\n\r\n";
        let _ = stream.write_all(answer);
    });
    let gate = Gate::before(&upstream, "");
    let mut sender = connect(gate.tls, config(&gate)).await;
    let request = Request::get("https://localhost/api").header("te", "trailers").body(Empty::new().boxed()).unwrap();
    let body = read(sender.send_request(request).await.unwrap().into_body()).await;
    assert_eq!(body.trailers().unwrap()["grpc-status"], "0");
    let row = tokio::task::spawn_blocking(move || gate.one_record()).await.unwrap();
    assert_row(&row, json!({"tollgate.termination": "complete", "http.response.body.size": 2}));
}

#[tokio::test]
async fn an_idle_connection_is_closed() {
    let gate = Gate::before(&Upstream::echo(), "timeouts: {http2_idle: 200ms}");
    let mut sender = connect(gate.tls, config(&gate)).await;
    tokio::time::timeout(crate::rig::PATIENCE, async {
        while sender.ready().await.is_ok() {
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    })
    .await
    .unwrap();
    assert!(tokio::task::spawn_blocking(move || gate.finish()).await.unwrap().is_empty());
}

#[tokio::test]
async fn a_client_is_sent_to_another_connection_where_another_certificate_policy_is_in_force() {
    let gate = Gate::before(&Upstream::echo(), "");
    let mut sender = connect(gate.tls, config(&gate)).await;
    let get = || Request::get("https://localhost/api").body(Empty::new().boxed()).unwrap();
    assert_eq!(sender.send_request(get()).await.unwrap().status(), 200);
    gate.edit("client_auth: optional", "client_auth: required");
    assert!(admin(gate.admin, "POST", "/reload").starts_with("HTTP/1.1 200"));
    assert_eq!(sender.send_request(get()).await.unwrap().status(), 421);
    let gone = async {
        while !sender.is_closed() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(PATIENCE, gone).await.expect("GOAWAY");
}

#[tokio::test]
async fn a_client_that_never_opens_its_window_is_cut() {
    let gate = Gate::before(&Upstream::echo(), "timeouts: {total: 300ms}");
    let connector = tokio_rustls::TlsConnector::from(config(&gate));
    let socket = TcpStream::connect(gate.tls).await.unwrap();
    let socket = connector.connect("localhost".try_into().unwrap(), socket).await.unwrap();
    let mut builder = http2::Builder::new(TokioExecutor::new());
    builder.initial_stream_window_size(0);
    let (mut sender, connection) = builder.handshake(TokioIo::new(socket)).await.unwrap();
    tokio::spawn(connection);
    let request = Request::get("https://localhost/api").body(Empty::new().boxed() as Body).unwrap();
    let response = sender.send_request(request).await.unwrap();
    let row = tokio::task::spawn_blocking(move || {
        gate.rows(1);
        gate.one_record()
    });
    assert_row(
        &row.await.unwrap(),
        json!({
            "http.response.status_code": 499, "error.type": "client_abort", "tollgate.termination": "client",
            "error.message": "the client did not take the response in time",
        }),
    );
    drop(response);
}

#[tokio::test]
async fn a_header_list_over_its_bound_is_refused_and_recorded() {
    let gate = Gate::before(&Upstream::echo(), "http2: {header_list_bytes_max: 4096}");
    let mut sender = connect(gate.tls, config(&gate)).await;
    let request = Request::get("https://localhost/api").header("x-long", "x".repeat(6_000));
    let response = sender.send_request(request.body(Empty::new().boxed()).unwrap()).await.unwrap();
    assert_eq!(response.status(), 431);
    read(response.into_body()).await;
    drop(sender);
    let row = tokio::task::spawn_blocking(move || gate.one_record()).await.unwrap();
    assert_row(&row, json!({"http.response.status_code": 431, "error.type": "too_large"}));
}

#[tokio::test]
async fn the_number_of_fields_is_bounded_and_recorded() {
    let gate = Gate::before(&Upstream::echo(), "limits: {headers_max: 5}");
    let mut sender = connect(gate.tls, config(&gate)).await;
    for (fields, status) in [(5, 200), (6, 431)] {
        let request = Request::get("https://api.example.com/api");
        let request = (0..fields).fold(request, |request, nth| request.header(format!("x-{nth}"), "1"));
        let response = sender.send_request(request.body(Body::default()).unwrap()).await.unwrap();
        assert_eq!(response.status(), status, "{fields}");
        read(response.into_body()).await;
    }
    drop(sender);
    let rows = tokio::task::spawn_blocking(move || gate.finish()).await.unwrap();
    assert_eq!(rows.len(), 2, "{rows:#?}");
    let expected = json!({"http.response.status_code": 431, "error.type": "too_large", "url.path": "/api"});
    assert_row(&rows[1], expected);
}
