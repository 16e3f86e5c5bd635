//! WebSocket between the client and the server of another maker.

use serde_json::json;
use tollgate_conformance::gate::Gate;
use tollgate_conformance::python::Peers;
use tollgate_conformance::records;

#[test]
fn websocket_passes_and_its_records_come_at_its_end() {
    let Some(peers) = Peers::start("websocket_peers.py").unwrap() else { return };
    let gate = Gate::start(peers.server, "", "").unwrap();
    let seen = peers.run(&[gate.plain.port().to_string()]).unwrap();
    let expected = json!({
        "talked": {"subprotocol": "chat.v1", "closed_with": 4001}, "closed_by_server": 4002, "refused": 403, "guarded": 401,
    });
    assert_eq!(seen, expected);
    let rows = gate.finish().unwrap();
    assert_eq!(rows.iter().map(records::summary).collect::<Vec<_>>(), ["101", "101", "403", "401 auth"]);
    assert!(rows[..3].iter().all(|row| row["tollgate.termination"] == "complete"), "{rows:#?}");
    for direction in ["http.request.body.size", "http.response.body.size"] {
        // One large message and some small ones, with their frames' heads.
        let bytes = rows[0][direction].as_i64().unwrap();
        assert!((1 << 20..(1 << 20) + 4_096).contains(&bytes), "{direction}: {bytes}");
    }
}
