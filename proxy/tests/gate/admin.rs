//! The admin endpoint.

use std::io::{Read, Write};

use crate::rig::{Gate, Upstream, get_text, read_request};
use crate::upstream_rig::Nobody;

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
    let top = |arguments: &[&str]| {
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_tollgate-proxy"));
        let output = command.arg("top").args(arguments).output().unwrap();
        (output.status.code(), String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap())
    };
    let admin = gate.admin.to_string();
    let (status, screen, errors) = top(&["--once", "--every", "1s", "--admin", &admin]);
    assert_eq!(status, Some(0), "{errors}");
    for said in
        ["configuration ", ": ready\n", "oldest of 1 in flight\n", " ms GET     api, /api/members/{redacted} (api)\n"]
    {
        assert!(screen.contains(said), "{said}\n{screen}");
    }
    let (status, _, errors) = top(&["--once", "--admin", &gate.plain.to_string()]);
    assert!(status == Some(1) && errors.contains("is that the admin endpoint"), "{errors}");
    let (status, _, errors) = top(&["--every", "10ms"]);
    assert!(status == Some(2) && errors.contains("write 1s or more"), "{errors}");
    let (status, _, errors) = top(&["--once", "--admin", &Nobody::there().addr.to_string()]);
    assert!(status == Some(1) && errors.contains("name the proxy's `admin.address`"), "{errors}");
    drop(stream);
    // `top` at the wrong address fails too.
    gate.rows(2);
    let metrics = get_text(gate.admin, "/metrics");
    for name in ["tollgate_build_info{binary=\"tollgate-proxy\"", "tollgate_proxy_config_info{revision="] {
        assert!(metrics.contains(name), "{name}");
    }
    assert_eq!(gate.finish().len(), 2);
}
