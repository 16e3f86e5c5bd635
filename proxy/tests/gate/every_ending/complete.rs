//! Endings that are complete.

use std::io::{Read, Write};

use tollgate_record::vocabulary::{ErrorClass, Termination};

use super::{ANSWERED, Bytes, CONNECT, DNS, GATEWAY, GET, OK, RECEIVE, TTFB, Way, asked, asked_before, gate, says};
use crate::rig::{Gate, Upstream, read_request, read_until};
use crate::tunnel::ASK;
use crate::upstream_http2::refusing;
use crate::upstream_rig::{H2Upstream, ok, post};

pub fn ways() -> Vec<Way> {
    [bodies(), connections(), whatever_is_said()].concat()
}

fn connections() -> Vec<Way> {
    vec![
        Way {
            name: "a pooled connection closes, and a new one is tried",
            provoke: || {
                let upstream = Upstream::start(|mut stream, nth| {
                    read_request(&mut stream);
                    let _ = stream.write_all(OK);
                    if nth == 0 {
                        read_request(&mut stream);
                    }
                });
                let gate = Gate::before(&upstream, "");
                gate.exchange(GET);
                asked(gate, GET)
            },
            attempts: Some(2),
            row: (1, 2),
            ..ANSWERED
        },
        Way {
            name: "a refused stream is sent again",
            provoke: || {
                let gate = gate(&refusing(h2::Reason::REFUSED_STREAM).url(), ["    protocol: http2", "", ""]);
                let answer = post(&gate, "hello");
                (gate, answer)
            },
            attempts: Some(2),
            bytes: (Bytes::Just(5), Bytes::Just(9)),
            ..ANSWERED
        },
        Way {
            name: "a name is looked up",
            provoke: || {
                let upstream = Upstream::answering(OK);
                asked(gate(&format!("http://localhost:{}", upstream.addr.port()), [""; 3]), GET)
            },
            times: &[GATEWAY, DNS, CONNECT, TTFB, RECEIVE],
            ..ANSWERED
        },
        Way {
            name: "a connection is reused",
            provoke: || {
                let gate = Gate::before(&Upstream::answering(OK), "");
                gate.exchange(GET);
                asked(gate, GET)
            },
            times: &[GATEWAY, TTFB, RECEIVE],
            row: (1, 2),
            ..ANSWERED
        },
        Way {
            name: "an upstream speaks HTTP/2",
            provoke: || {
                let upstream = H2Upstream::answering(|_, respond| async move { ok(respond, "hello".into()) });
                let gate = gate(&upstream.url(), ["    protocol: http2", "", ""]);
                let answer = post(&gate, "hello");
                (gate, answer)
            },
            bytes: (Bytes::Just(5), Bytes::Just(5)),
            ..ANSWERED
        },
    ]
}

fn whatever_is_said() -> Vec<Way> {
    vec![
        Way {
            name: "an upstream's own error passes",
            provoke: || asked_before(&says(b"HTTP/1.1 503 Busy\r\ncontent-length: 4\r\n\r\nbusy"), "", GET),
            ended: (Termination::Complete, Some(ErrorClass::Upstream5xx)),
            status: Some(503),
            upstream_status: Some(503),
            ..ANSWERED
        },
        Way {
            name: "a tunnel is closed by both",
            provoke: || {
                let upstream = Upstream::start(|mut stream, _| {
                    read_until(&mut stream, "\r\n\r\n");
                    let head = "HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n";
                    stream.write_all(head.as_bytes()).unwrap();
                    let mut heard = Vec::new();
                    stream.read_to_end(&mut heard).unwrap();
                    stream.write_all(&[b"heard ", &heard[..]].concat()).unwrap();
                });
                let gate = Gate::before(&upstream, "");
                let mut stream = gate.connect();
                stream.write_all(ASK.as_bytes()).unwrap();
                let mut answer = read_until(&mut stream, "\r\n\r\n").unwrap();
                stream.write_all(b"hello").unwrap();
                stream.shutdown(std::net::Shutdown::Write).unwrap();
                stream.read_to_string(&mut answer).unwrap();
                (gate, answer)
            },
            status: Some(101),
            upstream_status: Some(101),
            bytes: (Bytes::Just(5), Bytes::Just(11)),
            ..ANSWERED
        },
    ]
}

fn bodies() -> Vec<Way> {
    vec![
        Way {
            name: "a body of known length both ways",
            provoke: || {
                let request = "POST /api HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nConnection: close\r\n\r\nabc";
                asked_before(&Upstream::answering(OK), "", request)
            },
            bytes: (Bytes::Just(3), Bytes::Just(5)),
            ..ANSWERED
        },
        Way {
            name: "chunks both ways: what is counted is their data",
            provoke: || {
                let answer = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nhe\r\n3\r\nllo\r\n0\r\n\r\n";
                let request = "POST /api HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n\
                               3\r\nabc\r\n1\r\nd\r\n0\r\n\r\n";
                asked_before(&Upstream::answering(answer), "", request)
            },
            bytes: (Bytes::Just(4), Bytes::Just(5)),
            ..ANSWERED
        },
        Way {
            name: "to the end of the connection",
            provoke: || asked_before(&says(b"HTTP/1.0 200 OK\r\n\r\nhello"), "", GET),
            bytes: (Bytes::Just(0), Bytes::Just(5)),
            ..ANSWERED
        },
        Way {
            name: "HEAD has no body",
            provoke: || {
                let request = "HEAD /api HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
                asked_before(&says(b"HTTP/1.1 200 OK\r\ncontent-length: 7\r\n\r\n"), "", request)
            },
            bytes: (Bytes::Just(0), Bytes::Just(0)),
            ..ANSWERED
        },
        Way {
            name: "204 has none either",
            provoke: || asked_before(&says(b"HTTP/1.1 204 No Content\r\n\r\n"), "", GET),
            status: Some(204),
            upstream_status: Some(204),
            bytes: (Bytes::Just(0), Bytes::Just(0)),
            ..ANSWERED
        },
        Way {
            name: "an answer that comes before the body ends the upload",
            provoke: || {
                let upstream = super::begins(b"HTTP/1.1 413 Too Large\r\ncontent-length: 2\r\n\r\nno");
                let gate = Gate::before(&upstream, "");
                let mut stream = gate.connect();
                stream.write_all(b"POST /api HTTP/1.1\r\nHost: a\r\nContent-Length: 1000\r\n\r\nbegun").unwrap();
                let answer = read_until(&mut stream, "no").unwrap();
                (gate, answer)
            },
            status: Some(413),
            upstream_status: Some(413),
            bytes: (Bytes::Just(5), Bytes::Just(2)),
            ..ANSWERED
        },
    ]
}
