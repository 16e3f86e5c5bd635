//! gRPC between the client and the server of another maker, HTTP/2 on both sides of the proxy.

use serde_json::json;
use tollgate_conformance::gate::Gate;
use tollgate_conformance::python::Peers;
use tollgate_conformance::records;

#[test]
fn grpc_calls_of_every_kind_pass_with_their_trailers() {
    let Some(peers) = Peers::start("grpc_peers.py").unwrap() else { return };
    let gate = Gate::start(peers.server, "    protocol: http2", "").unwrap();
    let seen = peers.run(&[gate.tls.port().to_string(), gate.ca().display().to_string()]).unwrap();
    let expected = json!({
        "unary": ["hello", "1", "2"], "binary_trailer": true, "failed": ["FAILED_PRECONDITION", "not now: café"],
        "unknown": "UNIMPLEMENTED", "server_stream": 1000, "client_stream": "100000", "both_streams": ["0", "1", "2", "3", "4"],
        "large": true, "deadline": "DEADLINE_EXCEEDED", "server_sees_cancel": true,
    });
    assert_eq!(seen, expected);
    let rows = gate.finish().unwrap();
    let summaries: Vec<String> = rows.iter().map(records::summary).collect();
    assert!(summaries[..7].iter().all(|summary| summary == "200"), "{summaries:?}");
    // The deadline goes to the server too: it ends the call, or the client does, whoever is first.
    assert!(["200", "499 client_abort"].contains(&summaries[7].as_str()), "{summaries:?}");
    assert_eq!(summaries[8..], ["499 client_abort"]);
    let cancelled = &rows[8];
    assert_eq!(
        (&cancelled["tollgate.termination"], &cancelled["tollgate.upstream_status"]),
        (&json!("client"), &json!(200))
    );
    assert_eq!(cancelled["http.response.body.size"], 5 + 5);
    // Five bytes of gRPC's own stand before each message.
    assert_eq!(rows[0]["http.request.body.size"], 5 + 5);
    assert_eq!(rows[3]["http.response.body.size"], 10 + 90 * 2 + 900 * 3 + 1000 * 5);
    assert_eq!(rows[4]["http.request.body.size"], 100 * (1000 + 5));
    assert_eq!(rows[6]["http.response.body.size"], (3 << 20) + 5);
}
