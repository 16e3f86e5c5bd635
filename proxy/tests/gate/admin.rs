//! The admin endpoint.

use std::io::{Read, Write};

use crate::rig::{Gate, Upstream, get_text, read_request};

#[test]
fn it_shows_health_metrics_configuration_and_what_is_in_flight() {
    let upstream = Upstream::start(|mut stream, _| {
        read_request(&mut stream);
        let _ = stream.read(&mut [0]);
    });
    let gate = Gate::before(&upstream, "");
    assert!(get_text(gate.admin, "/healthz").starts_with("HTTP/1.1 200"));
    assert!(get_text(gate.admin, "/readyz").starts_with("HTTP/1.1 200"));
    assert!(get_text(gate.admin, "/nowhere").starts_with("HTTP/1.1 404"));
    let config = get_text(gate.admin, "/config");
    assert!(
        config.contains("node_id: gate-1") && config.contains("first_byte: 60s") || config.contains("first_byte: 1m"),
        "{config}"
    );
    assert!(!config.contains("0123456789abcdef"), "no secret");
    let mut stream = gate.connect();
    stream.write_all(b"GET /api/members/12345678 HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
    std::thread::sleep(std::time::Duration::from_millis(100));
    let inflight = get_text(gate.admin, "/inflight");
    let rows: serde_json::Value = serde_json::from_str(inflight.split("\r\n\r\n").nth(1).unwrap()).unwrap();
    assert_eq!(rows[0]["path"], "/api/members/{redacted}");
    assert_eq!(rows[0]["service"], "api");
    drop(stream);
    gate.rows(1);
    let metrics = get_text(gate.admin, "/metrics");
    for name in ["tollgate_build_info{binary=\"tollgate-proxy\"", "tollgate_proxy_config_info{revision="] {
        assert!(metrics.contains(name), "{name}");
    }
    assert_eq!(gate.finish().len(), 1);
}
