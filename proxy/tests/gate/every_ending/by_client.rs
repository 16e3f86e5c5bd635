//! Endings by the client: it left, stopped, or refused.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::mpsc::sync_channel;
use std::time::Duration;

use tollgate_record::vocabulary::{ErrorClass, Termination};

use super::{
    ANSWERED, Bytes, CONNECT, DNS, GATEWAY, NO_HEAD, Provoked, TLS, TTFB, UNANSWERED, Way, begins, silent_tls,
};
use crate::rig::{Gate, PATIENCE, Upstream, read_request, read_until};
use crate::tunnel::ASK;

const LEFT: (Termination, Option<ErrorClass>) = (Termination::Client, Some(ErrorClass::ClientAbort));

pub fn ways() -> Vec<Way> {
    [before_the_answer(), within_the_answer(), tunnels(), handshakes()].concat()
}

/// Sends these bytes, waits until the upstream has them, and leaves.
fn leaves_once(gate: Gate, heard: &std::sync::mpsc::Receiver<()>, request: &[u8]) -> Provoked {
    let mut stream = gate.connect();
    stream.write_all(request).unwrap();
    heard.recv_timeout(PATIENCE).unwrap();
    std::thread::sleep(Duration::from_millis(30));
    stream.shutdown(Shutdown::Both).unwrap();
    (gate, String::new())
}

/// An upstream that reports when a request has arrived, and does not answer.
fn mute() -> (Upstream, std::sync::mpsc::Receiver<()>) {
    let (told, heard) = sync_channel(8);
    let upstream = Upstream::start(move |mut stream, _| {
        read_until(&mut stream, "\r\n\r\n");
        told.send(()).unwrap();
        let _until_the_end = stream.read_to_end(&mut Vec::new());
    });
    (upstream, heard)
}

fn before_the_answer() -> Vec<Way> {
    vec![
        Way {
            name: "the client leaves within its head",
            provoke: || {
                let gate = Gate::before(&begins(b""), "");
                let mut stream = gate.connect();
                stream.write_all(b"GET /api HTTP/1.1\r\nHos").unwrap();
                std::thread::sleep(Duration::from_millis(30));
                (gate, String::new())
            },
            ended: LEFT,
            detail: "the client left before its request head was complete",
            status: Some(499),
            source: None,
            waited: Some(("total_us", 20_000)),
            ..NO_HEAD
        },
        Way {
            name: "the client leaves during the handshake with the upstream",
            provoke: || {
                let (gate, heard) = silent_tls("");
                leaves_once(gate, &heard, b"GET /api HTTP/1.1\r\nHost: a\r\n\r\n")
            },
            ended: LEFT,
            detail: "the client left before the response began",
            status: Some(499),
            source: None,
            times: &[GATEWAY, DNS, CONNECT, TLS],
            waited: Some((TLS, 20_000)),
            bytes: (Bytes::Just(0), Bytes::Just(0)),
            ..UNANSWERED
        },
        Way {
            name: "the client leaves before the answer begins",
            provoke: || {
                let (upstream, heard) = mute();
                leaves_once(Gate::before(&upstream, ""), &heard, b"GET /api HTTP/1.1\r\nHost: a\r\n\r\n")
            },
            ended: LEFT,
            detail: "the client left before the response began",
            status: Some(499),
            source: None,
            times: &[GATEWAY, CONNECT, TTFB],
            waited: Some((TTFB, 20_000)),
            bytes: (Bytes::Just(0), Bytes::Just(0)),
            ..UNANSWERED
        },
        Way {
            name: "the client ends its stream within its body",
            provoke: || {
                let gate = Gate::before(&begins(b""), "");
                let mut stream = gate.connect();
                stream.write_all(b"POST /api HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\n0123456789").unwrap();
                stream.shutdown(Shutdown::Write).unwrap();
                // It may still read, so it gets an answer.
                let mut answer = String::new();
                stream.read_to_string(&mut answer).unwrap();
                (gate, answer)
            },
            ended: LEFT,
            detail: "the client left while sending its body",
            status: Some(499),
            times: &[GATEWAY, CONNECT, TTFB],
            bytes: (Bytes::Just(10), Bytes::Answered),
            ..UNANSWERED
        },
    ]
}

/// An upstream whose answer outlasts the test.
fn endless() -> Upstream {
    Upstream::start(|mut stream, _| {
        read_request(&mut stream);
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 1000000000000\r\n\r\n");
        while stream.write_all(&[b'x'; 65_536]).is_ok() {}
    })
}

/// Sends a request, and reads nothing.
fn takes_nothing(extra: &str) -> Provoked {
    let gate = Gate::before(&endless(), extra);
    let mut stream = gate.connect();
    stream.write_all(b"GET /api HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
    gate.rows(1);
    (gate, String::new())
}

const AFTER: Way = Way { ended: LEFT, status: Some(499), ..ANSWERED };

fn within_the_answer() -> Vec<Way> {
    vec![
        Way {
            name: "the client leaves within the answer",
            provoke: || {
                let gate = Gate::before(&begins(b"HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\nbegun"), "");
                let mut stream = gate.connect();
                stream.write_all(b"GET /api HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
                let answer = read_until(&mut stream, "begun").unwrap();
                (gate, answer)
            },
            detail: "the client left before the response was complete",
            bytes: (Bytes::Just(0), Bytes::Just(5)),
            ..AFTER
        },
        Way {
            name: "the client leaves within its body when the answer has begun",
            provoke: || {
                let gate = Gate::before(&begins(b"HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\nbegun"), "");
                let mut stream = gate.connect();
                stream.write_all(b"POST /api HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\n0123456789").unwrap();
                let answer = read_until(&mut stream, "begun").unwrap();
                (gate, answer)
            },
            detail: "the client left",
            bytes: (Bytes::Just(10), Bytes::Just(5)),
            ..AFTER
        },
        Way {
            name: "the client stops reading, and its socket with it",
            provoke: || takes_nothing("timeouts: {client_write: 200ms}"),
            detail: "the client stopped reading",
            bytes: (Bytes::Just(0), Bytes::AtLeast(65_536)),
            waited: Some(("total_us", 200_000)),
            ..AFTER
        },
        Way {
            name: "the client does not take the answer in time",
            provoke: || takes_nothing("timeouts: {total: 300ms}"),
            detail: "the client did not take the response in time",
            bytes: (Bytes::Just(0), Bytes::AtLeast(65_536)),
            waited: Some(("total_us", 300_000)),
            ..AFTER
        },
    ]
}

fn tunnels() -> Vec<Way> {
    vec![Way {
        name: "the client resets its tunnel",
        provoke: || {
            let upstream = Upstream::start(|mut stream, _| {
                read_until(&mut stream, "\r\n\r\n");
                let head = "HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n";
                let _ = stream.write_all(head.as_bytes());
                while stream.write_all(&[0; 1024]).is_ok() {
                    std::thread::sleep(Duration::from_millis(1));
                }
            });
            let gate = Gate::before(&upstream, "");
            let mut stream = gate.connect();
            stream.write_all(ASK.as_bytes()).unwrap();
            read_until(&mut stream, "\r\n\r\n").unwrap();
            stream.write_all(b"hello").unwrap();
            stream.peek(&mut [0]).unwrap();
            // With bytes left unread, closing is a reset.
            (gate, String::new())
        },
        detail: "the client broke the tunnel",
        upstream_status: Some(101),
        bytes: (Bytes::Just(5), Bytes::AtLeast(1)),
        ..AFTER
    }]
}

fn handshakes() -> Vec<Way> {
    const BROKEN: Way = Way {
        ended: (Termination::Client, Some(ErrorClass::TlsHandshake)),
        status: None,
        source: None,
        attempts: None,
        ..NO_HEAD
    };
    vec![
        Way {
            name: "the client leaves within its handshake",
            provoke: || {
                let gate = Gate::before(&begins(b""), "");
                TcpStream::connect(gate.tls).unwrap().write_all(&[0x16, 3, 1]).unwrap();
                (gate, String::new())
            },
            detail: "closed",
            ..BROKEN
        },
        Way {
            name: "the client refuses our certificate",
            provoke: || {
                let gate = Gate::before(&begins(b""), "");
                let stranger = tempfile::tempdir().unwrap();
                let stranger = tollgate_demo_ca::DemoCa::open(&stranger.path().join("tls")).unwrap();
                let config = tollgate_tls::client(Some(stranger.roots()), None, &["http/1.1"]).unwrap();
                let mut connection = rustls::ClientConnection::new(config, "localhost".try_into().unwrap()).unwrap();
                let mut stream = TcpStream::connect(gate.tls).unwrap();
                connection.complete_io(&mut stream).unwrap_err();
                (gate, String::new())
            },
            detail: "peer_",
            ..BROKEN
        },
    ]
}
