//! Endings without a connection to an upstream, in time or at all.

use std::net::{TcpListener, TcpStream};
use std::time::Duration;

use tollgate_record::vocabulary::ErrorClass;

use super::{CONNECT, DNS, GATEWAY, GET, TLS, UNANSWERED, Way, asked, gate, gateway, silent_tls, while_one_waits};
use crate::upstream_rig::{Nobody, eventually};

pub fn ways() -> Vec<Way> {
    const NONE: Way =
        Way { ended: gateway(ErrorClass::NoHealthyUpstream), status: Some(503), times: &[GATEWAY], ..UNANSWERED };
    vec![
        Way {
            name: "a name that does not resolve",
            provoke: || asked(gate("http://no-such-host.invalid", [""; 3]), GET),
            ended: gateway(ErrorClass::Dns),
            detail: "no-such-host.invalid cannot be resolved",
            status: Some(502),
            times: &[GATEWAY, DNS],
            ..UNANSWERED
        },
        Way {
            name: "every connection is in use, and as many wait as may",
            provoke: || while_one_waits(["", "", "limits: {upstream_connections_max: 1, upstream_pending_max: 0}"]),
            detail: "0 requests wait",
            row: (0, 2),
            ..NONE
        },
        Way {
            name: "every connection is in use for too long",
            provoke: || {
                let extra = "limits: {upstream_connections_max: 1}\ntimeouts: {upstream_pending: 100ms}";
                while_one_waits(["", "", extra])
            },
            detail: "none became free in time",
            waited: Some((GATEWAY, 90_000)),
            row: (0, 2),
            ..NONE
        },
        Way {
            name: "every target is out",
            provoke: || {
                let health = "    health: {all_out: refuse, active: {interval: 20ms, unhealthy: 1, timeout: 1s}}";
                let gone = Nobody::there();
                let gate = gate(&gone.url(), [health, "", ""]);
                eventually("it is out", || gate.metric("tollgate_proxy_upstream_targets_out") == 1.0);
                asked(gate, GET)
            },
            detail: "every target of api is out",
            attempts: Some(0),
            ..NONE
        },
        Way {
            name: "an upstream that does not accept",
            provoke: || {
                let (listener, _filling) = full_backlog();
                let target = format!("http://{}", listener.local_addr().unwrap());
                asked(gate(&target, ["", "", "timeouts: {connect: 200ms}"]), GET)
            },
            ended: gateway(ErrorClass::ConnectTimeout),
            detail: "the upstream did not accept the connection in time",
            status: Some(504),
            waited: Some((CONNECT, 190_000)),
            ..UNANSWERED
        },
        Way {
            name: "a handshake with the upstream that takes too long",
            provoke: || asked(silent_tls("timeouts: {connect: 200ms}").0, GET),
            ended: gateway(ErrorClass::UpstreamTls),
            detail: "TLS with the upstream took too long",
            status: Some(504),
            times: &[GATEWAY, DNS, CONNECT, TLS],
            waited: Some((TLS, 100_000)),
            ..UNANSWERED
        },
    ]
}

/// A full backlog, so that the kernel does not answer.
fn full_backlog() -> (TcpListener, Vec<TcpStream>) {
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    socket.bind(&"127.0.0.1:0".parse::<std::net::SocketAddr>().unwrap().into()).unwrap();
    socket.listen(0).unwrap();
    let listener: TcpListener = socket.into();
    let addr = listener.local_addr().unwrap();
    let mut filling = Vec::new();
    while let Ok(stream) = TcpStream::connect_timeout(&addr, Duration::from_millis(300)) {
        filling.push(stream);
        assert!(filling.len() < 64, "the backlog does not fill");
    }
    (listener, filling)
}
