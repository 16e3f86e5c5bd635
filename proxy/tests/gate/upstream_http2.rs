//! HTTP/2 towards upstreams.

use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use http::{HeaderMap, Response};
use serde_json::json;
use tollgate_demo_ca::{DemoCa, Lifetime};
use tollgate_tls::{ClientAuth, TlsVersions};

use crate::rig::{Gate, PATIENCE, Setup, Upstream, assert_row, read_until};
use crate::upstream_rig::{H2Upstream, body_of, eventually, ok, post, status_of};

const HTTP2: &str = "    protocol: http2";

fn gate(upstream: &H2Upstream, extra: &str) -> Gate {
    Gate::with(&Setup { targets: &[upstream.url()], service: HTTP2, extra, ..Setup::default() })
}

#[test]
fn requests_are_one_unambiguous_request_of_http2() {
    let upstream = H2Upstream::answering(|request, respond| async move {
        let (parts, body) = request.into_parts();
        let mut text = format!("{} {} {:?}", parts.method, parts.uri, parts.version);
        for name in ["host", "connection", "transfer-encoding", "te", "content-length", "x-forwarded-host"] {
            text += &format!("\n{name}={}", parts.headers.get(name).map_or("-", |value| value.to_str().unwrap()));
        }
        let body = body_of(http::Request::new(body)).await;
        ok(respond, format!("{text}\n{body}"));
    });
    let gate = gate(&upstream, "");
    let answer = gate.exchange(
        "POST /api/x?page=1 HTTP/1.1\r\nHost: a\r\nTE: trailers\r\nConnection: close, TE\r\nTransfer-Encoding: chunked\r\n\r\n\
         5\r\nhello\r\n0\r\n\r\n",
    );
    let addr = upstream.addr;
    for expected in [
        &format!("POST http://{addr}/api/x?page=1 HTTP/2.0\n"),
        "host=-\nconnection=-\ntransfer-encoding=-\nte=trailers\ncontent-length=-\nx-forwarded-host=a\nhello",
    ] {
        assert!(answer.contains(expected), "{expected} in {answer}");
    }
    assert_row(
        &gate.one_record(),
        json!({
            "http.response.status_code": 200, "tollgate.termination": "complete", "http.request.body.size": 5,
            "tollgate.upstream_attempts": 1, "tollgate.upstream_reused": false,
        }),
    );
}

#[test]
fn many_requests_share_one_connection() {
    // No request is answered before all have arrived.
    let all = Arc::new(tokio::sync::Barrier::new(20));
    let upstream = H2Upstream::answering(move |_, respond| {
        let all = all.clone();
        async move {
            all.wait().await;
            ok(respond, "hello".into());
        }
    });
    let gate = gate(&upstream, "");
    std::thread::scope(|scope| {
        let clients: Vec<_> = (0..20).map(|_| scope.spawn(|| gate.get("/api"))).collect();
        for client in clients {
            assert!(client.join().unwrap().contains("hello"));
        }
    });
    assert_eq!((upstream.connections(), upstream.streams()), (1, 20));
    let rows = gate.finish();
    assert_eq!(rows.len(), 20);
    assert_eq!(rows.iter().filter(|row| row["tollgate.upstream_reused"] == false).count(), 1, "one of them dialled");
}

#[test]
fn an_upstream_gets_no_more_streams_than_it_takes() {
    let (now, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let seen = most.clone();
    let upstream = H2Upstream::start(
        |builder| {
            builder.max_concurrent_streams(2);
        },
        move |mut connection, _, streams| {
            let (now, most) = (now.clone(), most.clone());
            async move {
                // Counted for one connection.
                now.store(0, Ordering::SeqCst);
                while let Some(Ok((_, respond))) = connection.accept().await {
                    streams.fetch_add(1, Ordering::SeqCst);
                    most.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                    let now = now.clone();
                    tokio::task::spawn_local(async move {
                        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
                        now.fetch_sub(1, Ordering::SeqCst);
                        ok(respond, "hello".into());
                    });
                }
            }
        },
    );
    let gate = gate(&upstream, "limits: {upstream_connections_max: 1}\ntimeouts: {upstream_pending: 10s}");
    std::thread::scope(|scope| {
        let clients: Vec<_> = (0..16).map(|_| scope.spawn(|| gate.get("/api"))).collect();
        for client in clients {
            let answer = client.join().unwrap();
            assert!(answer.contains("hello"), "{answer}");
        }
    });
    assert_eq!((upstream.connections(), upstream.streams()), (1, 16));
    assert!(seen.load(Ordering::SeqCst) <= 2);
    assert_eq!(gate.finish().len(), 16);
}

#[test]
fn more_streams_than_one_connection_may_carry_take_another() {
    let all = Arc::new(tokio::sync::Barrier::new(4));
    let upstream = H2Upstream::answering(move |_, respond| {
        let all = all.clone();
        async move {
            all.wait().await;
            ok(respond, "hello".into());
        }
    });
    let gate = gate(&upstream, "limits: {upstream_streams_max: 2}");
    std::thread::scope(|scope| {
        let clients: Vec<_> = (0..4).map(|_| scope.spawn(|| gate.get("/api"))).collect();
        clients.into_iter().for_each(|client| assert!(client.join().unwrap().contains("hello")));
    });
    assert_eq!(upstream.connections(), 2);
}

/// An upstream whose first connection goes away once it has read the first request, unprocessed.
fn going_away() -> H2Upstream {
    H2Upstream::start(
        |_| {},
        |mut connection, nth, streams| async move {
            if nth == 0 {
                // GOAWAY with last stream 0, as nothing was accepted.
                connection.abrupt_shutdown(h2::Reason::NO_ERROR);
                while connection.accept().await.is_some() {}
                // Closing the socket with the body unread would send a reset, which may overtake the GOAWAY.
                return std::future::pending().await;
            }
            while let Some(Ok((request, respond))) = connection.accept().await {
                streams.fetch_add(1, Ordering::SeqCst);
                tokio::task::spawn_local(async move {
                    let body = body_of(request).await;
                    ok(respond, format!("got {body}"));
                });
            }
        },
    )
}

#[test]
fn what_an_upstream_that_goes_away_has_not_looked_at_is_sent_again_with_its_body() {
    let upstream = going_away();
    let gate = gate(&upstream, "");
    let answer = post(&gate, "hello");
    assert!(answer.contains("got hello"), "{answer}");
    assert_row(
        &gate.one_record(),
        json!({"tollgate.upstream_attempts": 2, "http.request.body.size": 5, "error.type": null}),
    );
}

/// An upstream that refuses the first stream.
pub fn refusing(reason: h2::Reason) -> H2Upstream {
    H2Upstream::start(
        |_| {},
        move |mut connection, _, streams| async move {
            while let Some(Ok((request, mut respond))) = connection.accept().await {
                if streams.fetch_add(1, Ordering::SeqCst) == 0 {
                    respond.send_reset(reason);
                    continue;
                }
                tokio::task::spawn_local(async move {
                    let body = body_of(request).await;
                    ok(respond, format!("got {body}"));
                });
            }
        },
    )
}

#[test]
fn a_refused_stream_is_sent_again() {
    let upstream = refusing(h2::Reason::REFUSED_STREAM);
    let gate = gate(&upstream, "");
    let answer = post(&gate, "hello");
    assert!(answer.contains("got hello"), "{answer}");
    assert_row(&gate.one_record(), json!({"tollgate.upstream_attempts": 2, "error.type": null}));
}

#[test]
fn a_body_past_the_bound_is_not_sent_again() {
    let upstream = refusing(h2::Reason::REFUSED_STREAM);
    let gate = gate(&upstream, "retries: {replay_bytes_max: 2 B}");
    // So large that part of it has passed when the refusal comes.
    let answer = post(&gate, &"x".repeat(100_000));
    assert_eq!(status_of(&answer), "502", "{answer}");
    assert_row(&gate.one_record(), json!({"tollgate.upstream_attempts": 1, "error.type": "upstream_reset"}));
}

#[test]
fn a_post_that_the_upstream_may_have_looked_at_is_never_sent_again() {
    let upstream = refusing(h2::Reason::INTERNAL_ERROR);
    let gate = gate(&upstream, "");
    assert_eq!(status_of(&post(&gate, "hello")), "502");
    assert_eq!(upstream.streams(), 1);
    assert_row(
        &gate.one_record(),
        json!({
            "tollgate.upstream_attempts": 1, "error.type": "upstream_reset", "tollgate.termination": "upstream",
            "http.response.status_code": 502,
        }),
    );
}

#[test]
fn trailers_pass_both_ways() {
    let upstream = H2Upstream::answering(|request, mut respond| async move {
        let mut body = request.into_body();
        while let Some(Ok(data)) = body.data().await {
            body.flow_control().release_capacity(data.len()).unwrap();
        }
        let sum = body.trailers().await.unwrap().map_or("none".to_owned(), |t| t["x-sum"].to_str().unwrap().to_owned());
        let mut stream = respond
            .send_response(Response::builder().header("trailer", "grpc-status").body(()).unwrap(), false)
            .unwrap();
        stream.send_data(Bytes::from(sum), false).unwrap();
        let mut trailers = HeaderMap::new();
        trailers.insert("grpc-status", "0".parse().unwrap());
        stream.send_trailers(trailers).unwrap();
    });
    let gate = gate(&upstream, "");
    let answer = gate.exchange(
        "POST /api HTTP/1.1\r\nHost: a\r\nTE: trailers\r\nConnection: close, TE\r\nTrailer: x-sum\r\n\
         Transfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\nx-sum: 7\r\n\r\n",
    );
    assert!(answer.contains("1\r\n7\r\n") && answer.ends_with("grpc-status: 0\r\n\r\n"), "{answer}");
    assert_row(&gate.one_record(), json!({"tollgate.termination": "complete", "http.response.body.size": 1}));
}

#[test]
fn a_client_that_leaves_resets_its_stream_alone() {
    let (reset, heard) = std::sync::mpsc::sync_channel(1);
    let upstream = H2Upstream::answering(move |request, mut respond| {
        let reset = reset.clone();
        async move {
            if request.uri().path() == "/api/slow" {
                let mut stream = respond.send_response(Response::new(()), false).unwrap();
                stream.send_data(Bytes::from_static(b"begun"), false).unwrap();
                let reason = std::future::poll_fn(|cx| stream.poll_reset(cx)).await.unwrap();
                reset.send(reason).unwrap();
            } else {
                ok(respond, "hello".into());
            }
        }
    });
    let gate = gate(&upstream, "");
    let mut stream = gate.connect();
    stream.write_all(b"GET /api/slow HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
    read_until(&mut stream, "begun").unwrap();
    drop(stream);
    assert_eq!(heard.recv_timeout(PATIENCE).unwrap(), h2::Reason::CANCEL);
    assert!(gate.get("/api").contains("hello"));
    assert_eq!(upstream.connections(), 1);
    let rows = gate.finish();
    assert_row(
        &rows[0],
        json!({
            "http.response.status_code": 499, "tollgate.termination": "client", "tollgate.upstream_status": 200,
            "http.response.body.size": 5,
        }),
    );
}

#[test]
fn an_early_answer_ends_the_upload() {
    let (reset, heard) = std::sync::mpsc::sync_channel(1);
    let upstream = H2Upstream::answering(move |request, respond| {
        let reset = reset.clone();
        async move {
            let mut body = request.into_body();
            ok(respond, "enough".into());
            let mut bytes = 0;
            while let Some(Ok(data)) = body.data().await {
                bytes += data.len();
                let _ended = body.flow_control().release_capacity(data.len());
            }
            let _ = reset.try_send(bytes);
        }
    });
    let gate = gate(&upstream, "");
    let mut stream = gate.connect();
    stream.write_all(b"POST /api HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\nbegun").unwrap();
    read_until(&mut stream, "enough").unwrap();
    // The gate reads no more of it than what is on its way.
    let _the_gate_may_have_closed = stream.write_all(&[b'x'; 100_000]);
    assert!(heard.recv_timeout(PATIENCE).unwrap() < 1_000_000);
    drop(stream);
    assert_row(&gate.one_record(), json!({"tollgate.termination": "complete", "http.response.status_code": 200}));
}

#[test]
fn informational_responses_are_not_the_answer() {
    let upstream = H2Upstream::answering(|_, mut respond| async move {
        respond.send_informational(Response::builder().status(103).body(()).unwrap()).unwrap();
        ok(respond, "hello".into());
    });
    let gate = gate(&upstream, "");
    let answer = gate.get("/api");
    assert!(status_of(&answer) == "200" && answer.contains("hello"), "{answer}");
    assert_row(&gate.one_record(), json!({"tollgate.upstream_status": 200}));
}

/// A TLS upstream that answers with the protocol that it agreed on.
fn tls_upstream(ca: &DemoCa, alpn: &'static [&'static str]) -> std::net::SocketAddr {
    let identity = ca.server("up", &["localhost"], Lifetime::days(1)).unwrap().identity().unwrap();
    let config = tollgate_tls::server(vec![identity], ClientAuth::None, alpn, TlsVersions::Tls12And13).unwrap();
    let socket = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    socket.set_nonblocking(true).unwrap();
    let addr = socket.local_addr().unwrap();
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async move {
            let listener = tokio::net::TcpListener::from_std(socket).unwrap();
            let acceptor = tokio_rustls::TlsAcceptor::from(config);
            while let Ok((stream, _)) = listener.accept().await {
                let acceptor = acceptor.clone();
                tokio::spawn(async move {
                    let Ok(stream) = acceptor.accept(stream).await else { return };
                    let http2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
                    let io = hyper_util::rt::TokioIo::new(stream);
                    let service =
                        hyper::service::service_fn(|request: http::Request<hyper::body::Incoming>| async move {
                            let text = format!("{:?} {}", request.version(), request.uri());
                            Ok::<_, std::convert::Infallible>(Response::new(http_body_util::Full::new(Bytes::from(
                                text,
                            ))))
                        });
                    let exec = hyper_util::rt::TokioExecutor::new();
                    if http2 {
                        let _ended = hyper::server::conn::http2::Builder::new(exec).serve_connection(io, service).await;
                    } else {
                        let _ended = hyper::server::conn::http1::Builder::new().serve_connection(io, service).await;
                    }
                });
            }
        });
    });
    addr
}

#[test]
fn over_tls_alpn_decides() {
    let table: [(&str, &'static [&'static str], &str); 5] = [
        ("http2", &["h2", "http/1.1"], "HTTP/2.0 https://localhost"),
        ("auto", &["h2", "http/1.1"], "HTTP/2.0 https://localhost"),
        ("auto", &["http/1.1"], "HTTP/1.1 /api"),
        ("auto", &[], "HTTP/1.1 /api"),
        ("http1", &["h2", "http/1.1"], "HTTP/1.1 /api"),
    ];
    for (protocol, alpn, expected) in table {
        let dir = tempfile::tempdir().unwrap();
        let ca = DemoCa::open(&dir.path().join("tls")).unwrap();
        let addr = tls_upstream(&ca, alpn);
        let collector = crate::collector::Collector::start(&ca);
        let service = format!("    protocol: {protocol}\n    tls: {{ca: tls/ca.pem}}");
        let targets = [format!("https://localhost:{}", addr.port())];
        let gate =
            Gate::around(dir, ca, collector, &Setup { targets: &targets, service: &service, ..Setup::default() });
        for _ in 0..2 {
            let answer = gate.get("/api");
            assert!(answer.contains(expected), "{protocol} {alpn:?}: {answer}");
        }
        let rows = gate.finish();
        assert!(rows[0]["tollgate.upstream_tls_us"].is_i64());
        assert_row(&rows[1], json!({"tollgate.upstream_reused": true, "tollgate.upstream_tls_us": null}));
    }
}

#[test]
fn an_upstream_that_does_not_agree_to_http2_is_told_apart() {
    let dir = tempfile::tempdir().unwrap();
    let ca = DemoCa::open(&dir.path().join("tls")).unwrap();
    let addr = tls_upstream(&ca, &[]);
    let collector = crate::collector::Collector::start(&ca);
    let targets = [format!("https://localhost:{}", addr.port())];
    let service = "    protocol: http2\n    tls: {ca: tls/ca.pem}";
    let gate = Gate::around(dir, ca, collector, &Setup { targets: &targets, service, ..Setup::default() });
    assert_eq!(status_of(&gate.get("/api")), "502");
    let row = gate.one_record();
    assert_row(&row, json!({"error.type": "upstream_tls", "tollgate.termination": "upstream"}));
    assert!(row["error.message"].as_str().unwrap().contains("ALPN"), "{row:#}");
}

#[test]
fn an_upstream_that_does_not_speak_http2_fails_all_who_wait() {
    let upstream = Upstream::answering(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n");
    let targets = [format!("http://{}", upstream.addr)];
    let gate = Gate::with(&Setup { targets: &targets, service: HTTP2, ..Setup::default() });
    std::thread::scope(|scope| {
        let clients: Vec<_> = (0..4).map(|_| scope.spawn(|| gate.get("/api"))).collect();
        clients.into_iter().for_each(|client| assert_eq!(status_of(&client.join().unwrap()), "502"));
    });
    let rows = gate.finish();
    assert_eq!(rows.len(), 4);
    for row in rows {
        let class = row["error.type"].as_str().unwrap();
        assert!(["upstream_protocol", "upstream_reset"].contains(&class), "{row:#}");
    }
}

#[test]
fn an_idle_connection_is_closed_and_another_opened() {
    let upstream = H2Upstream::answering(|_, respond| async move { ok(respond, "hello".into()) });
    let gate = gate(&upstream, "timeouts: {upstream_idle: 50ms}");
    assert!(gate.get("/api").contains("hello"));
    eventually("the connection is closed", || {
        crate::rig::get_text(gate.admin, "/upstreams").contains("\"connections\":0")
    });
    assert!(gate.get("/api").contains("hello"));
    assert_eq!(upstream.connections(), 2);
}

#[tokio::test]
async fn a_stream_in_both_directions_goes_message_by_message() {
    use http_body_util::{BodyExt, StreamBody};
    let upstream = H2Upstream::answering(|request, mut respond| async move {
        assert_eq!(request.headers()["te"], "trailers");
        let mut body = request.into_body();
        let mut stream = respond.send_response(Response::new(()), false).unwrap();
        while let Some(Ok(data)) = body.data().await {
            body.flow_control().release_capacity(data.len()).unwrap();
            stream.send_data(data, false).unwrap();
        }
        let mut trailers = HeaderMap::new();
        trailers.insert("grpc-status", "0".parse().unwrap());
        stream.send_trailers(trailers).unwrap();
    });
    let gate = gate(&upstream, "");
    let config = tollgate_tls::client(Some(gate.ca.roots()), None, &["h2"]).unwrap();
    let socket = tokio::net::TcpStream::connect(gate.tls).await.unwrap();
    let connector = tokio_rustls::TlsConnector::from(config);
    let socket = connector.connect("localhost".try_into().unwrap(), socket).await.unwrap();
    let io = hyper_util::rt::TokioIo::new(socket);
    let executor = hyper_util::rt::TokioExecutor::new();
    let (mut sender, connection) = hyper::client::conn::http2::handshake(executor, io).await.unwrap();
    tokio::spawn(connection);
    let (messages, mut sent) = tokio::sync::mpsc::channel::<Bytes>(1);
    let frames = futures::stream::poll_fn(move |cx| {
        sent.poll_recv(cx).map(|message| message.map(|m| Ok::<_, std::convert::Infallible>(http_body::Frame::data(m))))
    });
    let request = http::Request::post("https://localhost/api").header("te", "trailers");
    let answering = sender.send_request(request.body(StreamBody::new(frames)).unwrap());
    messages.send(Bytes::from_static(b"0")).await.unwrap();
    let mut body = answering.await.unwrap().into_body();
    for nth in 1..10 {
        // Each request is sent once the one before is answered.
        let echoed = body.frame().await.unwrap().unwrap().into_data().unwrap();
        assert_eq!(echoed, format!("{}", nth - 1));
        messages.send(Bytes::from(format!("{nth}"))).await.unwrap();
    }
    drop(messages);
    body.frame().await.unwrap().unwrap().into_data().unwrap();
    assert_eq!(body.frame().await.unwrap().unwrap().into_trailers().unwrap()["grpc-status"], "0");
    drop((body, sender));
    let row = tokio::task::spawn_blocking(move || gate.one_record()).await.unwrap();
    assert_row(
        &row,
        json!({
            "tollgate.termination": "complete", "http.request.body.size": 10, "http.response.body.size": 10,
            "network.protocol.version": "2", "error.type": null,
        }),
    );
}
