//! Endings by a refusal, before the gateway looked for an upstream.

use std::io::{Read, Write};
use std::net::TcpStream;

use tollgate_record::vocabulary::ErrorClass;

use super::{
    ANSWERED, Bytes, GET, NO_HEAD, OK, Provoked, REFUSED, Way, asked, begins, gate, gateway, refused, while_one_waits,
};
use crate::rig::{Gate, Upstream};

pub fn ways() -> Vec<Way> {
    [heads(), large(), turned_away(), by_rule(), handshakes()].concat()
}

fn heads() -> Vec<Way> {
    const BAD: Way = Way { ended: gateway(ErrorClass::BadRequest), status: Some(400), ..REFUSED };
    const NO_HEAD: Way = Way { ended: gateway(ErrorClass::BadRequest), status: Some(400), ..super::NO_HEAD };
    vec![
        Way {
            name: "no route",
            provoke: || {
                let request = "POST /nowhere HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nConnection: close\r\n\r\nabc";
                refused("", request)
            },
            ended: gateway(ErrorClass::NoRoute),
            detail: "no route for this host, path and fields",
            status: Some(404),
            ..REFUSED
        },
        Way { name: "no Host", provoke: || refused("", "GET /api HTTP/1.1\r\n\r\n"), detail: "Host", ..BAD },
        Way {
            name: "an expectation that is not met",
            provoke: || refused("", "GET /api HTTP/1.1\r\nHost: a\r\nExpect: x\r\nConnection: close\r\n\r\n"),
            detail: "the only expectation served is 100-continue",
            status: Some(417),
            ..BAD
        },
        Way {
            name: "a transfer coding that is not served",
            provoke: || {
                refused("", "POST /api HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n")
            },
            detail: "ransfer",
            status: Some(501),
            ..BAD
        },
        Way {
            name: "an unknown method",
            provoke: || refused("", "FROB /api HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"),
            detail: "the method is unknown",
            status: Some(405),
            ..BAD
        },
        Way {
            name: "no HTTP at all",
            provoke: || refused("", "NOT HTTP AT ALL\r\n\r\n"),
            detail: "the request head cannot be parsed",
            ..NO_HEAD
        },
        Way {
            name: "HTTP/2 where HTTP/1.1 is served",
            provoke: || refused("", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
            detail: "the client speaks HTTP/2",
            status: None,
            source: None,
            ..NO_HEAD
        },
        Way {
            name: "a head that never ends",
            provoke: || refused("timeouts: {header_read: 200ms}", "GET /api HTTP/1.1\r\nHos"),
            detail: "the request head did not arrive in time",
            status: None,
            source: None,
            waited: Some(("total_us", 150_000)),
            ..NO_HEAD
        },
    ]
}

fn large() -> Vec<Way> {
    const LARGE: Way = Way { ended: gateway(ErrorClass::TooLarge), ..REFUSED };
    const NO_HEAD: Way = Way { ended: gateway(ErrorClass::TooLarge), ..super::NO_HEAD };
    vec![
        Way {
            name: "a head that is too large",
            provoke: || {
                let field = "x".repeat(20_000);
                refused("limits: {head_bytes_max: 8 KiB}", &format!("GET /api HTTP/1.1\r\nX: {field}\r\n\r\n"))
            },
            detail: "the request head is too large",
            status: Some(431),
            ..NO_HEAD
        },
        Way {
            name: "a target that is too long",
            provoke: || {
                let path = "x".repeat(65_600);
                refused("limits: {head_bytes_max: 128 KiB}", &format!("GET /{path} HTTP/1.1\r\nHost: a\r\n\r\n"))
            },
            detail: "the request head is too large",
            status: Some(414),
            ..NO_HEAD
        },
        Way {
            name: "a target that a rewrite makes too long",
            provoke: || {
                let route = "    rewrite: /longer-than-before";
                let gate = gate("http://127.0.0.1:9", ["", route, "limits: {head_bytes_max: 128 KiB}"]);
                let query = "q".repeat(65_520);
                asked(gate, &format!("GET /api?{query} HTTP/1.1\r\nHost: a\r\n\r\n"))
            },
            detail: "the request target is too long once it is rewritten",
            status: Some(414),
            ..LARGE
        },
        Way {
            name: "more fields than there may be",
            provoke: || {
                refused("limits: {headers_max: 5}", &GET.replace("Host", "A: 1\r\nB: 1\r\nC: 1\r\nD: 1\r\nHost"))
            },
            detail: "fields",
            status: Some(431),
            ..LARGE
        },
        Way {
            name: "a body that announces to be too large",
            provoke: || {
                let gate = gate("http://127.0.0.1:9", ["", "    request_body_bytes_max: 10", ""]);
                asked(gate, "POST /api HTTP/1.1\r\nHost: a\r\nContent-Length: 11\r\n\r\n01234567890")
            },
            detail: "the body is larger than 10 bytes",
            status: Some(413),
            ..LARGE
        },
    ]
}

fn turned_away() -> Vec<Way> {
    const LIMITED: Way = Way { ended: gateway(ErrorClass::RateLimited), status: Some(429), ..REFUSED };
    vec![
        Way {
            name: "no client certificate for a route that needs one",
            provoke: || refused("", &GET.replace("/api", "/secure")),
            ended: gateway(ErrorClass::Auth),
            detail: "this API needs a client certificate",
            status: Some(401),
            ..REFUSED
        },
        Way {
            name: "no credential for a route that asks for one",
            provoke: || asked_of_callers("auth: {any_of: [api_key, basic]}", GET),
            ended: gateway(ErrorClass::Auth),
            detail: "no credential was presented",
            status: Some(401),
            ..REFUSED
        },
        Way {
            name: "a caller that is not on the list of the route",
            provoke: || {
                let field = format!("X-Api-Key: {}\r\nHost", crate::auth::KEY);
                asked_of_callers("auth: {any_of: [api_key]}, deny: {groups: [testers]}", &GET.replace("Host", &field))
            },
            ended: gateway(ErrorClass::Acl),
            detail: "group testers is on deny",
            status: Some(403),
            ..REFUSED
        },
        Way {
            name: "more passwords than can be verified",
            provoke: more_passwords_than_can_be_verified,
            ended: gateway(ErrorClass::AuthUnavailable),
            detail: "too many passwords wait to be verified",
            status: Some(503),
            row: (0, 3),
            ..REFUSED
        },
        Way {
            name: "too many requests",
            provoke: || {
                let service = "    caps: {requests_per_second_max: 0.001, request_burst_max: 1}";
                let gate = gate(&format!("http://{}", Upstream::answering(OK).addr), [service, "", ""]);
                gate.exchange(GET);
                asked(gate, GET)
            },
            detail: "service api is at its request rate",
            row: (1, 2),
            ..LIMITED
        },
        Way {
            name: "too many at one time",
            provoke: || while_one_waits(["    caps: {concurrent_max: 1}", "", ""]),
            detail: "service api is at its concurrent_max of 1",
            status: Some(503),
            row: (0, 2),
            ..LIMITED
        },
        Way {
            name: "a flood of HTTP/2 control frames",
            provoke: || {
                let gate = Gate::before(&begins(b""), "http2: {control_frame_burst_max: 20}");
                let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
                runtime.block_on(crate::floods::Client::ping(&gate));
                (gate, String::new())
            },
            detail: "too many HTTP/2 control frames",
            status: None,
            source: None,
            times: &[],
            bytes: (Bytes::Null, Bytes::Null),
            ..LIMITED
        },
    ]
}

/// Answers that the configuration of the route gives.
fn by_rule() -> Vec<Way> {
    const ACL: Way = Way { ended: gateway(ErrorClass::Acl), status: Some(403), ..REFUSED };
    const FINE: Way =
        Way { source: REFUSED.source, upstream_status: None, attempts: Some(0), times: REFUSED.times, ..ANSWERED };
    vec![
        Way {
            name: "an address that may not come",
            provoke: || by_route("    addresses: {deny: [127.0.0.1]}", GET),
            detail: "the client's address may not use this API",
            ..ACL
        },
        Way {
            name: "a preflight of a page that may not come",
            provoke: || by_route("    cors: {origins: [\"https://a\"]}", PREFLIGHT),
            detail: "pages of this origin may not use this API",
            ..ACL
        },
        Way { name: "a preflight", provoke: || by_route("    cors: {origins: [\"https://b\"]}", PREFLIGHT), ..FINE },
        Way {
            name: "a request without TLS",
            provoke: || by_route("    https_only: 426", GET),
            ended: gateway(ErrorClass::BadRequest),
            detail: "served over TLS alone",
            status: Some(426),
            ..REFUSED
        },
        Way {
            name: "a request that is sent to https",
            provoke: || by_route("    https_only: 308", GET),
            status: Some(308),
            ..FINE
        },
        Way {
            name: "a route that answers itself",
            provoke: || by_route("    respond: {status: 200, body: hello}", GET),
            ..FINE
        },
        Way {
            name: "a route that refuses",
            provoke: || by_route("    respond: {status: 403}", GET),
            detail: "the route answers in the upstream's place",
            ..ACL
        },
        Way {
            name: "a route that is closed",
            provoke: || by_route("    respond: {status: 503}", GET),
            ended: gateway(ErrorClass::NoHealthyUpstream),
            detail: "the route answers in the upstream's place",
            status: Some(503),
            ..REFUSED
        },
    ]
}

const PREFLIGHT: &str = "OPTIONS /api HTTP/1.1\r\nHost: a\r\nOrigin: https://b\r\nAccess-Control-Request-Method: GET\r\n\
                         Connection: close\r\n\r\n";

fn by_route(route: &str, request: &str) -> Provoked {
    asked(gate("http://127.0.0.1:9", ["", route, ""]), request)
}

/// One request to a route with these keys, of a gate that knows consumers.
fn asked_of_callers(keys: &str, request: &str) -> super::Provoked {
    let gate = crate::auth::gate(&begins(b""), &keys.replace("}, ", "}\n"), "");
    asked(gate, request)
}

/// A password whose hash takes half a second is verified, another waits, and a third finds no place.
fn more_passwords_than_can_be_verified() -> super::Provoked {
    const SALTED: &str = "c2FsdHNhbHRzYWx0$aGFzaGhhc2hoYXNoaGFzaGhhc2hoYXNoaGFzaGhhc2g";
    let slow = format!(
        "consumers: [{{name: a, basic: [{{user: a, argon2: \"$argon2id$v=19$m=131072,t=10,p=1${SALTED}\"}}]}}]"
    );
    let limits = "limits: {password_checks_max: 1, password_checks_waiting_max: 1}";
    let gate = gate("http://127.0.0.1:9", ["", "    auth: {any_of: [basic]}", &format!("{slow}\n{limits}")]);
    let request = GET.replace("Host", "Authorization: Basic YTpi\r\nHost");
    let mut streams: Vec<TcpStream> = (0..3).map(|_| gate.connect()).collect();
    let mut answers: Vec<String> = Vec::new();
    for stream in &mut streams {
        stream.write_all(request.as_bytes()).unwrap();
    }
    for stream in &mut streams {
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answers.push(answer);
    }
    let refused = answers.into_iter().find(|answer| answer.starts_with("HTTP/1.1 503"));
    (gate, refused.expect("one finds no place"))
}

fn handshakes() -> Vec<Way> {
    const REFUSED: Way =
        Way { ended: gateway(ErrorClass::TlsHandshake), status: None, source: None, attempts: None, ..NO_HEAD };
    vec![
        Way {
            name: "plain HTTP where TLS is served",
            provoke: || {
                let gate = Gate::before(&begins(b""), "");
                let mut stream = TcpStream::connect(gate.tls).unwrap();
                stream.write_all(GET.as_bytes()).unwrap();
                let _an_alert = stream.read_to_end(&mut Vec::new());
                (gate, String::new())
            },
            detail: "not_tls",
            ..REFUSED
        },
        Way {
            name: "a handshake that never ends",
            provoke: || {
                let gate = Gate::before(&begins(b""), "timeouts: {handshake: 200ms}");
                let mut stream = TcpStream::connect(gate.tls).unwrap();
                stream.write_all(&[0x16, 3, 1]).unwrap();
                let _closed = stream.read_to_end(&mut Vec::new());
                (gate, String::new())
            },
            detail: "timeout",
            waited: Some(("total_us", 150_000)),
            ..REFUSED
        },
    ]
}
