//! Records that look like an API gateway's, made up from their number alone.

use tollgate_record::vocabulary::{
    AclDecision, AuthFailReason, AuthPattern, AuthResult, ClientIpSource, ErrorClass, Kind, MtlsVerify, ResponseSource,
    Termination, WafAction,
};
use tollgate_record::{BatchHeader, Record};

/// 2026-01-01T00:00:00Z.
const START_US: i64 = 1_767_225_600_000_000;

const AGENTS: [&str; 6] = [
    "okhttp/4.12.0",
    "Apache-HttpClient/5.3 (Java/21.0.2)",
    "python-requests/2.32.3",
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0.0.0 Safari/537.36",
    "Go-http-client/2.0",
    "axios/1.7.2",
];

/// The header of the made-up producer.
pub fn header() -> BatchHeader {
    BatchHeader {
        producer: "gate-1/6475c2e8d4000/0".to_owned(),
        node_id: "gate-1".to_owned(),
        gateway_version: "0.1.0".to_owned(),
        environment: "production".to_owned(),
        zone: "dc1-a".to_owned(),
        redaction_policy: "default-1".to_owned(),
        hmac_key_id: "2026-01".to_owned(),
    }
}

/// Numbers that look random, and are the same each time.
fn mix(number: u64, salt: u64) -> u64 {
    let mut mixed = number.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ salt.wrapping_mul(0xd1b5_4a32_d192_ed03);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

/// The made-up facts of one record that it does not share with others.
pub struct Facts {
    seq: i64,
    service: String,
    route: String,
    host: String,
    app: String,
    consumer: String,
    upstream: String,
    client_ip: String,
    path: String,
    correlation_id: String,
    trace_id: [u8; 16],
    span_id: [u8; 8],
    hmac: [u8; 32],
}

impl Facts {
    /// The facts of the record with this `seq`.
    pub fn of(seq: i64) -> Self {
        let number = seq as u64;
        // A few services take most of the traffic: the smaller of two draws out of 400.
        let service = (mix(number, 1) % 400).min(mix(number, 2) % 400);
        let consumer = mix(number, 3) % 60;
        let mut trace_id = [0; 16];
        trace_id[..8].copy_from_slice(&mix(number, 4).to_le_bytes());
        trace_id[8..].copy_from_slice(&mix(number, 5).to_le_bytes());
        let mut hmac = [0; 32];
        for (index, eight) in hmac.chunks_exact_mut(8).enumerate() {
            eight.copy_from_slice(&mix(consumer, 10 + index as u64).to_le_bytes());
        }
        Self {
            seq,
            service: format!("service-{service}"),
            route: format!("service-{service}-v1"),
            host: format!("api-{}.example.com", service % 12),
            app: format!("APP{:05}", service * 7),
            consumer: format!("consumer-{consumer}"),
            upstream: format!("10.2.{}.{}:8443", service % 250, mix(number, 6) % 4),
            client_ip: format!("10.{}.{}.{}", mix(number, 7) % 4, mix(number, 8) % 64, mix(number, 9) % 250),
            path: format!("/service-{service}/v1/members/{{redacted}}/claims/{}", mix(number, 10) % 500),
            correlation_id: format!("{:016x}", mix(number, 11)),
            trace_id,
            span_id: mix(number, 12).to_le_bytes(),
            hmac,
        }
    }

    /// The record of these facts.
    pub fn record(&self) -> Record<'_> {
        let number = self.seq as u64;
        let wait_us = 2_000 + (mix(number, 13) % 40_000) as i64;
        let failed = mix(number, 14).is_multiple_of(100);
        let unauthenticated = mix(number, 15).is_multiple_of(200);
        Record {
            time_us: START_US + self.seq * 60 + (mix(number, 16) % 50) as i64,
            seq: self.seq,
            kind: Kind::Transaction,
            correlation_id: Some(&self.correlation_id),
            trace_id: Some(&self.trace_id),
            span_id: Some(&self.span_id),
            service: Some(&self.service),
            route: Some(&self.route),
            http_route: Some("/{service}/v1/members/{id}/claims/{claim}"),
            app_id: Some(&self.app),
            config_revision: Some("4f2a9c01b7de"),
            client_ip: Some(&self.client_ip),
            client_port: Some(1024 + (mix(number, 17) % 60_000) as i32),
            peer_ip: Some("10.9.0.7"),
            client_ip_source: Some(ClientIpSource::Xff),
            server_port: Some(8443),
            host: Some(&self.host),
            http_version: Some(if number.is_multiple_of(3) { "2" } else { "1.1" }),
            tls_version: Some("1.3"),
            tls_cipher: Some("TLS13_AES_256_GCM_SHA384"),
            tls_resumed: Some(!number.is_multiple_of(5)),
            tls_sni: Some(&self.host),
            tls_alpn: Some(if number.is_multiple_of(3) { "h2" } else { "http/1.1" }),
            mtls_verify: Some(MtlsVerify::None),
            method: Some(if number.is_multiple_of(4) { "POST" } else { "GET" }),
            path: Some(&self.path),
            query: (number % 3 == 1).then_some("page=REDACTED&limit=REDACTED"),
            request_bytes: Some(if number.is_multiple_of(4) { (mix(number, 18) % 4096) as i64 } else { 0 }),
            response_bytes: Some((mix(number, 19) % 16_384) as i64),
            request_header_bytes: Some(400 + (mix(number, 20) % 300) as i64),
            response_header_bytes: Some(250 + (mix(number, 21) % 50) as i64),
            user_agent: Some(AGENTS[(mix(number, 22) % 6) as usize]),
            ..self.outcome(wait_us, failed, unauthenticated)
        }
    }

    /// How it ended.
    fn outcome(&self, wait_us: i64, failed: bool, unauthenticated: bool) -> Record<'_> {
        let number = self.seq as u64;
        let own_us = 80 + (mix(number, 23) % 200) as i64;
        let proxied = !unauthenticated;
        Record {
            auth_pattern: Some(AuthPattern::Jwt),
            auth_result: Some(if unauthenticated { AuthResult::Failed } else { AuthResult::Success }),
            auth_fail_reason: unauthenticated.then_some(AuthFailReason::Expired),
            consumer: proxied.then_some(&self.consumer),
            credential_id: proxied.then_some(&self.consumer),
            token_hmac: Some(&self.hmac),
            auth_groups: if proxied { &["members-read", "claims-read"] } else { &[] },
            acl_decision: Some(if unauthenticated { AclDecision::Deny } else { AclDecision::Allow }),
            waf_action: Some(WafAction::Off),
            upstream_host: proxied.then_some(&self.host),
            upstream_addr: proxied.then_some(&self.upstream),
            upstream_status: proxied.then_some(if failed { 503 } else { 200 }),
            upstream_attempts: Some(i32::from(proxied)),
            upstream_reused: proxied.then_some(true),
            status: Some(if unauthenticated {
                401
            } else if failed {
                503
            } else {
                200
            }),
            response_source: Some(if proxied { ResponseSource::Upstream } else { ResponseSource::Gateway }),
            termination: Some(Termination::Complete),
            error_class: match (failed, unauthenticated) {
                (_, true) => Some(ErrorClass::Auth),
                (true, _) => Some(ErrorClass::Upstream5xx),
                _ => None,
            },
            error_detail: unauthenticated.then_some("the token has expired"),
            total_us: Some(own_us + if proxied { wait_us } else { 0 }),
            gateway_us: Some(own_us),
            upstream_ttfb_us: proxied.then_some(wait_us - 200),
            upstream_receive_us: proxied.then_some(200),
            ..Record::default()
        }
    }
}
