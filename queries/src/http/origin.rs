//! Refuses requests that pages of other origins send through a user's browser.
//!
//! A user of this server also reads other pages in the same browser, and those can send requests to any address that the
//! browser reaches. Three things tell such requests apart: the host name that they name (a page can give this address a
//! name of its own), the origin of the page, and the browser's own `Sec-Fetch` headers
//! (<https://www.w3.org/TR/fetch-metadata/>). A link that a user follows, such as an alert's, is let through: it only shows
//! an answer to that user.

use std::net::IpAddr;

use axum::extract::Request;
use axum::http::{HeaderMap, HeaderName, Method, header};
use axum::middleware::Next;
use axum::response::Response;

use super::response::Fault;
use crate::error::{ErrorKind, QueryError};

/// Refuses a request under a host name other than localhost or an address. A page whose own name resolves to this address
/// would send that name.
pub(super) async fn local_host_only(request: Request, next: Next) -> Result<Response, Fault> {
    let Some(host) = text(request.headers(), &header::HOST) else {
        return Ok(next.run(request).await);
    };
    let name = match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|digit| digit.is_ascii_digit()) => name,
        _ => host,
    };
    let bare = name.trim_start_matches('[').trim_end_matches(']');
    if bare.eq_ignore_ascii_case("localhost") || bare.parse::<IpAddr>().is_ok() {
        return Ok(next.run(request).await);
    }
    Err(QueryError::new(ErrorKind::Refused, "this door answers on loopback, not under a host name")
        .hint("ask http://127.0.0.1 or http://localhost")
        .into())
}

/// Refuses a request that a page of another origin sends, unless it is a followed link.
pub(super) async fn own_pages_only(request: Request, next: Next) -> Result<Response, Fault> {
    if is_followed_link(request.method(), request.headers()) || is_of_own_page(request.headers()) {
        return Ok(next.run(request).await);
    }
    Err(QueryError::new(ErrorKind::Refused, "this door takes no request that a page of another origin sends")
        .hint("follow a link to /v1/questions/NAME/run, or ask with a program")
        .into())
}

/// Whether the request opens a page in a tab of its own. Only a browser sets these headers; no script can.
fn is_followed_link(method: &Method, headers: &HeaderMap) -> bool {
    let of_a_tab = text(headers, &SEC_FETCH_DEST).is_none_or(|shown| shown == "document");
    method == Method::GET && text(headers, &SEC_FETCH_MODE) == Some("navigate") && of_a_tab
}

/// Whether the request comes from no page, or from one of this server. Origin and host are compared with each other, so that
/// a name or scheme of a proxy in front does not matter.
fn is_of_own_page(headers: &HeaderMap) -> bool {
    if headers.contains_key(SEC_FETCH_SITE) && !matches!(text(headers, &SEC_FETCH_SITE), Some("same-origin" | "none")) {
        return false;
    }
    if !headers.contains_key(header::ORIGIN) {
        return true;
    }
    let origin = text(headers, &header::ORIGIN).unwrap_or_default();
    let authority = origin.strip_prefix("http://").or_else(|| origin.strip_prefix("https://"));
    match (authority, text(headers, &header::HOST)) {
        (Some(authority), Some(host)) => authority.eq_ignore_ascii_case(host),
        _ => false,
    }
}

const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");
const SEC_FETCH_MODE: HeaderName = HeaderName::from_static("sec-fetch-mode");
const SEC_FETCH_DEST: HeaderName = HeaderName::from_static("sec-fetch-dest");

fn text<'h>(headers: &'h HeaderMap, name: &HeaderName) -> Option<&'h str> {
    headers.get(name).and_then(|value| value.to_str().ok())
}
