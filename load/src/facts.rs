//! One made-up record.

use tollgate_record::Record;
use tollgate_record::vocabulary::{
    AclDecision, AuthPattern, AuthResult, ClientIpSource, ErrorClass, Kind, MtlsVerify, ResponseSource, Termination,
    WafAction,
};

use crate::draws::Draws;
use crate::outcome::{self, Outcome};
use crate::world::{Certificate, Consumer, Route, Service, World};

const HEX: &[u8; 16] = b"0123456789abcdef";
/// Records with a trace, and with a correlation id, in a million.
const TRACED: u64 = 500_000;
const CORRELATED: u64 = 300_000;
/// Requests that need a new upstream connection, and that resume a TLS session, in a million.
const FRESH: u64 = 50_000;
const RESUMED: u64 = 800_000;

/// The facts of one record; the memory is used again for the next.
#[derive(Debug)]
pub struct Facts {
    outcome: Outcome,
    time_us: i64,
    seq: i64,
    service: usize,
    route: usize,
    consumer: usize,
    certificate: Option<usize>,
    address: String,
    path: String,
    query: Option<&'static str>,
    correlation_id: [u8; 36],
    is_correlated: bool,
    trace_id: [u8; 16],
    span_id: [u8; 8],
    parent_span_id: [u8; 8],
    is_traced: bool,
    is_fresh: bool,
    is_resumed: bool,
    upstream: usize,
    client_port: i32,
    request_bytes: i64,
    response_bytes: i64,
    head_bytes: i64,
    gateway_us: i64,
    dns_us: i64,
    connect_us: i64,
    tls_us: i64,
    ttfb_us: i64,
    receive_us: i64,
}

impl Default for Facts {
    fn default() -> Self {
        Self {
            outcome: Outcome::Answered(200),
            time_us: 0,
            seq: 0,
            service: 0,
            route: 0,
            consumer: 0,
            certificate: None,
            address: String::new(),
            path: String::new(),
            query: None,
            correlation_id: [b'-'; 36],
            is_correlated: false,
            trace_id: [0; 16],
            span_id: [0; 8],
            parent_span_id: [0; 8],
            is_traced: false,
            is_fresh: false,
            is_resumed: false,
            upstream: 0,
            client_port: 0,
            request_bytes: 0,
            response_bytes: 0,
            head_bytes: 0,
            gateway_us: 0,
            dns_us: 0,
            connect_us: 0,
            tls_us: 0,
            ttfb_us: 0,
            receive_us: 0,
        }
    }
}

impl Facts {
    /// Draws the facts of record `number`, which its producer numbers `seq`.
    pub(crate) fn draw(&mut self, world: &World, number: u64, time_us: i64, seq: i64) {
        let mut draws = Draws::of(world.seed, number);
        self.time_us = time_us + draws.below(1_000) as i64;
        self.seq = seq;
        self.service = world.draw_service(&mut draws);
        let service = &world.services[self.service];
        self.consumer = world.draw_consumer(self.service, &mut draws);
        self.route = draws.below(service.routes.len() as u64) as usize;
        self.outcome = outcome::outcome(world.seed, self.service, service.is_watched, self.time_us, &mut draws);
        let has_tls = world.consumers[self.consumer].tls_version.is_some();
        let certificates = world.certificates.len();
        self.certificate = (service.by_certificate && has_tls).then_some(self.consumer % certificates);
        self.address.clear();
        self.address.push_str(world.draw_address(&mut draws));
        self.write_path(&service.routes[self.route], &mut draws);
        self.draw_ids(&mut draws);
        self.is_fresh = draws.happens(FRESH);
        self.is_resumed = draws.happens(RESUMED);
        self.upstream = draws.below(service.upstreams.len() as u64) as usize;
        self.client_port = 1_024 + draws.below(64_000) as i32;
        let has_body = service.routes[self.route].method != "GET";
        self.request_bytes = if has_body { (7.0 + 1.2 * draws.normal()).exp() as i64 } else { 0 };
        self.response_bytes = (7.5 + 1.4 * draws.normal()).exp() as i64;
        self.head_bytes = 380 + draws.below(300) as i64;
        self.draw_latencies(service, &mut draws);
    }

    fn write_path(&mut self, route: &Route, draws: &mut Draws) {
        self.path.clear();
        self.path.push_str(&route.path);
        if route.has_id {
            self.path.push_str("/{redacted}");
        }
        self.query = match draws.below(10) {
            0 => Some("page=REDACTED&limit=REDACTED"),
            1 => Some("fields=REDACTED"),
            _ => None,
        };
    }

    fn draw_ids(&mut self, draws: &mut Draws) {
        self.is_traced = draws.happens(TRACED);
        if self.is_traced {
            draws.fill(&mut self.trace_id);
            draws.fill(&mut self.span_id);
            draws.fill(&mut self.parent_span_id);
        }
        self.is_correlated = draws.happens(CORRELATED);
        if self.is_correlated {
            let mut bytes = [0; 16];
            draws.fill(&mut bytes);
            // Version 4, variant 1 (RFC 9562, section 5.4).
            bytes[6] = bytes[6] & 0x0f | 0x40;
            bytes[8] = bytes[8] & 0x3f | 0x80;
            uuid_text(&bytes, &mut self.correlation_id);
        }
    }

    /// Stages of one request are slow together: they share a draw.
    fn draw_latencies(&mut self, service: &Service, draws: &mut Draws) {
        let load = draws.normal();
        let log_normal =
            |median_us: f64, sigma: f64, own: f64| (median_us.ln() + sigma * (0.7 * load + 0.7 * own)).exp() as i64;
        self.gateway_us = log_normal(110.0, 0.4, draws.normal());
        self.ttfb_us = log_normal(service.ln_median_us.exp(), service.sigma, draws.normal());
        self.receive_us = log_normal(60.0 + self.response_bytes as f64 / 50.0, 0.6, draws.normal());
        if self.is_fresh {
            self.dns_us = log_normal(300.0, 0.8, draws.normal());
            self.connect_us = log_normal(500.0, 0.5, draws.normal());
            self.tls_us = log_normal(1_800.0, 0.4, draws.normal());
        }
        if let Outcome::Failed(ErrorClass::UpstreamTimeout, _) = self.outcome {
            self.ttfb_us = 30_000_000;
        }
    }

    /// When it happened, in microseconds since the Unix epoch.
    pub fn time_us(&self) -> i64 {
        self.time_us
    }

    /// How many numbers of its producer it takes: a gap takes those of the records that it declares.
    pub(crate) fn numbers(&self) -> i64 {
        if let Outcome::Gap(_, count) = self.outcome { count } else { 1 }
    }

    /// The record that a proxy would have written.
    pub fn record<'a>(&'a self, world: &'a World) -> Record<'a> {
        match self.outcome {
            Outcome::Gap(reason, count) => Record {
                time_us: self.time_us,
                seq: self.seq,
                kind: Kind::Gap,
                gap_count: Some(count),
                gap_reason: Some(reason),
                ..Record::default()
            },
            Outcome::Handshake => Record {
                time_us: self.time_us,
                seq: self.seq,
                kind: Kind::HandshakeFailed,
                config_revision: Some("4f2a9c01b7de"),
                client_ip: Some(&self.address),
                client_port: Some(self.client_port),
                peer_ip: Some(&self.address),
                client_ip_source: Some(ClientIpSource::Peer),
                server_port: Some(8443),
                tls_sni: Some(&world.services[self.service].host),
                mtls_verify: Some(MtlsVerify::Failed),
                error_class: Some(ErrorClass::TlsHandshake),
                error_detail: Some("the certificate's issuer is unknown"),
                termination: Some(Termination::Gateway),
                total_us: Some(self.gateway_us * 9),
                gateway_us: Some(self.gateway_us),
                ..Record::default()
            },
            _ => self.transaction(world),
        }
    }

    fn transaction<'a>(&'a self, world: &'a World) -> Record<'a> {
        let service = &world.services[self.service];
        let route = &service.routes[self.route];
        let consumer = &world.consumers[self.consumer];
        Record {
            time_us: self.time_us,
            seq: self.seq,
            kind: Kind::Transaction,
            correlation_id: self.correlation_id(),
            trace_id: self.is_traced.then_some(&self.trace_id),
            span_id: self.is_traced.then_some(&self.span_id),
            parent_span_id: self.is_traced.then_some(&self.parent_span_id),
            trace_sampled: self.is_traced.then_some(self.trace_id[0] < 26),
            service: Some(&service.name),
            route: Some(&route.name),
            http_route: Some(&route.template),
            app_id: Some(&service.app_id),
            config_revision: Some("4f2a9c01b7de"),
            client_ip: Some(&self.address),
            client_port: Some(self.client_port),
            peer_ip: Some("10.9.0.7"),
            client_ip_source: Some(ClientIpSource::Xff),
            host: Some(&service.host),
            method: Some(route.method),
            path: Some(&self.path),
            query: self.query,
            request_bytes: Some(self.request_bytes),
            request_header_bytes: Some(self.head_bytes),
            response_header_bytes: Some(self.head_bytes / 2),
            user_agent: Some(consumer.agent),
            token_hmac: (!service.by_certificate).then_some(&consumer.hmac),
            waf_action: Some(match self.outcome {
                Outcome::Blocked(_) => WafAction::Blocked,
                _ if service.is_watched => WafAction::Pass,
                _ => WafAction::Off,
            }),
            waf_us: service.is_watched.then_some(self.gateway_us / 3),
            ..self.connection(service, consumer, self.certificate.map(|nth| &world.certificates[nth]))
        }
    }

    /// Facts of the connection, and from there the outcome.
    fn connection<'a>(
        &'a self,
        service: &'a Service,
        consumer: &'a Consumer,
        certificate: Option<&'a Certificate>,
    ) -> Record<'a> {
        let has_tls = consumer.tls_version.is_some();
        Record {
            server_port: Some(if has_tls { 8443 } else { 8080 }),
            http_version: Some(if consumer.is_http2 { "2" } else { "1.1" }),
            tls_version: consumer.tls_version,
            tls_cipher: has_tls.then_some(consumer.tls_cipher),
            tls_resumed: has_tls.then_some(self.is_resumed),
            tls_sni: has_tls.then_some(&service.host),
            tls_alpn: has_tls.then_some(if consumer.is_http2 { "h2" } else { "http/1.1" }),
            mtls_verify: has_tls.then_some(match certificate {
                Some(_) => MtlsVerify::Success,
                None => MtlsVerify::None,
            }),
            client_cert_sha256: certificate.map(|certificate| &certificate.sha256),
            client_cert_subject: certificate.map(|certificate| certificate.subject.as_str()),
            client_cert_issuer: certificate.map(|_| "CN=Partner CA,O=Example,C=NL"),
            client_cert_serial: certificate.map(|certificate| certificate.serial.as_str()),
            client_cert_not_after_us: certificate.map(|certificate| certificate.not_after_us),
            ..self.outcome(service, consumer)
        }
    }

    fn outcome<'a>(&'a self, service: &'a Service, consumer: &'a Consumer) -> Record<'a> {
        let pattern = if service.by_certificate { AuthPattern::Mtls } else { AuthPattern::Jwt };
        let admitted = Record {
            auth_pattern: Some(pattern),
            auth_result: Some(AuthResult::Success),
            consumer: Some(&consumer.name),
            acl_decision: Some(AclDecision::Allow),
            ..Record::default()
        };
        let refused = |status, class, detail| Record {
            status: Some(status),
            response_bytes: Some(120),
            response_source: Some(ResponseSource::Gateway),
            termination: Some(Termination::Gateway),
            error_class: Some(class),
            error_detail: Some(detail),
            upstream_attempts: Some(0),
            total_us: Some(self.gateway_us),
            gateway_us: Some(self.gateway_us),
            ..admitted
        };
        match self.outcome {
            Outcome::Unauthenticated(reason) => Record {
                auth_result: Some(AuthResult::Failed),
                auth_fail_reason: Some(reason),
                consumer: None,
                acl_decision: Some(AclDecision::None),
                ..refused(401, ErrorClass::Auth, "the credential was refused")
            },
            Outcome::Blocked(_) => Record {
                waf_score: Some(5 + (self.client_port % 4) * 5),
                waf_rule_ids: self.rule(),
                ..refused(403, ErrorClass::Waf, "a rule of the firewall matched")
            },
            Outcome::Failed(class @ (ErrorClass::RateLimited | ErrorClass::Acl | ErrorClass::BadRequest), status) => {
                refused(status, class, class.client_message())
            }
            Outcome::Failed(class, status) => self.proxied(service, admitted, status, Some(class)),
            Outcome::Answered(status) => self.proxied(service, admitted, status, None),
            Outcome::Handshake | Outcome::Gap(..) => admitted,
        }
    }

    fn rule(&self) -> &[i32] {
        if let Outcome::Blocked(rule) = &self.outcome { std::slice::from_ref(rule) } else { &[] }
    }

    fn proxied<'a>(
        &'a self,
        service: &'a Service,
        admitted: Record<'a>,
        status: i32,
        class: Option<ErrorClass>,
    ) -> Record<'a> {
        let is_answered = matches!(class, None | Some(ErrorClass::Upstream5xx | ErrorClass::ClientAbort));
        let termination = match class {
            None | Some(ErrorClass::Upstream5xx) => Termination::Complete,
            Some(ErrorClass::ClientAbort) => Termination::Client,
            Some(ErrorClass::UpstreamReset) => Termination::Upstream,
            Some(_) => Termination::Gateway,
        };
        let waits = self.ttfb_us + if is_answered { self.receive_us } else { 0 };
        let fresh = |us| self.is_fresh.then_some(us);
        Record {
            upstream_host: Some(&service.upstream_host),
            upstream_addr: Some(&service.upstreams[self.upstream]),
            upstream_status: is_answered.then_some(if status == 499 { 200 } else { status }),
            upstream_attempts: Some(1),
            upstream_reused: Some(!self.is_fresh),
            status: Some(status),
            response_bytes: Some(if is_answered { self.response_bytes } else { 120 }),
            response_source: Some(if is_answered { ResponseSource::Upstream } else { ResponseSource::Gateway }),
            termination: Some(termination),
            error_class: class,
            error_detail: class.map(ErrorClass::client_message),
            total_us: Some(self.gateway_us + self.dns_us * i64::from(self.is_fresh) + waits),
            gateway_us: Some(self.gateway_us),
            upstream_dns_us: fresh(self.dns_us),
            upstream_connect_us: fresh(self.connect_us),
            upstream_tls_us: fresh(self.tls_us),
            upstream_ttfb_us: Some(self.ttfb_us),
            upstream_receive_us: is_answered.then_some(self.receive_us),
            ..admitted
        }
    }

    /// The caller's id, if the record has one.
    pub fn correlation_id(&self) -> Option<&str> {
        // The buffer holds hex digits and hyphens only.
        self.is_correlated.then(|| std::str::from_utf8(&self.correlation_id).ok()).flatten()
    }

    /// The `traceparent` of the request, if it has one (W3C Trace Context, section 3.2).
    pub fn traceparent(&self) -> Option<String> {
        let hex = |bytes: &[u8]| bytes.iter().flat_map(|byte| digits(*byte)).map(char::from).collect::<String>();
        self.is_traced.then(|| format!("00-{}-{}-01", hex(&self.trace_id), hex(&self.parent_span_id)))
    }
}

fn digits(byte: u8) -> [u8; 2] {
    [HEX[usize::from(byte >> 4)], HEX[usize::from(byte & 15)]]
}

/// 8-4-4-4-12 hex digits.
fn uuid_text(bytes: &[u8; 16], text: &mut [u8; 36]) {
    let mut at = 0;
    for (nth, byte) in bytes.iter().enumerate() {
        if matches!(nth, 4 | 6 | 8 | 10) {
            text[at] = b'-';
            at += 1;
        }
        text[at..at + 2].copy_from_slice(&digits(*byte));
        at += 2;
    }
}
