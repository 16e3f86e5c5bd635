//! Endings by the upstream: it was not there, left, or broke the protocol.

use std::io::{Read, Write};

use tollgate_demo_ca::{DemoCa, Lifetime};
use tollgate_record::vocabulary::{ErrorClass, Termination};
use tollgate_tls::{ClientAuth, TlsVersions};

use super::{
    ANSWERED, Bytes, CONNECT, DNS, GATEWAY, GET, RECEIVE, TLS, TTFB, UNANSWERED, Way, asked, asked_before, gate, says,
};
use crate::collector::Collector;
use crate::rig::{Gate, Setup, Upstream, read_until};
use crate::tunnel::ASK;
use crate::upstream_http2::refusing;
use crate::upstream_rig::{Nobody, post};

const fn upstream(class: ErrorClass) -> (Termination, Option<ErrorClass>) {
    (Termination::Upstream, Some(class))
}

pub fn ways() -> Vec<Way> {
    [not_there(), without_an_answer(), breaks_off()].concat()
}

/// A gate that trusts one authority, before an HTTP/1.1 upstream with a certificate of another authority, or of the
/// same.
fn before_tls(trusted: bool, protocol: &str) -> Gate {
    let dir = tempfile::tempdir().unwrap();
    let ca = DemoCa::open(&dir.path().join("tls")).unwrap();
    let other = DemoCa::open(&dir.path().join("other")).unwrap();
    let issuer = if trusted { &ca } else { &other };
    let identity = issuer.server("up", &["localhost"], Lifetime::days(1)).unwrap().identity().unwrap();
    let config = tollgate_tls::server(vec![identity], ClientAuth::None, &[], TlsVersions::Tls12And13).unwrap();
    let upstream = Upstream::start(move |mut stream, _| {
        let mut connection = rustls::ServerConnection::new(config.clone()).unwrap();
        let _it_may_fail = connection.complete_io(&mut stream);
        let _until_the_end = stream.read_to_end(&mut Vec::new());
    });
    let targets = [format!("https://localhost:{}", upstream.addr.port())];
    let service = format!("    protocol: {protocol}\n    tls: {{ca: tls/ca.pem}}");
    let collector = Collector::start(&ca);
    Gate::around(dir, ca, collector, &Setup { targets: &targets, service: &service, ..Setup::default() })
}

/// The gateway replies in the upstream's place.
const GONE: Way = Way { status: Some(502), ..UNANSWERED };

fn not_there() -> Vec<Way> {
    const NO_TLS: Way = Way { ended: upstream(ErrorClass::UpstreamTls), times: &[GATEWAY, DNS, CONNECT, TLS], ..GONE };
    vec![
        Way {
            name: "an upstream that is not there",
            provoke: || {
                let gone = Nobody::there();
                asked(gate(&gone.url(), [""; 3]), GET)
            },
            ended: upstream(ErrorClass::ConnectRefused),
            detail: "the upstream cannot be connected to",
            ..GONE
        },
        Way {
            name: "an upstream whose certificate is not trusted",
            provoke: || asked(before_tls(false, "auto"), GET),
            detail: "TLS with ",
            ..NO_TLS
        },
        Way {
            name: "an upstream that does not agree to HTTP/2",
            provoke: || asked(before_tls(true, "http2"), GET),
            detail: "the upstream does not agree to HTTP/2 by ALPN",
            ..NO_TLS
        },
    ]
}

fn without_an_answer() -> Vec<Way> {
    const RESET: Way = Way { ended: upstream(ErrorClass::UpstreamReset), times: &[GATEWAY, CONNECT, TTFB], ..GONE };
    const BROKEN: Way = Way { ended: upstream(ErrorClass::UpstreamProtocol), ..RESET };
    vec![
        Way {
            name: "an upstream that closes without an answer",
            provoke: || asked_before(&says(b""), "", GET),
            detail: "closed before it answered",
            ..RESET
        },
        Way {
            name: "an upstream that closes within its head",
            provoke: || asked_before(&says(b"HTTP/1.1 200 OK\r\ncontent-le"), "", GET),
            detail: "closed before it answered",
            ..RESET
        },
        Way {
            name: "an HTTP/2 upstream that ends the stream",
            provoke: || {
                let upstream = refusing(h2::Reason::INTERNAL_ERROR);
                let gate = gate(&upstream.url(), ["    protocol: http2", "", ""]);
                let answer = post(&gate, "hello");
                (gate, answer)
            },
            detail: "ended the stream",
            bytes: (Bytes::Just(5), Bytes::Answered),
            ..RESET
        },
        Way {
            name: "an upstream that does not speak HTTP",
            provoke: || asked_before(&says(b"this is not HTTP\r\n\r\n"), "", GET),
            detail: "did not answer in HTTP",
            ..BROKEN
        },
        Way {
            name: "an upstream that frames its answer in two ways",
            provoke: || {
                let answer = b"HTTP/1.1 200 OK\r\ntransfer-encoding: gzip, chunked\r\n\r\n0\r\n\r\n";
                asked_before(&says(answer), "", GET)
            },
            upstream_status: Some(200),
            times: &[GATEWAY, CONNECT, TTFB, RECEIVE],
            detail: "ransfer",
            ..BROKEN
        },
        Way {
            name: "an upstream that switches unasked",
            provoke: || {
                let answer = b"HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: x\r\n\r\n";
                asked_before(&says(answer), "", GET)
            },
            upstream_status: Some(101),
            times: &[GATEWAY, CONNECT, TTFB, RECEIVE],
            detail: "switched to a protocol that it was not offered",
            ..BROKEN
        },
    ]
}

fn breaks_off() -> Vec<Way> {
    vec![
        Way {
            name: "an upstream that breaks off within its body",
            provoke: || asked_before(&says(b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nhalf"), "", GET),
            ended: upstream(ErrorClass::UpstreamReset),
            detail: "the upstream closed before its response was complete",
            ..ANSWERED
        },
        Way {
            name: "an upstream's own error that breaks off",
            provoke: || asked_before(&says(b"HTTP/1.1 500 No\r\ncontent-length: 100\r\n\r\nhalf"), "", GET),
            ended: upstream(ErrorClass::UpstreamReset),
            detail: "the upstream closed before its response was complete",
            status: Some(500),
            upstream_status: Some(500),
            ..ANSWERED
        },
        Way {
            name: "an upstream that frames its body wrongly",
            provoke: || {
                let answer = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n4\r\nhalf\r\nxx\r\n";
                asked_before(&says(answer), "", GET)
            },
            ended: upstream(ErrorClass::UpstreamProtocol),
            detail: "the upstream's response body is framed wrongly",
            bytes: (Bytes::Just(0), Bytes::Just(4)),
            ..ANSWERED
        },
        Way {
            name: "an upstream that resets a tunnel",
            provoke: || {
                let upstream = Upstream::start(|mut stream, _| {
                    read_until(&mut stream, "\r\n\r\n");
                    let head =
                        "HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\nhi";
                    stream.write_all(head.as_bytes()).unwrap();
                    stream.peek(&mut [0]).unwrap();
                    // With bytes left unread, closing is a reset.
                });
                let gate = Gate::before(&upstream, "");
                let mut stream = gate.connect();
                stream.write_all(ASK.as_bytes()).unwrap();
                let answer = read_until(&mut stream, "\r\n\r\nhi").unwrap();
                stream.write_all(b"hello").unwrap();
                let _closed = stream.read_to_end(&mut Vec::new());
                (gate, answer)
            },
            ended: upstream(ErrorClass::UpstreamReset),
            detail: "the tunnel broke",
            status: Some(101),
            upstream_status: Some(101),
            bytes: (Bytes::Just(5), Bytes::Just(2)),
            ..ANSWERED
        },
    ]
}
