//! Requests and responses that hyper accepts and a proxy must not, row by row.

use http::Request;
use http::header::{CONNECTION, CONTENT_LENGTH, HeaderName};

use super::*;

/// A request line and fields, as text: `GET /path HTTP/1.1 | Name: value | …`.
fn head(text: &str) -> request::Parts {
    let mut lines = text.split(" | ");
    let mut line = lines.next().unwrap().split(' ');
    let (method, target) = (line.next().unwrap(), line.next().unwrap());
    let version = match line.next().unwrap() {
        "HTTP/1.0" => Version::HTTP_10,
        "HTTP/2" => Version::HTTP_2,
        _ => Version::HTTP_11,
    };
    let mut request = Request::builder().method(method).uri(target).version(version);
    for field in lines {
        let (name, value) = field.split_once(": ").unwrap_or((field.trim_end_matches(':'), ""));
        request = request.header(name, value);
    }
    request.body(()).unwrap().into_parts().0
}

const LIST_MAX: u32 = 1_000;

#[test]
fn a_header_list_has_a_bound_on_http2() {
    let fields = " | X: y".repeat(50);
    let refusal = request(&mut head(&format!("GET https://a/ HTTP/2{fields}")), LIST_MAX).unwrap_err();
    assert_eq!((refusal.status.as_u16(), refusal.class), (431, ErrorClass::TooLarge));
    request(&mut head(&format!("GET / HTTP/1.1 | Host: a{fields}")), LIST_MAX).unwrap();
}

#[test]
fn refused() {
    let table = [
        ("GET / HTTP/1.1", 400, "Host is missing"),
        ("GET / HTTP/1.1 | Host: a | Host: a", 400, "more than one Host"),
        ("GET / HTTP/1.1 | Host: a b/c", 400, "Host is not"),
        ("GET / HTTP/1.1 | Host: user@a", 400, "Host is not"),
        ("GET / HTTP/1.1 | Host:", 400, "Host is not"),
        ("GET / HTTP/1.1 | Host: a:http", 400, "Host is not"),
        ("GET / HTTP/1.1 | Host: a:80:90", 400, "Host is not"),
        ("GET / HTTP/1.1 | Host: [::1", 400, "Host is not"),
        ("GET / HTTP/1.1 | Host: []", 400, "Host is not"),
        ("GET / HTTP/1.1 | Host: [::1]x", 400, "Host is not"),
        ("GET http://u@evil/ HTTP/1.1 | Host: a", 400, "authority is not"),
        ("GET a:80 HTTP/1.1 | Host: a", 400, "an authority"),
        ("GET ftp://a/ HTTP/1.1 | Host: a", 400, "neither http nor https"),
        ("POST / HTTP/1.1 | Host: a | Transfer-Encoding: identity, chunked", 501, "only transfer coding"),
        ("POST / HTTP/1.1 | Host: a | Transfer-Encoding: gzip, chunked", 501, "only transfer coding"),
        ("POST / HTTP/1.1 | Host: a | Transfer-Encoding: chunked, chunked", 501, "only transfer coding"),
        ("POST / HTTP/1.1 | Host: a | Transfer-Encoding: chunked | Transfer-Encoding: chunked", 400, "more than one"),
        ("GET * HTTP/1.1 | Host: a", 400, "OPTIONS only"),
        ("CONNECT a:80 HTTP/1.1 | Host: a", 405, "CONNECT"),
        ("GET / HTTP/1.1 | Host: a | Expect: 200-ok", 417, "100-continue"),
        ("GET / HTTP/1.1 | Host: a | Expect: 100-continue | Expect: x", 417, "100-continue"),
        ("GET /a/../b HTTP/1.1 | Host: a", 400, "dot segment"),
        ("GET /a/%2e%2E/b HTTP/1.1 | Host: a", 400, "dot segment"),
        ("GET /a/.%2e HTTP/1.1 | Host: a", 400, "dot segment"),
        ("GET /./b HTTP/1.1 | Host: a", 400, "dot segment"),
        ("GET /pub/..;/admin HTTP/1.1 | Host: a", 400, "dot segment"),
        ("GET /pub\\..\\admin HTTP/1.1 | Host: a", 400, "backslash"),
        ("GET /pub/..%2fadmin HTTP/1.1 | Host: a", 400, "encoded slash"),
        ("GET /pub%5cadmin HTTP/1.1 | Host: a", 400, "encoded slash"),
        ("GET /admin%00 HTTP/1.1 | Host: a", 400, "encoded slash"),
    ];
    for (text, status, detail) in table {
        let refusal = request(&mut head(text), LIST_MAX).expect_err(text);
        assert_eq!(refusal.status.as_u16(), status, "{text}");
        assert!(refusal.detail.contains(detail), "{text}: {}", refusal.detail);
        assert_eq!(refusal.class, ErrorClass::BadRequest, "{text}");
    }
}

#[test]
fn accepted_with_this_host_and_these_fields() {
    let table = [
        ("GET / HTTP/1.1 | Host: a:80 | Accept: x", "a:80", "host accept"),
        ("GET http://evil/ HTTP/1.1 | Host: good", "evil", "host"),
        ("GET / HTTP/1.0", "", ""),
        ("GET https://a/ HTTP/2", "a", ""),
        ("OPTIONS * HTTP/1.1 | Host: a", "a", "host"),
        ("GET / HTTP/1.1 | Host: [::1]:80", "[::1]:80", "host"),
        ("GET /.well-known/x..y HTTP/1.1 | Host: a", "a", "host"),
        ("POST / HTTP/1.1 | Host: a | Transfer-Encoding: Chunked", "a", "host"),
        ("GET / HTTP/1.1 | Host: a | Connection: x-secret, close | X-Secret: 1 | Keep-Alive: 5", "a", "host"),
        ("GET / HTTP/1.1 | Host: a | Connection: host, authorization | Authorization: b", "a", "host authorization"),
        ("GET / HTTP/1.1 | Host: a | Connection: x-forwarded-for | X-Forwarded-For: b", "a", "host x-forwarded-for"),
        ("GET / HTTP/1.1 | Host: a | Proxy-Connection: close | Proxy-Authorization: x", "a", "host"),
        ("GET / HTTP/1.1 | Host: a | TE: trailers, deflate | Connection: TE", "a", "host te"),
        ("GET / HTTP/1.1 | Host: a | TE: deflate", "a", "host"),
        ("POST / HTTP/1.1 | Host: a | Expect: 100-Continue", "a", "host"),
        (
            "GET / HTTP/1.1 | Host: a | Upgrade: h2c | Connection: upgrade, http2-settings | HTTP2-Settings: x",
            "a",
            "host",
        ),
        ("GET / HTTP/1.1 | Host: a | X-Client-Cert-Subject: root | X-Client-Cert: y", "a", "host"),
        ("GET / HTTP/1.1 | Host: a | X_Client_Cert_Subject: root | X-Client_Cert: y", "a", "host"),
        ("GET / HTTP/1.1 | Host: a | X_Forwarded_For: b | X_Real_Ip: c | X_Request_Id: d | X_Y: e", "a", "host x_y"),
        ("POST / HTTP/1.1 | Host: a | Transfer_Encoding: chunked | content_length: 3 | X_Y: 1", "a", "host x_y"),
        ("GET https://a/ HTTP/2 | Cookie: a=1 | Cookie: b=2", "a", "cookie"),
    ];
    for (text, host, fields) in table {
        let mut parts = head(text);
        let normal = request(&mut parts, LIST_MAX).unwrap_or_else(|refusal| panic!("{text}: {refusal:?}"));
        assert_eq!(normal.host, host, "{text}");
        let names: Vec<_> = parts.headers.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names.join(" "), fields, "{text}");
        assert_eq!(normal.upgrade, None, "{text}");
    }
}

#[test]
fn the_path_that_is_forwarded_is_the_path_that_is_routed() {
    let mut parts = head("GET http://a/%61dmin/%7Ex%2b?q=%61 HTTP/1.1 | Host: a");
    request(&mut parts, LIST_MAX).unwrap();
    assert_eq!(parts.uri, "http://a/admin/~x%2B?q=%61");
}

#[test]
fn trailers_cannot_say_what_a_head_cannot() {
    let mut fields = HeaderMap::new();
    for name in ["x_forwarded_for", "x-client-cert", "authorization", "host", "transfer-encoding", "grpc-status"] {
        fields.insert(name, HeaderValue::from_static("1"));
    }
    trailers(&mut fields);
    assert_eq!(fields.keys().map(HeaderName::as_str).collect::<Vec<_>>(), ["grpc-status"]);
}

#[test]
fn cookies_are_joined_and_te_is_trailers_alone() {
    let mut parts = head("GET https://a/ HTTP/2 | Cookie: a=1 | Cookie: b=2 | TE: trailers");
    request(&mut parts, LIST_MAX).unwrap();
    assert_eq!(parts.headers[COOKIE], "a=1; b=2");
    assert_eq!(parts.headers[TE], "trailers");
}

#[test]
fn upgrade_needs_both_fields_and_no_body() {
    let wants = |text| request(&mut head(text), LIST_MAX).unwrap().upgrade.is_some();
    assert!(wants("GET / HTTP/1.1 | Host: a | Connection: keep-alive, Upgrade | Upgrade: websocket"));
    assert!(!wants("GET / HTTP/1.1 | Host: a | Connection: upgrade | Upgrade: websocket, H2C"));
    assert!(!wants("GET / HTTP/1.1 | Host: a | Upgrade: websocket"));
    assert!(!wants("GET / HTTP/1.1 | Host: a | Connection: upgrade"));
    assert!(!wants("GET / HTTP/1.1 | Host: a | Connection: upgrade | Upgrade: websocket | Content-Length: 3"));
    assert!(!wants("GET / HTTP/1.0 | Host: a | Connection: upgrade | Upgrade: websocket"));
}

#[test]
fn a_switch_is_to_what_was_offered() {
    let [offered, chosen, other] = ["websocket, x/1", "WebSocket", "y"].map(HeaderValue::from_static);
    assert!(is_offered(Some(&chosen), Some(&offered)));
    assert!(!is_offered(Some(&other), Some(&offered)));
    assert!(!is_offered(None, Some(&offered)));
    assert!(!is_offered(Some(&chosen), None));
}

#[test]
fn a_length_has_no_leading_zeros() {
    for (sent, forwarded) in [("0003", "3"), ("000", "0"), ("0", "0"), ("30", "30")] {
        let mut parts = head(&format!("POST / HTTP/1.1 | Host: a | Content-Length: {sent}"));
        request(&mut parts, LIST_MAX).unwrap();
        assert_eq!(parts.headers[CONTENT_LENGTH], forwarded);
    }
}

#[test]
fn a_response_has_one_length_at_most() {
    for (fields, expected) in [
        (&[("content-length", "3, 3")][..], Some("3")),
        (&[("content-length", "3"), ("content-length", "3")], Some("3")),
        (&[("content-length", "3")], Some("3")),
        (&[("transfer-encoding", "chunked"), ("content-length", "9")], None),
    ] {
        let mut headers = HeaderMap::new();
        for (name, value) in fields {
            headers.append(*name, HeaderValue::from_static(value));
        }
        response(&mut headers).unwrap();
        let lengths: Vec<_> = headers.get_all(CONTENT_LENGTH).iter().collect();
        assert_eq!(lengths, expected.into_iter().collect::<Vec<_>>(), "{fields:?}");
    }
}

#[test]
fn response_hop_by_hop_fields_go_and_strange_codings_are_refused() {
    let mut headers = HeaderMap::new();
    headers.insert(CONNECTION, HeaderValue::from_static("x-inner, close"));
    headers.insert("x-inner", HeaderValue::from_static("1"));
    headers.insert(TRANSFER_ENCODING, HeaderValue::from_static("chunked"));
    headers.insert("x-kept", HeaderValue::from_static("1"));
    response(&mut headers).unwrap();
    assert_eq!(headers.keys().map(HeaderName::as_str).collect::<Vec<_>>(), ["x-kept"]);
    headers.insert(TRANSFER_ENCODING, HeaderValue::from_static("gzip, chunked"));
    assert!(response(&mut headers).is_err());
}
