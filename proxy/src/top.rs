//! `top`: what a running proxy is doing, read from its admin endpoint again and again.
//!
//! Rates and latencies are those of the time between two readings, by the difference of the same counters that Prometheus
//! scrapes; transactions in flight are those of the second one.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::{IsTerminal, Write as _};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use bytes::Bytes;
use http::{Request, StatusCode};
use http_body_util::{BodyExt, Empty, Limited};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use tokio::net::TcpStream;
use tollgate_telemetry::{Sample, names};

/// The longest that the endpoint may take to answer.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(5);
/// Bytes of one answer: 11,000 services with their histograms take 40 MiB.
const ANSWER_BYTES_MAX: usize = 128 << 20;
/// Characters of a service's name, a route and a path that are shown.
const TEXT_CHARS_MAX: usize = 48;
/// Goes to the first cell of the terminal and clears what is below.
const CLEAR: &str = "\x1b[H\x1b[J";

/// What is shown, and how.
#[derive(Debug)]
pub struct Settings {
    /// The admin endpoint.
    pub admin: String,
    /// Between two readings.
    pub every: Duration,
    /// Show one reading and end.
    pub once: bool,
    /// Services and transactions shown, each.
    pub lines_max: usize,
}

/// A transaction that has not ended, as `/inflight` tells it.
#[derive(Debug, Clone, Deserialize)]
struct InFlight {
    age_ms: i64,
    #[serde(default)]
    method: Option<String>,
    path: String,
    #[serde(default)]
    route: Option<String>,
    #[serde(default)]
    service: Option<String>,
}

/// One reading of the endpoint.
#[derive(Debug)]
struct Reading {
    at: Instant,
    samples: Vec<Sample>,
    in_flight: Vec<InFlight>,
    ready: String,
}

/// Shows readings until it is interrupted, or one.
pub async fn show(settings: &Settings) -> anyhow::Result<()> {
    let mut before = read(&settings.admin).await?;
    let clears = !settings.once && std::io::stdout().is_terminal();
    loop {
        tokio::time::sleep(settings.every).await;
        let now = read(&settings.admin).await?;
        let screen = screen(&before, &now, settings.lines_max);
        let mut out = std::io::stdout().lock();
        write!(out, "{}{screen}", if clears { CLEAR } else { "" })?;
        out.flush()?;
        if settings.once {
            return Ok(());
        }
        before = now;
    }
}

async fn read(admin: &str) -> anyhow::Result<Reading> {
    let at = Instant::now();
    let samples = json(admin, "/metrics.json").await?;
    let mut in_flight: Vec<InFlight> = json(admin, "/inflight").await?;
    in_flight.sort_by_key(|one| std::cmp::Reverse(one.age_ms));
    let (_, ready) = get(admin, "/readyz").await?;
    Ok(Reading { at, samples, in_flight, ready: String::from_utf8_lossy(&ready).trim_end().to_owned() })
}

async fn json<T: DeserializeOwned>(admin: &str, path: &str) -> anyhow::Result<T> {
    let (status, body) = get(admin, path).await?;
    if status != StatusCode::OK {
        bail!("{admin}{path} answered {status}; is that the admin endpoint of a proxy of this version?");
    }
    serde_json::from_slice(&body).with_context(|| format!("{admin}{path} answered something else"))
}

async fn get(admin: &str, path: &str) -> anyhow::Result<(StatusCode, Bytes)> {
    let asked = async {
        let stream = TcpStream::connect(admin).await?;
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
        let connection = tokio::spawn(connection);
        let request = Request::get(path).header("host", admin).body(Empty::<Bytes>::new())?;
        let answer = sender.send_request(request).await?;
        let status = answer.status();
        #[allow(clippy::disallowed_methods, reason = "limited")]
        let body = Limited::new(answer.into_body(), ANSWER_BYTES_MAX).collect().await;
        connection.abort();
        anyhow::Ok((status, body.map_err(anyhow::Error::from_boxed)?.to_bytes()))
    };
    let cure = || {
        format!("no answer from http://{admin}{path}; name the proxy's `admin.address` with --admin, or its --config")
    };
    tokio::time::timeout(ANSWER_TIMEOUT, asked).await.with_context(cure)?.with_context(cure)
}

/// A time series by what names it.
type Named<'a> = (&'a str, &'a BTreeMap<String, String>);

/// The differences and the levels that a screen is made of.
struct Difference<'a> {
    before: BTreeMap<Named<'a>, &'a Sample>,
    now: &'a [Sample],
    seconds: f64,
}

impl<'a> Difference<'a> {
    fn new(before: &'a Reading, now: &'a Reading) -> Self {
        Self {
            before: before.samples.iter().map(|sample| ((sample.name.as_str(), &sample.labels), sample)).collect(),
            now: &now.samples,
            seconds: now.at.duration_since(before.at).as_secs_f64().max(1e-3),
        }
    }

    /// Series of a metric, with how much each has grown; what was reset, as by another process, has grown from nothing.
    fn grown(&self, name: &'static str) -> impl Iterator<Item = (&'a Sample, f64)> {
        self.now.iter().filter(move |sample| sample.name == name).map(|sample| {
            let before = self.before.get(&(name, &sample.labels)).map(|before| before.value);
            (sample, sample.value - before.filter(|before| *before <= sample.value).unwrap_or_default())
        })
    }

    /// Growth a second, summed by the value of a label.
    fn rates(&self, name: &'static str, label: &str) -> BTreeMap<&'a str, f64> {
        let mut rates = BTreeMap::new();
        for (sample, grown) in self.grown(name) {
            if let Some(value) = sample.labels.get(label) {
                *rates.entry(value.as_str()).or_insert(0.0) += grown / self.seconds;
            }
        }
        rates
    }

    fn rate(&self, name: &'static str) -> f64 {
        sum(self.grown(name).map(|(_, grown)| grown)) / self.seconds
    }

    fn level(&self, name: &str) -> f64 {
        sum(self.now.iter().filter(|sample| sample.name == name).map(|sample| sample.value))
    }

    /// Observations since the reading before, by the bounds of the buckets: of one service, or of all.
    fn buckets(&self, name: &'static str, service: Option<&str>) -> Vec<(Option<f64>, u64)> {
        let mut sums: Vec<(Option<f64>, u64)> = Vec::new();
        for sample in self.now.iter().filter(|sample| sample.name == name) {
            if service.is_some_and(|service| sample.labels.get("service").is_none_or(|of| of != service)) {
                continue;
            }
            let before = self.before.get(&(name, &sample.labels));
            sums.resize(sums.len().max(sample.buckets.len()), (None, 0));
            for (nth, (bound, count)) in sample.buckets.iter().enumerate() {
                let base = before.and_then(|before| before.buckets.get(nth)).map_or(0, |(_, count)| *count);
                sums[nth] = (*bound, sums[nth].1 + count.checked_sub(base).unwrap_or(*count));
            }
        }
        sums
    }
}

/// From 0.0 on: `Iterator::sum` of nothing is -0.0, which people would be shown.
fn sum(values: impl Iterator<Item = f64>) -> f64 {
    values.fold(0.0, |sum, value| sum + value)
}

/// The smallest bound below which a share of the observations lies.
fn quantile(buckets: &[(Option<f64>, u64)], share: f64) -> String {
    let total = buckets.last().map_or(0, |(_, count)| *count);
    if total == 0 {
        return "-".into();
    }
    let found = buckets.iter().find(|(_, count)| *count as f64 >= share * total as f64);
    match found.and_then(|(bound, _)| *bound) {
        Some(bound) => format!("≤ {}", seconds(bound)),
        None => format!("> {}", seconds(buckets.iter().rev().find_map(|(bound, _)| *bound).unwrap_or_default())),
    }
}

fn seconds(seconds: f64) -> String {
    if seconds < 1.0 { format!("{} ms", (seconds * 1e5).round() / 100.0) } else { format!("{seconds} s") }
}

fn age(ms: i64) -> String {
    match ms {
        ..10_000 => format!("{ms} ms"),
        10_000..600_000 => format!("{} s", ms / 1_000),
        _ => format!("{} min", ms / 60_000),
    }
}

fn mebibytes(bytes: f64) -> String {
    format!("{:.1} MiB", bytes / f64::from(1 << 20))
}

/// Text from clients and upstreams: nothing in it commands the terminal.
fn plain(text: &str) -> String {
    let mut shown: String = text
        .chars()
        .take(TEXT_CHARS_MAX)
        .flat_map(|c| match c.is_control() {
            true => c.escape_default().collect::<Vec<_>>(),
            false => vec![c],
        })
        .collect();
    if text.chars().nth(TEXT_CHARS_MAX).is_some() {
        shown.push('…');
    }
    shown
}

fn screen(before: &Reading, now: &Reading, lines_max: usize) -> String {
    let of = Difference::new(before, now);
    let mut out = String::new();
    let mut line = |text: std::fmt::Arguments<'_>| {
        let _a_string_takes_all = writeln!(out, "{text}");
    };
    let label = |name: &str, label: &str| {
        let mut found = now.samples.iter().filter(|sample| sample.name == name);
        found.find_map(|sample| sample.labels.get(label)).map_or("?", String::as_str).to_owned()
    };
    line(format_args!(
        "tollgate-proxy {}, configuration {}: {}",
        label(names::BUILD_INFO, "version"),
        label(names::PROXY_CONFIG_INFO, "revision"),
        now.ready.replace('\n', "; "),
    ));
    let classes = of.rates(names::PROXY_TRANSACTIONS_TOTAL, "status_class");
    let told: String = classes.iter().filter(|(_, rate)| **rate > 0.0).map(|(c, r)| format!("  {c} {r:.1}")).collect();
    line(format_args!("requests/s  {:.1}{told}", of.rate(names::PROXY_TRANSACTIONS_TOTAL)));
    let latencies = of.buckets(names::PROXY_TRANSACTION_DURATION_SECONDS, None);
    let [p50, p99] = [0.5, 0.99].map(|share| quantile(&latencies, share));
    line(format_args!("latency     p50 {p50}  p99 {p99}"));
    let mut errors: Vec<_> =
        of.rates(names::PROXY_ERRORS_TOTAL, "error_class").into_iter().filter(|(_, rate)| *rate > 0.0).collect();
    errors.sort_by(|a, b| b.1.total_cmp(&a.1));
    let told: String = errors.iter().take(6).map(|(class, rate)| format!("  {class} {rate:.1}")).collect();
    line(format_args!("errors/s    {:.1}{told}", sum(errors.iter().map(|(_, rate)| *rate))));
    line(format_args!(
        "connections {} open, {} resting, {:.1} new/s, {:.1} failed handshakes/s",
        of.level(names::PROXY_CONNECTIONS_OPEN),
        of.level(names::PROXY_CONNECTIONS_RESTING),
        of.rate(names::PROXY_CONNECTIONS_TOTAL),
        of.rate(names::PROXY_HANDSHAKE_FAILURES_TOTAL),
    ));
    line(format_args!(
        "upstreams   {} targets out, {:.1} new connections/s",
        of.level(names::PROXY_UPSTREAM_TARGETS_OUT),
        of.rates(names::PROXY_UPSTREAM_CONNECTIONS_TOTAL, "reused").get("false").copied().unwrap_or_default(),
    ));
    line(format_args!(
        "records/s   {:.1} issued, {:.1} acknowledged, {:.1} shed; {} in memory, {} in the spool",
        of.rate(names::PROXY_RECORDS_ISSUED_TOTAL),
        of.rate(names::PROXY_RECORDS_ACKED_TOTAL),
        of.rate(names::PROXY_RECORDS_SHED_TOTAL),
        mebibytes(of.level(names::PROXY_RING_BYTES)),
        mebibytes(of.level(names::PROXY_SPOOL_BYTES)),
    ));
    services(&of, lines_max, &mut line);
    transactions(now, lines_max, &mut line);
    out
}

/// The services with the most requests, and how they fare.
fn services(of: &Difference<'_>, lines_max: usize, line: &mut impl FnMut(std::fmt::Arguments<'_>)) {
    let mut rates: Vec<_> =
        of.rates(names::PROXY_TRANSACTIONS_TOTAL, "service").into_iter().filter(|(_, rate)| *rate > 0.0).collect();
    rates.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(b.0)));
    let mut failed: BTreeMap<&str, f64> = BTreeMap::new();
    for (sample, grown) in of.grown(names::PROXY_TRANSACTIONS_TOTAL) {
        if let (Some(service), Some("5xx")) =
            (sample.labels.get("service"), sample.labels.get("status_class").map(String::as_str))
        {
            *failed.entry(service).or_default() += grown / of.seconds;
        }
    }
    line(format_args!("\n{:>10}  {:>8}  {:>12}  SERVICE, {} with requests", "REQUESTS/S", "5XX/S", "P99", rates.len()));
    for (service, rate) in rates.iter().take(lines_max) {
        let p99 = quantile(&of.buckets(names::PROXY_TRANSACTION_DURATION_SECONDS, Some(service)), 0.99);
        let failures = failed.get(service).copied().unwrap_or_default();
        line(format_args!("{rate:>10.1}  {failures:>8.1}  {p99:>12}  {}", plain(service)));
    }
}

/// The transactions that have been under way for longest.
fn transactions(now: &Reading, lines_max: usize, line: &mut impl FnMut(std::fmt::Arguments<'_>)) {
    line(format_args!("\n{:>10}  {:<7}  {:<20}  PATH, {} in flight", "AGE", "METHOD", "SERVICE", now.in_flight.len()));
    for one in now.in_flight.iter().take(lines_max) {
        let (method, service) = (one.method.as_deref().unwrap_or("-"), one.service.as_deref().unwrap_or("-"));
        let route = one.route.as_deref().map(|route| format!("  ({})", plain(route))).unwrap_or_default();
        line(format_args!(
            "{:>10}  {:<7}  {:<20}  {}{route}",
            age(one.age_ms),
            plain(method),
            plain(service),
            plain(&one.path)
        ));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(name: &str, labels: &[(&str, &str)], value: f64, buckets: &[(Option<f64>, u64)]) -> Sample {
        let labels = labels.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        Sample { name: name.into(), labels, value, buckets: buckets.to_vec() }
    }

    fn reading(at: Instant, requests: f64, failures: f64, slow: u64) -> Reading {
        let of = [("service", "pay"), ("status_class", "2xx")];
        let failed = [("service", "pay"), ("status_class", "5xx")];
        let fast = requests as u64;
        let buckets = [(Some(0.01), fast), (Some(2.5), fast + slow), (None, fast + slow)];
        let path = "/a\u{1b}[2J".to_owned();
        Reading {
            at,
            samples: vec![
                sample(names::PROXY_TRANSACTIONS_TOTAL, &of, requests, &[]),
                sample(names::PROXY_TRANSACTIONS_TOTAL, &failed, failures, &[]),
                sample(names::PROXY_TRANSACTION_DURATION_SECONDS, &of[..1], 1.0, &buckets),
                sample(names::PROXY_RING_BYTES, &[], 1_572_864.0, &[]),
            ],
            in_flight: vec![InFlight { age_ms: 12_345, method: Some("GET".into()), path, route: None, service: None }],
            ready: "ready".into(),
        }
    }

    #[test]
    fn rates_are_those_between_two_readings() {
        let at = Instant::now();
        let (before, now) = (reading(at, 1_000.0, 5.0, 0), reading(at + Duration::from_secs(2), 1_096.0, 9.0, 4));
        let screen = screen(&before, &now, 10);
        for said in [
            "requests/s  50.0  2xx 48.0  5xx 2.0\n",
            "latency     p50 ≤ 10 ms  p99 ≤ 2.5 s\n",
            "1.5 MiB in memory",
            "      50.0       2.0       ≤ 2.5 s  pay\n",
            "      12 s  GET      -                     /a\\u{1b}[2J\n",
        ] {
            assert!(screen.contains(said), "{said}\n{screen}");
        }
    }

    #[test]
    fn another_process_has_grown_from_nothing() {
        let at = Instant::now();
        let (before, now) = (reading(at, 1_000.0, 5.0, 9), reading(at + Duration::from_secs(1), 7.0, 0.0, 0));
        let screen = screen(&before, &now, 0);
        assert!(screen.contains("requests/s  7.0  2xx 7.0\n"), "{screen}");
        assert!(screen.contains("p99 ≤ 10 ms"), "{screen}");
        assert!(screen.contains("errors/s    0.0\n"), "{screen}");
    }
}
