//! Endings by a bound of the gateway, after the exchange had begun.

use std::io::{Read, Write};
use std::time::Duration;

use tollgate_record::vocabulary::{ErrorClass, Termination};

use super::{
    ANSWERED, Bytes, CONNECT, GATEWAY, GET, Provoked, RECEIVE, TTFB, UNANSWERED, Way, asked, asked_before, begins,
    gate, gateway, refused,
};
use crate::rig::{Gate, Upstream, read_until};
use crate::tunnel::ASK;

pub fn ways() -> Vec<Way> {
    [bodies(), late_bodies(), bounds(), ends()].concat()
}

const CHUNKED: &str = "POST /api HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";

/// The client's body, on its way to an upstream.
fn bodies() -> Vec<Way> {
    const STOPPED: Way = Way { ended: gateway(ErrorClass::BadRequest), times: &[GATEWAY, CONNECT, TTFB], ..UNANSWERED };
    vec![
        Way {
            name: "a body that is framed wrongly",
            provoke: || refused("", &format!("{CHUNKED}3\r\nabc\r\nzz\r\n")),
            detail: "the body's chunks cannot be parsed",
            status: Some(400),
            bytes: (Bytes::Just(3), Bytes::Answered),
            ..STOPPED
        },
        Way {
            name: "a body that stalls",
            provoke: || {
                let request = "POST /api HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\n0123456789";
                refused("timeouts: {body_idle: 200ms}", request)
            },
            detail: "the body stalled",
            status: Some(408),
            bytes: (Bytes::Just(10), Bytes::Answered),
            waited: Some(("total_us", 200_000)),
            ..STOPPED
        },
        Way {
            name: "a body that comes too slowly",
            provoke: || {
                let extra = "limits: {request_bytes_per_second_min: 1000000}\ntimeouts: {rate_grace: 100ms}";
                refused(extra, "POST /api HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\n0123456789")
            },
            detail: "the body came too slowly",
            status: Some(408),
            bytes: (Bytes::Just(10), Bytes::Answered),
            waited: Some(("total_us", 100_000)),
            ..STOPPED
        },
        Way {
            name: "a body that is not complete when time is over",
            provoke: || {
                let request = "POST /api HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\n0123456789";
                refused("timeouts: {total: 200ms}", request)
            },
            detail: "the body was not complete",
            status: Some(408),
            bytes: (Bytes::Just(10), Bytes::Answered),
            waited: Some(("total_us", 200_000)),
            ..STOPPED
        },
        Way {
            name: "a body that grows too large",
            provoke: || {
                let upstream = begins(b"");
                let gate = gate(&format!("http://{}", upstream.addr), ["", "    request_body_bytes_max: 10", ""]);
                asked(gate, &format!("{CHUNKED}b\r\n01234567890\r\n0\r\n\r\n"))
            },
            ended: gateway(ErrorClass::TooLarge),
            detail: "the body is larger than 10 bytes",
            status: Some(413),
            bytes: (Bytes::Just(11), Bytes::Answered),
            ..STOPPED
        },
    ]
}

/// As above, when the answer has begun.
fn late_bodies() -> Vec<Way> {
    vec![Way {
        name: "a body that is framed wrongly when the answer has begun",
        provoke: || {
            let upstream = begins(b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nbegun");
            let gate = Gate::before(&upstream, "timeouts: {body_idle: 5s}");
            let mut stream = gate.connect();
            stream.write_all(format!("{CHUNKED}3\r\nabc\r\n").as_bytes()).unwrap();
            let answer = read_until(&mut stream, "begun").unwrap();
            stream.write_all(b"zz\r\n").unwrap();
            let _closed = stream.read_to_end(&mut Vec::new());
            (gate, answer)
        },
        detail: "the client's body is framed wrongly",
        ended: gateway(ErrorClass::BadRequest),
        bytes: (Bytes::Just(3), Bytes::Just(5)),
        ..ANSWERED
    }]
}

/// An upstream takes longer than it may.
fn bounds() -> Vec<Way> {
    const BEGUN: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nbegun";
    const LATE: Way = Way { ended: gateway(ErrorClass::UpstreamTimeout), ..ANSWERED };
    vec![
        Way {
            name: "an upstream that does not answer",
            provoke: || refused("timeouts: {first_byte: 150ms}", GET),
            detail: "the upstream did not answer in time",
            status: Some(504),
            times: &[GATEWAY, CONNECT, TTFB],
            waited: Some((TTFB, 140_000)),
            ..Way { ended: LATE.ended, ..UNANSWERED }
        },
        Way {
            name: "an answer that stalls",
            provoke: || asked_before(&begins(BEGUN), "timeouts: {body_idle: 150ms}", GET),
            detail: "the upstream's response stalled or took too long",
            waited: Some((RECEIVE, 140_000)),
            ..LATE
        },
        Way {
            name: "an answer that takes too long",
            provoke: || asked_before(&begins(BEGUN), "timeouts: {total: 200ms}", GET),
            detail: "the upstream's response stalled or took too long",
            waited: Some(("total_us", 190_000)),
            ..LATE
        },
        Way {
            name: "a tunnel that is silent",
            provoke: || {
                let answer = b"HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\nhi";
                asked_before(&begins(answer), "timeouts: {tunnel_idle: 200ms}", ASK)
            },
            ended: (Termination::Gateway, None),
            detail: "tunnel_idle",
            status: Some(101),
            upstream_status: Some(101),
            bytes: (Bytes::Just(0), Bytes::Just(2)),
            waited: Some((RECEIVE, 190_000)),
            ..ANSWERED
        },
    ]
}

/// Sends a request, and stops the gate at `until`.
fn stopped(upstream: &Upstream, request: &str, until: &str) -> Provoked {
    let mut gate = Gate::before(upstream, "");
    let mut stream = gate.connect();
    stream.write_all(request.as_bytes()).unwrap();
    let answer = read_until(&mut stream, until).unwrap();
    gate.stop(Duration::from_millis(100));
    (gate, answer)
}

/// The end of the drain.
fn ends() -> Vec<Way> {
    const CUT: Way = Way { ended: gateway(ErrorClass::Internal), detail: "cut at the end of the drain", ..ANSWERED };
    vec![
        Way {
            name: "an answer that goes on at the end of the drain",
            provoke: || stopped(&begins(b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nhalf"), GET, "half"),
            bytes: (Bytes::Just(0), Bytes::Just(4)),
            ..CUT
        },
        Way {
            name: "a tunnel that goes on at the end of the drain",
            provoke: || {
                let answer = b"HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\nhi";
                stopped(&begins(answer), ASK, "\r\n\r\nhi")
            },
            status: Some(101),
            upstream_status: Some(101),
            bytes: (Bytes::Just(0), Bytes::Just(2)),
            ..CUT
        },
    ]
}
