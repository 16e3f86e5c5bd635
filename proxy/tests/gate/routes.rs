//! Routes by path, method and fields, and their edits of requests.

use serde_json::json;

use crate::rig::{Gate, Setup, Upstream, assert_row};

const ROUTES: &str = r#"
  - name: member
    service: api
    paths: ["/members/{id}", "/people/{id}"]
    methods: [GET, PUT]
    rewrite: /v2/members/{id}
    request_headers:
      set: {X-Team: claims, x-old: replaced}
      add: {x-more: "2"}
      remove: [x-secret, Authorization]
    response_headers:
      set: {cache-control: no-store}
      add: {x-served: gate}
      remove: [server]
  - {name: health, service: api, paths: ["=/health"], rewrite: /status}
  - {name: files, service: api, paths: ["/files/{*path}"], rewrite: "/store/{*path}"}
  - {name: moved, service: api, paths: ["/old"], rewrite: /new/place}
  - {name: canary, service: api, paths: ["/files/{*path}"], headers: [{name: x-canary, value: "1"}]}
"#;

fn gate(upstream: &Upstream) -> Gate {
    Gate::with(&Setup { targets: &[format!("http://{}", upstream.addr)], route: ROUTES, ..Setup::default() })
}

fn ask(gate: &Gate, method: &str, path: &str, fields: &str) -> String {
    let head = format!("{method} {path} HTTP/1.1\r\nhost: api.example.com\r\nconnection: close\r\n{fields}\r\n");
    gate.exchange(&head)
}

#[test]
fn paths_are_matched_rewritten_and_named_in_records() {
    let gate = gate(&Upstream::echo());
    let table = [
        ("/members/7?page=1", "", "GET /v2/members/7?page=1 HTTP/1.1", Some("member"), Some("/members/{id}")),
        ("/people/7/", "", "GET /v2/members/7 HTTP/1.1", Some("member"), Some("/people/{id}")),
        ("/health", "", "GET /status HTTP/1.1", Some("health"), Some("/health")),
        ("/files/a/b", "", "GET /store/a/b HTTP/1.1", Some("files"), Some("/files/{*path}")),
        ("/files/a", "x-canary: 1\r\n", "GET /files/a HTTP/1.1", Some("canary"), Some("/files/{*path}")),
        ("/files/a", "x-canary: 2\r\n", "GET /store/a HTTP/1.1", Some("files"), Some("/files/{*path}")),
        ("/old/x?y", "", "GET /new/place/x?y HTTP/1.1", Some("moved"), None),
        ("/members", "", "HTTP/1.1 404", None, None),
        ("/members/7/x", "", "HTTP/1.1 404", None, None),
        ("/health/x", "", "HTTP/1.1 404", None, None),
    ];
    for (path, fields, seen, ..) in table {
        let answer = ask(&gate, "GET", path, fields);
        assert!(answer.contains(seen), "{path} {fields}: {answer}");
    }
    for (row, (path, _, _, route, template)) in gate.finish().iter().zip(table) {
        assert_row(row, json!({ "tollgate.route": route, "http.route": template }));
        assert_eq!(row["url.path"].as_str(), path.split('?').next(), "the record has what the client asked for");
    }
}

#[test]
fn a_method_that_no_route_takes_is_405_with_those_that_are_served() {
    let gate = gate(&Upstream::echo());
    let answer = ask(&gate, "DELETE", "/members/7", "");
    assert!(answer.starts_with("HTTP/1.1 405") && answer.contains("\r\nallow: GET, PUT\r\n"), "{answer}");
    let answer = ask(&gate, "BREW", "/health", "");
    assert!(answer.starts_with("HTTP/1.1 405") && answer.contains("\r\nallow: GET, POST, "), "{answer}");
    let rows = gate.finish();
    let expected = json!({ "tollgate.route": null, "error.type": "bad_request", "http.response.status_code": 405 });
    assert_row(&rows[0], expected);
    assert_row(&rows[1], json!({ "tollgate.route": "health" }));
}

#[test]
fn fields_of_requests_and_answers_are_edited() {
    let upstream = Upstream::start(|mut stream, _| {
        use std::io::Write;
        let Some(request) = crate::rig::read_request(&mut stream) else { return };
        let head = "HTTP/1.1 200 OK\r\nserver: up\r\ncache-control: public\r\nx-served: up\r\n";
        let length = request.len();
        // The test itself sees a client that is gone.
        let _gone = write!(stream, "{head}content-length: {length}\r\n\r\n{request}");
    });
    let gate = gate(&upstream);
    let answer = ask(
        &gate,
        "GET",
        "/members/7",
        "x-old: 1\r\nx-old: 2\r\nx-more: 1\r\nx-secret: s\r\nauthorization: Basic eDp5\r\n",
    );
    let (head, request) = answer.split_once("\r\n\r\n").unwrap();
    let values = |text: &str, name: &str| -> Vec<String> {
        let lines = text.lines().filter_map(|line| line.split_once(": "));
        lines.filter(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value.to_owned()).collect()
    };
    assert_eq!(values(request, "x-team"), ["claims"]);
    assert_eq!(values(request, "x-old"), ["replaced"]);
    assert_eq!(values(request, "x-more"), ["1", "2"]);
    assert!(values(request, "x-secret").is_empty() && values(request, "authorization").is_empty(), "{request}");
    assert_eq!(values(head, "cache-control"), ["no-store"]);
    assert_eq!(values(head, "x-served"), ["up", "gate"]);
    assert!(values(head, "server").is_empty(), "{head}");
    let row = gate.one_record();
    assert!(
        row["tollgate.auth.token_hmac"].is_string() || row["tollgate.token_hmac"].is_string(),
        "hashed before: {row:#}"
    );
}
