//! Two readings as text.

use std::collections::BTreeMap;
use std::fmt::{Arguments, Write};

use tollgate_record::redact::clean;
use tollgate_telemetry::names;

use super::Order;
use super::difference::{Buckets, Difference, count, merged, sum};
use super::reading::Reading;

/// Bytes shown of a name, a route or a path.
const TEXT_BYTES_MAX: usize = 64;
/// Error classes shown.
const CLASSES_MAX: usize = 5;

struct Service<'a> {
    name: &'a str,
    requests: f64,
    failures: f64,
    p99: String,
}

/// Formats two readings for a terminal. The text has no control sequences.
pub fn screen(before: &Reading, now: &Reading, admin: &str, lines_max: usize, by: Order) -> String {
    let of = Difference::new(before, now);
    let mut out = String::new();
    let mut line = |text: Arguments<'_>| {
        let _a_string_takes_all = writeln!(out, "{text}");
    };
    line(format_args!(
        "tollgate-proxy {} at {admin}, configuration {}: {}",
        plain(of.label(names::BUILD_INFO, "version")),
        plain(of.label(names::PROXY_CONFIG_INFO, "revision")),
        now.ready,
    ));
    let observed = of.observed(names::PROXY_TRANSACTION_DURATION_SECONDS, "service");
    let all = merged(observed.values());
    // Transactions without a status are counted in the histogram only.
    let (requests, answered) = (count(&all) as f64 / of.seconds, of.rate(names::PROXY_TRANSACTIONS_TOTAL));
    let mut classes = of.rates(names::PROXY_TRANSACTIONS_TOTAL, "status_class");
    classes.sort_by_key(|(class, _)| *class);
    classes.push(("unanswered", (requests - answered).max(0.0)));
    line(format_args!("requests/s  {}{}", rate(requests), list(&classes)));
    line(format_args!("latency     p50 {}  p99 {}", quantile(&all, 0.5), quantile(&all, 0.99)));
    let errors = of.rates(names::PROXY_ERRORS_TOTAL, "error_class");
    let total = sum(errors.iter().map(|(_, rate)| *rate));
    line(format_args!("errors/s    {}{}", rate(total), list(&errors[..errors.len().min(CLASSES_MAX)])));
    line(format_args!(
        "clients     {} connections, {} at rest; a second: {} new, {} refused, {} failed handshakes",
        of.level(names::PROXY_CONNECTIONS_OPEN),
        of.level(names::PROXY_CONNECTIONS_RESTING),
        rate(of.rate(names::PROXY_CONNECTIONS_TOTAL)),
        rate(of.rate(names::PROXY_CONNECTIONS_REFUSED_TOTAL)),
        rate(of.rate(names::PROXY_HANDSHAKE_FAILURES_TOTAL)),
    ));
    let labelled = |name, label, value| of.rates_with(name, label, None).get(value).copied().unwrap_or_default();
    line(format_args!(
        "upstreams   {} targets out (see /upstreams); a second: {} new connections, {} retries",
        of.level(names::PROXY_UPSTREAM_TARGETS_OUT),
        rate(labelled(names::PROXY_UPSTREAM_CONNECTIONS_TOTAL, "reused", "false")),
        rate(labelled(names::PROXY_UPSTREAM_RETRIES_TOTAL, "outcome", "made")),
    ));
    line(format_args!(
        "records     {} MiB in memory, {} MiB in the spool; a second: {} issued, {} acknowledged, {} shed",
        mebibytes(of.level(names::PROXY_RING_BYTES)),
        mebibytes(of.level(names::PROXY_SPOOL_BYTES)),
        rate(of.rate(names::PROXY_RECORDS_ISSUED_TOTAL)),
        rate(of.rate(names::PROXY_RECORDS_ACKED_TOTAL)),
        rate(of.rate(names::PROXY_RECORDS_SHED_TOTAL)),
    ));
    let services = services(&of, &observed, by);
    line(format_args!(
        "\n{:>10} {:>11} {:>10}  SERVICE ({} with requests)",
        "REQUESTS/S",
        "FAILURES/S",
        "P99",
        services.len()
    ));
    for one in services.iter().take(lines_max) {
        line(format_args!(
            "{:>10} {:>11} {:>10}  {}",
            rate(one.requests),
            rate(one.failures),
            one.p99,
            plain(one.name)
        ));
    }
    let in_flight = of.level(names::PROXY_INFLIGHT).max(now.in_flight.len() as f64);
    line(format_args!("\n{:>10} METHOD  SERVICE, PATH (ROUTE) of the oldest of {in_flight} in flight", "AGE"));
    for one in now.in_flight.iter().take(lines_max) {
        let [method, service, route] =
            [&one.method, &one.service, &one.route].map(|text| plain(text.as_deref().unwrap_or("-")));
        line(format_args!("{:>10} {method:<7} {service}, {} ({route})", age(one.age_ms), plain(&one.path)));
    }
    out
}

fn services<'a>(of: &Difference<'a>, observed: &BTreeMap<&'a str, Buckets>, by: Order) -> Vec<Service<'a>> {
    let answered = of.rates_with(names::PROXY_TRANSACTIONS_TOTAL, "service", None);
    let failed = of.rates_with(names::PROXY_TRANSACTIONS_TOTAL, "service", Some(("status_class", "5xx")));
    let with_requests = observed.iter().filter(|(_, buckets)| count(buckets) > 0);
    let mut services: Vec<Service<'a>> = with_requests
        .map(|(name, buckets)| {
            let requests = count(buckets) as f64 / of.seconds;
            let of_this = |rates: &BTreeMap<&str, f64>| rates.get(name).copied().unwrap_or_default();
            let failures = of_this(&failed) + (requests - of_this(&answered)).max(0.0);
            Service { name, requests, failures, p99: quantile(buckets, 0.99) }
        })
        .collect();
    services.sort_by(|a, b| match by {
        Order::Requests => b.requests.total_cmp(&a.requests),
        Order::Failures => b.failures.total_cmp(&a.failures).then(b.requests.total_cmp(&a.requests)),
    });
    services
}

/// The smallest bound that a share of the observations lies below.
fn quantile(buckets: &Buckets, share: f64) -> String {
    if count(buckets) == 0 {
        return "-".into();
    }
    let wanted = share * count(buckets) as f64;
    match buckets.iter().find(|(_, count)| *count as f64 >= wanted).and_then(|(bound, _)| *bound) {
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

/// Precise enough to show one a minute.
fn rate(rate: f64) -> String {
    if rate == 0.0 || rate >= 10.0 { format!("{rate:.0}") } else { format!("{rate:.2}") }
}

fn list(rates: &[(&str, f64)]) -> String {
    rates
        .iter()
        .filter(|(_, rate)| *rate > 0.0)
        .map(|(name, per)| format!("  {} {}", plain(name), rate(*per)))
        .collect()
}

fn mebibytes(bytes: f64) -> String {
    format!("{:.1}", bytes / f64::from(1 << 20))
}

fn plain(text: &str) -> String {
    let mut plain = String::new();
    clean(text, TEXT_BYTES_MAX, &mut plain);
    plain
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use tollgate_telemetry::Sample;

    use super::super::reading::InFlight;
    use super::*;

    fn sample(name: &str, labels: &[(&str, &str)], value: f64) -> Sample {
        let labels = labels.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        Sample { name: name.into(), labels, value, buckets: Vec::new() }
    }

    /// Samples of a service with so many responses 2xx, responses 5xx, and slow requests without a response.
    fn reading(at: Instant, [fine, failed, unanswered]: [u64; 3]) -> Reading {
        let all = fine + failed + unanswered;
        let mut durations = sample(names::PROXY_TRANSACTION_DURATION_SECONDS, &[("service", "pay")], 1.0);
        durations.buckets = vec![(Some(0.01), fine + failed), (Some(2.5), all), (None, all)];
        let answers = |class, count: u64| {
            sample(names::PROXY_TRANSACTIONS_TOTAL, &[("service", "pay"), ("status_class", class)], count as f64)
        };
        let path = "/a\u{1b}[2J".to_owned();
        Reading {
            at,
            samples: vec![
                answers("2xx", fine),
                answers("5xx", failed),
                durations,
                sample(names::PROXY_RING_BYTES, &[], 1_572_864.0),
            ],
            in_flight: vec![InFlight { age_ms: 12_345, method: Some("GET".into()), path, route: None, service: None }],
            ready: "ready".into(),
        }
    }

    fn shown(before: [u64; 3], now: [u64; 3]) -> String {
        let (at, later) = (Instant::now(), Duration::from_secs(2));
        screen(&reading(at, before), &reading(at + later, now), "edge-1:9901", 10, Order::Requests)
    }

    #[test]
    fn rates_are_those_between_two_readings() {
        let screen = shown([1_000, 5, 0], [1_096, 9, 4]);
        for said in [
            "at edge-1:9901, configuration ?: ready\n",
            "requests/s  52  2xx 48  5xx 2.00  unanswered 2.00\n",
            "latency     p50 ≤ 10 ms  p99 ≤ 2.5 s\n",
            "errors/s    0\n",
            "records     1.5 MiB in memory",
            "        52        4.00    ≤ 2.5 s  pay\n",
            "      12 s GET     -, /a\\x1b[2J (-)\n",
        ] {
            assert!(screen.contains(said), "{said}\n{screen}");
        }
    }

    #[test]
    fn another_process_has_grown_from_nothing() {
        let screen = shown([1_000, 5, 9], [1_000, 4, 9]);
        assert!(screen.contains("requests/s  506  2xx 500  5xx 2.00  unanswered 4.50\n"), "{screen}");
    }

    #[test]
    fn who_fails_can_come_first() {
        let (at, later) = (Instant::now(), Duration::from_secs(1));
        let (mut before, mut now) = (reading(at, [0, 0, 0]), reading(at + later, [100, 0, 0]));
        for (reading, failed) in [(&mut before, 0), (&mut now, 3)] {
            let mut of = reading.samples.clone();
            of[0].value = 0.0;
            of[1].value = failed as f64;
            of[2].buckets.iter_mut().for_each(|bucket| bucket.1 = failed);
            of.iter_mut().for_each(|sample| drop(sample.labels.insert("service".into(), "ill".into())));
            reading.samples.extend(of);
        }
        let first = |by| {
            let screen = screen(&before, &now, "a:1", 1, by);
            screen.lines().find(|line| line.ends_with("pay") || line.ends_with("ill")).unwrap().to_owned()
        };
        assert!(first(Order::Requests).ends_with("pay") && first(Order::Failures).ends_with("ill"));
    }
}
