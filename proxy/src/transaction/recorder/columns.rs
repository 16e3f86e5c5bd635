//! The facts of a transaction as the columns of its row.

use std::time::{Duration, Instant};

use http::{Method, Version};
use tollgate_record::Record;
use tollgate_record::vocabulary::{AclDecision, AuthFailReason, MtlsVerify, WafAction};

use crate::plan::{RouteConfig, RuntimeConfig};
use crate::transaction::ConnectionFacts;
use crate::transaction::facts::{AuthFacts, RequestFacts};
use crate::upstream::UpstreamFacts;

/// Fills the columns that are the same for all requests of a connection.
pub fn fill_connection<'a>(record: &mut Record<'a>, connection: &'a ConnectionFacts, ports: &[u16]) {
    record.peer_ip = Some(&connection.peer_ip);
    record.client_ip = Some(&connection.client_ip);
    record.client_port = Some(i32::from(connection.client.port()));
    record.client_ip_source = Some(connection.client_source);
    record.server_port = ports.get(connection.listener).map(|port| i32::from(*port));
    let Some(tls) = &connection.tls else { return };
    if !tls.version.is_empty() {
        record.tls_version = Some(tls.version);
        record.tls_cipher = Some(&tls.cipher);
        record.tls_resumed = Some(tls.resumed);
        record.mtls_verify = Some(MtlsVerify::None);
    }
    record.tls_sni = tls.sni.as_deref();
    record.tls_alpn = tls.alpn.as_deref();
    if let Some(client) = &tls.client {
        record.mtls_verify = Some(MtlsVerify::Success);
        record.client_cert_sha256 = Some(&client.sha256);
        record.client_cert_subject = Some(&client.subject);
        record.client_cert_issuer = Some(&client.issuer);
        record.client_cert_serial = Some(&client.serial_hex);
        record.client_cert_not_after_us = Some(client.not_after_us);
    }
}

/// Fills the columns of the request.
pub fn fill_request<'a>(record: &mut Record<'a>, request: &'a RequestFacts) {
    record.method = Some(method(&request.method));
    record.host = request.host.as_ref().and_then(|host| host.to_str().ok()).filter(|host| !host.is_empty());
    record.http_version = Some(version(request.version));
    record.headers = request.headers_json.as_deref();
    if let Some(trace) = &request.trace {
        record.trace_id = Some(&trace.trace_id);
        record.span_id = Some(&trace.span_id);
        record.parent_span_id = trace.parent.as_ref();
        record.trace_sampled = Some(trace.is_sampled());
    }
    if let Some((ip, source)) = &request.client_ip {
        record.client_ip = Some(ip);
        record.client_port = None;
        record.client_ip_source = Some(*source);
    }
    record.request_header_bytes = (request.head_bytes > 0).then_some(request.head_bytes);
    record.request_bytes = Some(request.body.as_ref().map_or(0, |body| body.bytes.get() as i64));
}

/// Fills the columns of the route, its service, and the target.
pub fn fill_route<'a>(
    record: &mut Record<'a>,
    config: &'a RuntimeConfig,
    route: &'a RouteConfig,
    request: &RequestFacts,
    upstream: &UpstreamFacts,
) {
    let service = &config.services[route.service];
    record.route = Some(&route.name);
    record.http_route = route.paths.get(request.path).and_then(|path| path.http_route.as_deref());
    record.service = Some(&service.name);
    record.app_id = service.app_id.as_deref();
    record.acl_decision = Some(AclDecision::None);
    record.waf_action = Some(WafAction::Off);
    let target = upstream.target.and_then(|target| service.targets.get(target));
    record.upstream_host = match route.client_host {
        true if upstream.target.is_some() => record.host,
        _ => target.and_then(|target| target.host.to_str().ok()),
    };
}

/// What was wrong with the client's certificate, by a word of [`tollgate_tls::handshake_failure_reason`].
pub fn certificate_fault(reason: &str) -> Option<AuthFailReason> {
    Some(match reason {
        "cert_expired" => AuthFailReason::CertExpired,
        "cert_unknown_ca" => AuthFailReason::CertUnknownCa,
        "cert_revoked" => AuthFailReason::CertRevoked,
        "no_certificate" => AuthFailReason::Missing,
        "bad_signature" => AuthFailReason::BadSignature,
        _ => return None,
    })
}

/// The groups of a verified caller.
pub fn groups(auth: &AuthFacts) -> Vec<&str> {
    let principal = auth.caller.as_ref().and_then(|caller| caller.principal.as_ref());
    principal.map_or_else(Vec::new, |principal| principal.groups.iter().map(|group| &**group).collect())
}

/// Fills the columns of who called. Where the route did not ask, a verified client certificate tells.
pub fn fill_caller<'a>(
    record: &mut Record<'a>,
    auth: &'a AuthFacts,
    connection: &'a ConnectionFacts,
    groups: &'a [&'a str],
) {
    let Some(caller) = &auth.caller else {
        record.consumer = consumer(connection);
        return;
    };
    record.consumer = caller.consumer();
    record.credential_id = caller.credential_id();
    record.auth_groups = groups;
    if caller.acl.is_some() {
        record.acl_decision = caller.acl;
    }
}

/// The name in a verified client certificate.
fn consumer(connection: &ConnectionFacts) -> Option<&str> {
    let client = connection.tls.as_ref()?.client.as_ref()?;
    client.common_name.as_deref().or(client.dns_names.first().map(String::as_str))
}

/// Fills the times of a transaction. The time that no wait accounts for is the gateway's own.
pub fn times(record: &mut Record<'_>, request: &RequestFacts, upstream: &UpstreamFacts, ended_at: Instant) {
    let us = |duration: Duration| duration.as_micros() as i64;
    let total = ended_at.saturating_duration_since(request.began_at);
    record.upstream_attempts = Some(upstream.attempts);
    record.upstream_reused = upstream.reused;
    record.upstream_status = upstream.status.map(i32::from);
    record.upstream_dns_us = upstream.dns.map(us);
    record.upstream_connect_us = upstream.connect.map(us);
    record.upstream_tls_us = upstream.tls.map(us);
    // A request is sent when its last byte is. A body that goes on beside the response counts from the head.
    let body_ended = request.body.as_ref().and_then(|body| body.ended_at.get());
    let answered_at = upstream.first_byte_at.unwrap_or(ended_at);
    let sent_at =
        upstream.sent_at.map(|sent| body_ended.filter(|at| *at <= answered_at).map_or(sent, |at| at.max(sent)));
    let ttfb = sent_at.map(|sent| answered_at.saturating_duration_since(sent));
    record.upstream_ttfb_us = ttfb.map(us);
    let last = upstream.last_byte_at;
    let receive = upstream.first_byte_at.map(|first| last.unwrap_or(ended_at).saturating_duration_since(first));
    record.upstream_receive_us = receive.map(us);
    let head_wait = request.head_at.saturating_duration_since(request.began_at);
    let body_wait = match (upstream.sent_at, sent_at) {
        (Some(head), Some(all)) => all.saturating_duration_since(head),
        _ => Duration::ZERO,
    };
    let waits = [Some(head_wait), Some(body_wait), upstream.dns, upstream.connect, upstream.tls, ttfb, receive];
    let waits: Duration = waits.into_iter().flatten().sum();
    record.total_us = Some(us(total));
    record.gateway_us = Some(us(total.saturating_sub(waits)));
}

/// The name of a known method; `_OTHER` for any other, so that clients cannot fill the dictionary.
fn method(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::POST => "POST",
        Method::PUT => "PUT",
        Method::DELETE => "DELETE",
        Method::PATCH => "PATCH",
        Method::HEAD => "HEAD",
        Method::OPTIONS => "OPTIONS",
        Method::TRACE => "TRACE",
        Method::CONNECT => "CONNECT",
        _ => "_OTHER",
    }
}

fn version(version: Version) -> &'static str {
    match version {
        Version::HTTP_10 => "1.0",
        Version::HTTP_2 => "2",
        _ => "1.1",
    }
}
