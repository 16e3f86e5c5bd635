//! `allow` and `deny`: who is let in, and what the record says.

use serde_json::json;

use super::{KEY, OTHER_KEY, gate, status};
use crate::rig::{Upstream, assert_row};

const OK: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello";

/// The key that is presented, `allow` and `deny`, the status, the decision.
type Row = (&'static str, &'static str, &'static str, u16, Option<&'static str>);

const ROWS: [Row; 18] = [
    (KEY, "", "", 200, Some("none")),
    (KEY, "{groups: [partners]}", "", 200, Some("allow")),
    (OTHER_KEY, "{groups: [partners]}", "", 403, Some("deny")),
    (KEY, "{groups: [Partners]}", "", 403, Some("deny")),
    (KEY, "{groups: [nobody, testers]}", "", 200, Some("allow")),
    (KEY, "{}", "", 403, Some("deny")),
    (KEY, "{consumers: [acme]}", "", 200, Some("allow")),
    (OTHER_KEY, "{consumers: [acme]}", "", 403, Some("deny")),
    (OTHER_KEY, "{groups: [partners], consumers: [other]}", "", 200, Some("allow")),
    (KEY, "", "{groups: [partners]}", 403, Some("deny")),
    (OTHER_KEY, "", "{groups: [partners]}", 200, Some("allow")),
    (KEY, "", "{consumers: [other]}", 200, Some("allow")),
    (OTHER_KEY, "", "{consumers: [other]}", 403, Some("deny")),
    (KEY, "{groups: [partners]}", "{groups: [testers]}", 403, Some("deny")),
    (KEY, "{groups: [partners]}", "{consumers: [acme]}", 403, Some("deny")),
    (KEY, "{consumers: [acme]}", "{groups: [others]}", 200, Some("allow")),
    ("", "{groups: [partners]}", "", 401, Some("deny")),
    ("", "", "{groups: [partners]}", 200, Some("allow")),
];

#[test]
fn who_is_let_in() {
    for (key, allow, deny, answered, decision) in ROWS {
        let list = |name: &str, list: &str| if list.is_empty() { String::new() } else { format!("{name}: {list}\n") };
        let auth = "auth: {any_of: [api_key], optional: true}\n";
        let route = format!("{auth}{}{}", list("allow", allow), list("deny", deny));
        let gate = gate(&Upstream::answering(OK), &route, "");
        let field = if key.is_empty() { String::new() } else { format!("x-api-key: {key}\r\n") };
        let answer = gate.exchange(&format!("GET /api HTTP/1.1\r\nhost: a\r\n{field}connection: close\r\n\r\n"));
        let told = format!("{key} {route}: {answer}");
        assert_eq!(status(&answer), answered, "{told}");
        let row = gate.one_record();
        let class = match answered {
            403 => json!("acl"),
            401 => json!("auth"),
            _ => json!(null),
        };
        assert_row(&row, json!({"tollgate.acl_decision": decision, "error.type": class}));
        if answered == 403 {
            assert_eq!(row["tollgate.auth_result"], "success", "who it is, is known: {told}");
            assert!(row["user.name"].is_string() && row["user.roles"].is_array(), "{row:#}");
        }
    }
}

#[test]
fn a_service_speaks_for_its_routes_and_a_route_for_itself() {
    let upstream = Upstream::answering(OK);
    let targets = [format!("http://{}", upstream.addr)];
    let service = "    auth: {any_of: [api_key]}\n    allow: {consumers: [acme]}\n";
    let extra = super::consumers();
    let gate = crate::rig::Gate::with(&crate::rig::Setup {
        targets: &targets,
        service,
        route: "    allow: {consumers: [other]}",
        extra: &extra,
        ..crate::rig::Setup::default()
    });
    let get = |key: &str| {
        gate.exchange(&format!("GET /api HTTP/1.1\r\nhost: a\r\nx-api-key: {key}\r\nconnection: close\r\n\r\n"))
    };
    assert_eq!((status(&get(OTHER_KEY)), status(&get(KEY))), (200, 403));
    assert_eq!(status(&gate.get("/api")), 401);
}
