//! Every way in which a transaction can end leaves exactly one record of it.

use std::io::{Read, Write};
use std::net::Shutdown;
use std::time::Duration;

use serde_json::json;

use crate::rig::{Gate, Setup, Upstream, assert_row, read_request, read_until};
use crate::upstream_rig::{Nobody, status_of};

const OK: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\nx-up: 1\r\n\r\nhello";

#[test]
fn complete() {
    let gate = Gate::before(&Upstream::answering(OK), "");
    let answer = gate.exchange(
        "POST /api/members/12345678?page=2&secret=x HTTP/1.1\r\nHost: api.example.com\r\nContent-Length: 3\r\n\
         User-Agent: test\u{1b}[0m\r\nX-Request-Id: mine\r\nX-Shown: yes\r\nAuthorization: Bearer abc\r\n\
         traceparent: 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01\r\nConnection: close\r\n\r\nabc",
    );
    // hyper refuses control characters in fields.
    assert_eq!(status_of(&answer), "400");
    let answer = gate.exchange(
        "POST /api/members/12345678?page=2&secret=x HTTP/1.1\r\nHost: api.example.com\r\nContent-Length: 3\r\n\
         User-Agent: test\r\nX-Request-Id: mine\r\nX-Shown: yes\r\nAuthorization: Bearer abc\r\n\
         traceparent: 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01\r\nConnection: close\r\n\r\nabc",
    );
    assert!(answer.ends_with("\r\n\r\nhello"), "{answer}");
    let port = gate.plain.port();
    let rows = gate.finish();
    assert_eq!(rows.len(), 2);
    let row = &rows[1];
    let id = answer.to_ascii_lowercase();
    let id = id.split("x-request-id: ").nth(1).unwrap().split("\r\n").next().unwrap().to_owned();
    assert_row(
        row,
        json!({
            "tollgate.kind": "transaction", "tollgate.seq": 2, "http.request.id": id, "tollgate.correlation_id": "mine",
            "trace.id": "4bf92f3577b34da6a3ce929d0e0e4736", "tollgate.parent_span_id": "00f067aa0ba902b7",
            "tollgate.trace_sampled": true, "tollgate.service": "api", "tollgate.route": "api",
            "http.route": "/api/{rest}", "service.namespace": "team-a", "client.address": "127.0.0.1",
            "tollgate.client_ip_source": "peer", "server.port": port, "server.address": "api.example.com",
            "network.protocol.version": "1.1", "tls.protocol.version": null, "http.request.method": "POST",
            "url.path": "/api/members/{redacted}", "url.query": "page=2&secret=REDACTED",
            "http.request.body.size": 3, "http.response.body.size": 5, "user_agent.original": "test",
            "tollgate.headers": {"x-shown": "yes"}, "tollgate.auth_pattern": "none", "tollgate.auth_result": "not_required",
            "tollgate.upstream_status": 200, "tollgate.upstream_attempts": 1, "tollgate.upstream_reused": false,
            "http.response.status_code": 200, "tollgate.response_source": "upstream", "tollgate.termination": "complete",
            "error.type": null, "tollgate.upstream_dns_us": null, "tollgate.upstream_tls_us": null,
        }),
    );
    assert!(row["tollgate.token_hmac"].as_str().unwrap().len() == 64);
    assert!(row["tollgate.request_header_bytes"].as_i64().unwrap() > 200);
}

#[test]
fn no_route() {
    let gate = Gate::before(&Upstream::answering(OK), "");
    let answer = gate.get("/nowhere");
    assert_eq!(status_of(&answer), "404");
    let body: serde_json::Value = serde_json::from_str(answer.split("\r\n\r\n").nth(1).unwrap()).unwrap();
    assert_eq!(body["error"], "no_route");
    let row = gate.one_record();
    assert_eq!(body["request_id"], row["http.request.id"]);
    let length = answer.split("\r\n\r\n").nth(1).unwrap().len();
    assert_row(
        &row,
        json!({
            "http.response.status_code": 404, "error.type": "no_route", "tollgate.termination": "gateway",
            "tollgate.response_source": "gateway", "http.response.body.size": length, "tollgate.service": null,
            "tollgate.upstream_attempts": 0, "tollgate.upstream_ttfb_us": null, "url.path": "/nowhere",
        }),
    );
}

#[test]
fn malformed_heads_never_reach_a_service_and_still_leave_a_record() {
    let table = [
        ("GET /api HTTP/1.1\r\nHost : a\r\n\r\n", "400", json!(400), "bad_request"),
        ("NOT HTTP AT ALL\r\n\r\n", "400", json!(400), "bad_request"),
        ("GET /api HTTP/1.1\r\nContent-Length: x\r\n\r\n", "400", json!(400), "bad_request"),
        ("GET /api HTTP/1.1\r\n\r\n", "400", json!(400), "bad_request"),
        ("GET /api HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", "400", json!(400), "bad_request"),
        ("GET /api HTTP/1.1\r\nHost: a\r\nExpect: x\r\n\r\n", "417", json!(417), "bad_request"),
        ("FROB /api HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", "405", json!(405), "bad_request"),
    ];
    for (request, answered, status, class) in table {
        let gate = Gate::before(&Upstream::answering(OK), "");
        assert_eq!(status_of(&gate.exchange(request)), answered, "{request}");
        let row = gate.one_record();
        assert_row(
            &row,
            json!({"http.response.status_code": status, "error.type": class, "tollgate.termination": "gateway"}),
        );
    }
}

#[test]
fn who_sends_nothing_begins_no_transaction() {
    let gate = Gate::before(&Upstream::answering(OK), "");
    drop(gate.connect());
    let idle = gate.connect();
    assert_eq!(status_of(&gate.get("/api")), "200");
    drop(idle);
    assert_eq!(gate.finish().len(), 1);
}

#[test]
fn a_client_that_leaves_within_its_body() {
    let upstream = Upstream::start(|mut stream, _| {
        read_request(&mut stream);
    });
    let gate = Gate::before(&upstream, "");
    let mut stream = gate.connect();
    stream.write_all(b"POST /api HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\n0123456789").unwrap();
    std::thread::sleep(Duration::from_millis(50));
    stream.shutdown(Shutdown::Both).unwrap();
    gate.rows(1);
    let row = gate.one_record();
    assert_row(
        &row,
        json!({
            "http.response.status_code": 499, "error.type": "client_abort", "tollgate.termination": "client",
            "http.request.body.size": 10,
        }),
    );
}

#[test]
fn the_next_target_is_tried_when_one_is_not_there() {
    let closed = Nobody::there();
    let upstream = Upstream::answering(OK);
    let targets = [closed.url(), format!("http://{}", upstream.addr)];
    let gate = Gate::with(&Setup { targets: &targets, ..Setup::default() });
    for _ in 0..4 {
        assert_eq!(status_of(&gate.get("/api")), "200");
    }
    let rows = gate.finish();
    let attempts: Vec<_> = rows.iter().map(|row| row["tollgate.upstream_attempts"].as_i64().unwrap()).collect();
    assert!(attempts.contains(&2), "{attempts:?}");
}

#[test]
fn responses_without_a_body_are_complete() {
    let table: [(&'static [u8], &str, &str); 4] = [
        (b"HTTP/1.1 204 No Content\r\n\r\n", "GET", "204"),
        (b"HTTP/1.1 304 Not Modified\r\ncontent-length: 7\r\n\r\n", "GET", "304"),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 7\r\n\r\n", "HEAD", "200"),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n", "GET", "200"),
    ];
    for (bytes, method, status) in table {
        let upstream = Upstream::answering(bytes);
        let gate = Gate::before(&upstream, "");
        let request = format!("{method} /api HTTP/1.1\r\nHost: a\r\n\r\n");
        let mut stream = gate.connect();
        for _ in 0..2 {
            stream.write_all(request.as_bytes()).unwrap();
            let head = read_until(&mut stream, "\r\n\r\n").unwrap();
            assert_eq!(status_of(&head), status);
            if method == "HEAD" {
                assert!(head.contains("content-length: 7"), "{head}");
            }
        }
        drop(stream);
        let rows = gate.finish();
        assert_eq!(rows.len(), 2);
        for row in rows {
            assert_row(
                &row,
                json!({"tollgate.termination": "complete", "error.type": null, "http.response.body.size": 0}),
            );
        }
        assert_eq!(upstream.connections.load(std::sync::atomic::Ordering::SeqCst), 1, "{method} {status} is reused");
    }
}

#[test]
fn trailers_and_te_pass() {
    let upstream = Upstream::start(|mut stream, _| {
        let request = read_request(&mut stream).unwrap().to_ascii_lowercase();
        assert!(request.contains("te: trailers\r\n"), "{request}");
        let answer =
            b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\ntrailer: x-sum\r\n\r\n2\r\nok\r\n0\r\nx-sum: 7\r\n\r\n";
        let _ = stream.write_all(answer);
    });
    let gate = Gate::before(&upstream, "");
    let request = "GET /api HTTP/1.1\r\nHost: a\r\nTE: trailers\r\nConnection: close, TE\r\n\r\n";
    let answer = gate.exchange(request);
    assert!(answer.to_ascii_lowercase().ends_with("x-sum: 7\r\n\r\n"), "{answer}");
    assert_row(&gate.one_record(), json!({"tollgate.termination": "complete", "http.response.body.size": 2}));
}

#[test]
fn a_stale_pooled_connection_is_replaced_once_when_that_is_safe() {
    for (request, status) in [
        ("GET /api HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", "200"),
        ("POST /api HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nConnection: close\r\n\r\nx", "502"),
    ] {
        // The first connection answers once, then reads a request and closes without a byte.
        let upstream = Upstream::start(|mut stream, nth| {
            read_request(&mut stream);
            let _ = stream.write_all(OK);
            if nth == 0 {
                read_request(&mut stream);
            }
        });
        let gate = Gate::before(&upstream, "");
        assert_eq!(status_of(&gate.get("/api")), "200");
        assert_eq!(status_of(&gate.exchange(request)), status);
        let rows = gate.finish();
        assert_eq!(rows.len(), 2);
        let attempts = if status == "200" { 2 } else { 1 };
        assert_row(
            &rows[1],
            json!({"tollgate.upstream_attempts": attempts, "tollgate.upstream_reused": status != "200"}),
        );
    }
}

#[test]
fn no_spelling_of_a_path_leads_past_a_route_that_guards_it() {
    let route = "  - {name: rest, service: api}";
    let upstream = Upstream::echo();
    let targets = [format!("http://{}", upstream.addr)];
    let gate = Gate::with(&Setup { targets: &targets, route, ..Setup::default() });
    let table = [
        ("/secure/x", "401"),
        ("/%73ecure/x", "401"),
        ("//secure/x", "401"),
        ("/;/secure;v=1/x", "401"),
        ("/pub/..%2fsecure", "400"),
        ("/pub/..;/secure", "400"),
        ("/pub\\..\\secure", "400"),
        ("/pub//%7Ex", "200"),
    ];
    for (path, status) in table {
        assert_eq!(status_of(&gate.get(path)), status, "{path}");
    }
    assert_eq!(upstream.connections.load(std::sync::atomic::Ordering::SeqCst), 1);
    assert_eq!(gate.finish().len(), table.len());
}

#[test]
fn a_body_that_goes_on_after_the_response_is_no_other_request() {
    let upstream = Upstream::start(|mut stream, _| {
        read_until(&mut stream, "\r\n\r\n");
        let _ = stream.write_all(OK);
        let _ = stream.read_to_end(&mut Vec::new());
    });
    let gate = Gate::before(&upstream, "");
    for path in ["/api", "/nowhere"] {
        let mut stream = gate.connect();
        let request = format!("POST {path} HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\n01");
        stream.write_all(request.as_bytes()).unwrap();
        read_until(&mut stream, "\r\n\r\n").unwrap();
        std::thread::sleep(Duration::from_millis(30));
        let _the_gate_may_have_closed = stream.write_all(b"23456");
        std::thread::sleep(Duration::from_millis(30));
    }
    let rows = gate.finish();
    assert_eq!(rows.len(), 2, "{rows:#?}");
}

#[test]
fn a_get_keeps_its_chunked_body() {
    let gate = Gate::before(&Upstream::echo(), "");
    let answer = gate.exchange(
        "GET /api HTTP/1.1\r\nHost: a\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
    );
    assert!(answer.contains("3\r\nabc\r\n0\r\n"), "{answer}");
}

#[test]
fn clients_are_not_told_what_is_behind_the_gate() {
    let closed = Nobody::there();
    let gate = Gate::with(&Setup { targets: &[closed.url()], ..Setup::default() });
    let answer = gate.get("/api");
    assert!(answer.contains("the API cannot be reached") && !answer.contains("127.0.0.1"), "{answer}");
}

#[test]
fn answers_that_come_in_older_or_longer_ways() {
    let table: [(&str, &'static [u8], &str, i64); 5] = [
        ("HTTP/1.0, to the end of the connection", b"HTTP/1.0 200 OK\r\n\r\nhello", "200", 5),
        ("HTTP/1.0 with a length", b"HTTP/1.0 200 OK\r\ncontent-length: 5\r\n\r\nhello", "200", 5),
        ("to the end of the connection", b"HTTP/1.1 200 OK\r\nconnection: close\r\n\r\nhello", "200", 5),
        ("after 100", b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello", "200", 5),
        (
            "after 103",
            b"HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\nHTTP/1.1 404 No\r\ncontent-length: 5\r\n\r\nhello",
            "404",
            5,
        ),
    ];
    for (way, bytes, status, size) in table {
        let upstream = Upstream::start(move |mut stream, _| {
            read_request(&mut stream);
            let _ = stream.write_all(bytes);
        });
        let gate = Gate::before(&upstream, "");
        for _ in 0..2 {
            let answer = gate.get("/api");
            assert_eq!(status_of(&answer), status, "{way}: {answer}");
            assert!(answer.contains("hello"), "{way}: {answer}");
        }
        let rows = gate.finish();
        for row in rows {
            assert_row(
                &row,
                json!({"tollgate.termination": "complete", "http.response.body.size": size, "error.type": null}),
            );
        }
    }
}
