//! What records have in common: services, callers, certificates and addresses, made once.

use crate::draws::{Draws, mixed};
use crate::traffic::Traffic;
use crate::zipf::Zipf;

/// Callers.
const CONSUMERS: usize = 2_000;
/// Callers of one service.
const CONSUMERS_OF_SERVICE: u64 = 8;
/// Client certificates.
const CERTIFICATES: usize = 500;
/// One certificate in so many expires within a fortnight.
const EXPIRING_ONE_IN: usize = 50;
/// Addresses of clients.
const ADDRESSES: usize = 20_000;
/// Microseconds of a day.
const DAY_US: i64 = 86_400_000_000;

const AREAS: [&str; 24] = [
    "members",
    "claims",
    "payments",
    "accounts",
    "orders",
    "invoices",
    "contracts",
    "partners",
    "products",
    "prices",
    "documents",
    "messages",
    "profiles",
    "policies",
    "shipments",
    "stock",
    "reports",
    "search",
    "catalog",
    "identity",
    "consents",
    "ledger",
    "quotes",
    "refunds",
];
const KINDS: [&str; 6] = ["api", "query", "events", "admin", "sync", "export"];
const AGENTS: [&str; 8] = [
    "okhttp/4.12.0",
    "Apache-HttpClient/5.3 (Java/21.0.2)",
    "python-requests/2.32.3",
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0.0.0 Safari/537.36",
    "Go-http-client/2.0",
    "axios/1.7.2",
    "members-app/4.2 (iOS)",
    "curl/8.9.1",
];

/// One API.
#[derive(Debug)]
pub(crate) struct Service {
    pub name: String,
    pub routes: Vec<Route>,
    pub host: String,
    pub app_id: String,
    pub upstream_host: String,
    pub upstreams: Vec<String>,
    /// Natural logarithm of the median wait for it, in microseconds.
    pub ln_median_us: f64,
    /// Spread of that logarithm.
    pub sigma: f64,
    /// Whether it takes clients by certificate; others by token.
    pub by_certificate: bool,
    /// Whether the firewall watches it.
    pub is_watched: bool,
}

/// One route of a service.
#[derive(Debug)]
pub(crate) struct Route {
    pub name: String,
    pub template: String,
    /// The path up to its last part, or the whole path if `has_id` is false.
    pub path: String,
    pub has_id: bool,
    pub method: &'static str,
}

/// One caller.
#[derive(Debug)]
pub(crate) struct Consumer {
    pub name: String,
    pub agent: &'static str,
    pub tls_version: Option<&'static str>,
    pub tls_cipher: &'static str,
    pub is_http2: bool,
    pub hmac: [u8; 32],
}

/// One client certificate.
#[derive(Debug)]
pub(crate) struct Certificate {
    pub sha256: [u8; 32],
    pub subject: String,
    pub serial: String,
    pub not_after_us: i64,
}

/// Everything that records have in common.
#[derive(Debug)]
pub struct World {
    pub(crate) seed: u64,
    pub(crate) services: Vec<Service>,
    pub(crate) consumers: Vec<Consumer>,
    pub(crate) certificates: Vec<Certificate>,
    pub(crate) addresses: Vec<String>,
    service_ranks: Zipf,
    address_ranks: Zipf,
}

impl World {
    /// The world of these settings; takes some milliseconds.
    pub fn of(traffic: &Traffic) -> Self {
        let seed = mixed(traffic.seed);
        Self {
            seed,
            services: (0..traffic.services).map(|number| service(seed, number)).collect(),
            consumers: (0..CONSUMERS).map(|number| consumer(seed, number)).collect(),
            certificates: (0..CERTIFICATES).map(|number| certificate(seed, number, traffic.start_us)).collect(),
            addresses: (0..ADDRESSES).map(|number| address(seed, number)).collect(),
            service_ranks: Zipf::new(traffic.services, traffic.zipf_exponent),
            address_ranks: Zipf::new(ADDRESSES, 0.9),
        }
    }

    pub(crate) fn draw_service(&self, draws: &mut Draws) -> usize {
        self.service_ranks.draw(draws)
    }

    pub(crate) fn draw_address(&self, draws: &mut Draws) -> &str {
        &self.addresses[self.address_ranks.draw(draws)]
    }

    /// One of the few callers of a service; the first ones call it most.
    pub(crate) fn draw_consumer(&self, service: usize, draws: &mut Draws) -> usize {
        let nth = draws.below(CONSUMERS_OF_SERVICE).min(draws.below(CONSUMERS_OF_SERVICE));
        (mixed(self.seed ^ (service as u64 * CONSUMERS_OF_SERVICE + nth)) % CONSUMERS as u64) as usize
    }
}

fn service(seed: u64, number: usize) -> Service {
    let mut draws = Draws::of(seed ^ 1, number as u64);
    let (area, kind) = (AREAS[number % AREAS.len()], KINDS[draws.below(KINDS.len() as u64) as usize]);
    let name = format!("{area}-{kind}-{number}");
    let route = |(nth, (rest, method)): (usize, &(&str, &'static str))| Route {
        name: format!("{name}-{nth}"),
        template: format!("/{name}{rest}"),
        path: format!("/{name}{}", rest.replace("/{id}", "")),
        has_id: rest.contains("{id}"),
        method,
    };
    let shapes = [("/v1/items/{id}", "GET"), ("/v1/items", "POST"), ("/v1/search", "GET"), ("/v1/items/{id}", "PUT")];
    let shown = 1 + draws.below(shapes.len() as u64) as usize;
    Service {
        routes: shapes[..shown].iter().enumerate().map(route).collect(),
        host: format!("api-{}.example.com", number % 40),
        app_id: format!("APP{:05}", mixed(number as u64 / 3) % 90_000),
        upstream_host: format!("{name}.internal.example.com"),
        upstreams: (0..2 + draws.below(3))
            .map(|nth| format!("10.{}.{}.{}:8443", 16 + number / 250 % 200, number % 250, nth + 1))
            .collect(),
        ln_median_us: (8_000f64).ln() + 1.0 * draws.normal(),
        sigma: 0.35 + 0.5 * draws.unit(),
        by_certificate: draws.below(10) < 3,
        is_watched: draws.below(10) < 4,
        name,
    }
}

fn consumer(seed: u64, number: usize) -> Consumer {
    let mut draws = Draws::of(seed ^ 2, number as u64);
    let mut hmac = [0; 32];
    draws.fill(&mut hmac);
    let (tls_version, tls_cipher) = match draws.below(100) {
        0..3 => (None, ""),
        3..12 => (Some("1.2"), "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256"),
        12..15 => (Some("1.2"), "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384"),
        15..40 => (Some("1.3"), "TLS13_AES_128_GCM_SHA256"),
        _ => (Some("1.3"), "TLS13_AES_256_GCM_SHA384"),
    };
    Consumer {
        name: format!("consumer-{number}"),
        agent: AGENTS[draws.below(AGENTS.len() as u64) as usize],
        is_http2: tls_version.is_some() && draws.below(10) < 6,
        tls_version,
        tls_cipher,
        hmac,
    }
}

/// Expiry lies two days to two years after the start; of a few, within a fortnight.
fn certificate(seed: u64, number: usize, start_us: i64) -> Certificate {
    let mut draws = Draws::of(seed ^ 3, number as u64);
    let mut sha256 = [0; 32];
    draws.fill(&mut sha256);
    let days = if number.is_multiple_of(EXPIRING_ONE_IN) { 2 + draws.below(12) } else { 30 + draws.below(700) };
    Certificate {
        sha256,
        subject: format!("CN=consumer-{number},O=Partner {},C=NL", number % 40),
        serial: format!("{:016x}", draws.next()),
        not_after_us: start_us.div_euclid(DAY_US) * DAY_US + days as i64 * DAY_US,
    }
}

fn address(seed: u64, number: usize) -> String {
    let mut draws = Draws::of(seed ^ 4, number as u64);
    if draws.below(20) == 0 {
        return format!("2001:db8:{:x}::{:x}", number / 100, draws.below(0xffff) + 1);
    }
    format!("{}.{}.{}.{}", 11 + draws.below(180), draws.below(256), draws.below(256), 1 + draws.below(254))
}
