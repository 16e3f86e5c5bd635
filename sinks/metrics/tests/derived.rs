//! What the sink shows, against a naive count over the same records.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use prometheus::Registry;
use proptest::prelude::*;
use tollgate_config::ConfigDuration;
use tollgate_record::vocabulary::{AuthFailReason, AuthPattern, AuthResult, ErrorClass, GapReason, Kind, WafAction};
use tollgate_record::{
    BatchBuilder, BatchHeader, DecodeLimits, Gap, Record, SealLimits, SealedBatch, decode, gap_batch,
};
use tollgate_sink::{Delivery, Sink};
use tollgate_sink_metrics::{MetricsConfig, MetricsSink};
use tollgate_telemetry::exposition;

fn header(producer: &str) -> BatchHeader {
    let node_id = producer.split('/').next().unwrap_or_default().to_owned();
    BatchHeader { producer: producer.to_owned(), node_id, ..BatchHeader::default() }
}

fn builder(producer: &str) -> BatchBuilder {
    BatchBuilder::new(header(producer), SealLimits::default())
}

fn delivery(position: u64, sealed: &SealedBatch) -> Delivery {
    let batch = decode(&sealed.bytes, &DecodeLimits::default()).expect("the batch decodes");
    Delivery { position, received_us: 0, batch: Arc::new(batch) }
}

/// A frame with these records.
fn frame(position: u64, builder: &mut BatchBuilder, records: &[Record<'_>]) -> Delivery {
    records.iter().for_each(|record| builder.append(record));
    delivery(position, &builder.seal(1).expect("the batch is sealed"))
}

fn sink(config: &MetricsConfig) -> (MetricsSink, Registry) {
    let registry = Registry::new();
    (MetricsSink::new(config, &registry).expect("a fresh registry"), registry)
}

/// The series of the exposition and their values; histograms by their `_count` only.
fn series(registry: &Registry) -> BTreeMap<String, f64> {
    let text = exposition(registry);
    let lines = text.lines().filter(|line| !line.starts_with('#') && !line.contains("_bucket"));
    lines
        .filter_map(|line| line.rsplit_once(' '))
        .filter(|(name, _)| !name.contains("_seconds_sum"))
        .map(|(name, value)| (name.to_owned(), value.parse().expect("a number")))
        .collect()
}

fn value(registry: &Registry, name: &str) -> Option<f64> {
    series(registry).get(name).copied()
}

/// The parts of a record that count, drawn at random.
#[derive(Debug, Clone)]
struct Drawn {
    kind: Kind,
    service: Option<&'static str>,
    status: Option<i32>,
    total_us: Option<i64>,
    bytes: Option<i64>,
    error_class: Option<ErrorClass>,
    auth: Option<(Option<AuthPattern>, AuthResult, Option<AuthFailReason>)>,
    waf_action: Option<WafAction>,
    tls_version: Option<&'static str>,
}

impl Drawn {
    fn record(&self, seq: i64) -> Record<'static> {
        Record {
            seq,
            kind: self.kind,
            service: self.service,
            status: self.status,
            total_us: self.total_us,
            gateway_us: self.total_us.map(|us| us / 2),
            request_bytes: self.bytes,
            response_bytes: self.bytes.map(|bytes| bytes * 3),
            error_class: self.error_class,
            auth_pattern: self.auth.and_then(|auth| auth.0),
            auth_result: self.auth.map(|auth| auth.1),
            auth_fail_reason: self.auth.and_then(|auth| auth.2),
            waf_action: self.waf_action,
            tls_version: self.tls_version,
            ..Record::default()
        }
    }

    /// Adds what this record should count as, spelled out one by one.
    fn count(&self, counts: &mut BTreeMap<String, f64>) {
        let mut add = |name: String, by: f64| *counts.entry(name).or_default() += by;
        let service = self.service.unwrap_or("_none");
        let error = self.error_class.map(ErrorClass::as_str);
        if self.kind == Kind::HandshakeFailed {
            let reason = self.auth.and_then(|auth| auth.2).map(AuthFailReason::as_str).or(error).unwrap_or("_none");
            return add(format!("tollgate_handshake_failures_total{{reason=\"{reason}\"}}"), 1.0);
        }
        let class = match self.status {
            Some(status @ 100..=599) => format!("{}xx", status / 100),
            _ => "_none".to_owned(),
        };
        add(format!("tollgate_transactions_total{{service=\"{service}\",status_class=\"{class}\"}}"), 1.0);
        let timed = f64::from(u8::from(self.total_us.is_some()));
        add(format!("tollgate_transaction_duration_seconds_count{{service=\"{service}\"}}"), timed);
        add("tollgate_gateway_duration_seconds_count".to_owned(), timed);
        let bytes = self.bytes.unwrap_or(0) as f64;
        add(format!("tollgate_request_bytes_total{{service=\"{service}\"}}"), bytes);
        add(format!("tollgate_response_bytes_total{{service=\"{service}\"}}"), bytes * 3.0);
        if let Some(error) = error {
            add(format!("tollgate_errors_total{{error_class=\"{error}\",service=\"{service}\"}}"), 1.0);
        }
        if let Some((pattern, result, reason)) = self.auth {
            let pattern = pattern.map_or("_none", AuthPattern::as_str);
            let reason = reason.map_or("_none", AuthFailReason::as_str);
            let labels = format!("pattern=\"{pattern}\",reason=\"{reason}\",result=\"{}\"", result.as_str());
            add(format!("tollgate_auth_total{{{labels}}}"), 1.0);
        }
        if let Some(action) = self.waf_action {
            add(format!("tollgate_waf_total{{action=\"{}\"}}", action.as_str()), 1.0);
        }
        add(format!("tollgate_tls_total{{version=\"{}\"}}", self.tls_version.unwrap_or("_none")), 1.0);
    }
}

fn some<T: Copy + std::fmt::Debug + 'static>(values: &'static [T]) -> impl Strategy<Value = Option<T>> {
    prop::option::of(prop::sample::select(values))
}

fn drawn() -> impl Strategy<Value = Drawn> {
    let auth = (some(AuthPattern::ALL), prop::sample::select(AuthResult::ALL), some(AuthFailReason::ALL));
    let status = prop::option::of(prop_oneof![
        Just(200),
        Just(204),
        Just(302),
        Just(404),
        Just(499),
        Just(503),
        Just(0),
        Just(-7)
    ]);
    let who = (
        prop::sample::select(&[Kind::Transaction, Kind::Transaction, Kind::HandshakeFailed][..]),
        some(&["orders", "billing", "a\"b"]),
    );
    let sizes = (prop::option::of(0_i64..90_000_000), prop::option::of(0_i64..1_000_000));
    let what = (some(ErrorClass::ALL), prop::option::of(auth), some(WafAction::ALL), some(&["1.2", "1.3"]));
    (who, status, sizes, what).prop_map(
        |((kind, service), status, (total_us, bytes), (error_class, auth, waf_action, tls_version))| Drawn {
            kind,
            service,
            status,
            total_us,
            bytes,
            error_class,
            auth,
            waf_action,
            tls_version,
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn counters_are_what_a_naive_count_gives(batches in prop::collection::vec(prop::collection::vec(drawn(), 1..40), 1..6)) {
        let (mut sink, registry) = sink(&MetricsConfig::default());
        let mut builder = builder("gate-1/1/0");
        let (mut seq, mut expected) = (0, BTreeMap::new());
        let mut frames = Vec::new();
        for (position, batch) in batches.iter().enumerate() {
            for row in batch {
                seq += 1;
                builder.append(&row.record(seq));
                row.count(&mut expected);
            }
            frames.push(delivery(position as u64, &builder.seal(1).expect("sealed")));
        }
        let through = futures::executor::block_on(sink.deliver(&frames)).expect("metrics take everything");
        prop_assert_eq!(through, Some(batches.len() as u64 - 1));
        // The same frames again are no news.
        futures::executor::block_on(sink.deliver(&frames)).expect("metrics take everything");
        prop_assert_eq!(sink.totals().rows, seq as u64);

        // A quote in a label is escaped; series that were never touched are not there, so zeros compare as absent.
        let escape = |name: &str| name.replace("a\"b", "a\\\"b");
        expected.insert("tollgate_records_missing{producer=\"gate-1/1/0\"}".to_owned(), 0.0);
        let nonzero = |counts: BTreeMap<String, f64>| -> BTreeMap<String, f64> {
            counts.into_iter().filter(|(_, count)| *count != 0.0).map(|(name, count)| (escape(&name), count)).collect()
        };
        let shown: BTreeMap<String, f64> = series(&registry).into_iter().filter(|(_, count)| *count != 0.0).collect();
        prop_assert_eq!(shown, nonzero(expected));
    }
}

#[test]
fn services_past_the_cap_are_one() {
    let (mut sink, registry) = sink(&MetricsConfig { services_max: 3, ..MetricsConfig::default() });
    let mut builder = builder("gate-1/1/0");
    let names: Vec<String> = (0..10).map(|number| format!("service-{number}")).collect();
    for position in 0..2 {
        let rows = names.iter().enumerate().map(|(index, name)| Record {
            seq: position * 10 + index as i64 + 1,
            service: Some(name),
            status: Some(200),
            ..Record::default()
        });
        let rows: Vec<Record<'_>> = rows.collect();
        let frame = frame(position as u64, &mut builder, &rows);
        sink.observe(&frame, Instant::now()).expect("counted");
    }
    let count = |service: &str| {
        value(&registry, &format!("tollgate_transactions_total{{service=\"{service}\",status_class=\"2xx\"}}"))
    };
    assert_eq!((count("service-0"), count("service-2")), (Some(2.0), Some(2.0)));
    assert_eq!((count("service-3"), count("_other")), (None, Some(14.0)));
}

#[test]
fn a_hole_is_missing_after_its_grace_until_the_record_comes() {
    let (mut sink, registry) =
        sink(&MetricsConfig { missing_grace: ConfigDuration::secs(60), ..MetricsConfig::default() });
    let start = Instant::now();
    let after = |seconds| start + Duration::from_secs(seconds);
    let missing = |registry: &Registry| value(registry, "tollgate_records_missing{producer=\"gate-1/1/0\"}");
    let mut builder = builder("gate-1/1/0");
    let rows = |seqs: &[i64]| -> Vec<Record<'static>> {
        seqs.iter().map(|seq| Record { seq: *seq, ..Record::default() }).collect()
    };

    // 3 is slow, and 5 to 7 were shed.
    sink.observe(&frame(0, &mut builder, &rows(&[2, 1, 4, 9, 8])), start).expect("counted");
    sink.tick(after(59));
    assert_eq!(missing(&registry), Some(0.0));
    sink.tick(after(60));
    assert_eq!(missing(&registry), Some(4.0));

    let batch_seq = builder.take_batch_seq();
    let gap = Gap { time_us: 1, seq: 5, count: 3, reason: GapReason::SpoolFull };
    let gap = gap_batch(&header("gate-1/1/0"), batch_seq, &[gap]).expect("sealed");
    sink.observe(&delivery(1, &gap), after(61)).expect("counted");
    sink.tick(after(62));
    assert_eq!(missing(&registry), Some(1.0), "declared as shed is not missing");
    assert_eq!(value(&registry, "tollgate_records_shed_total{reason=\"spool_full\"}"), Some(3.0));
    assert_eq!((sink.totals().shed, sink.totals().gaps), (3, 1));

    sink.observe(&frame(2, &mut builder, &rows(&[3])), after(300)).expect("counted");
    sink.tick(after(301));
    assert_eq!(missing(&registry), Some(0.0), "the slow one has come");
}

#[test]
fn a_number_that_comes_again_is_a_double_and_one_that_was_late_is_not() {
    let (mut sink, registry) = sink(&MetricsConfig::default());
    let doubled = |registry: &Registry| value(registry, "tollgate_records_doubled_total");
    let now = Instant::now();
    let mut builder = builder("gate-1/1/0");
    let rows = |seqs: &[i64]| -> Vec<Record<'static>> {
        seqs.iter().map(|seq| Record { seq: *seq, ..Record::default() }).collect()
    };
    sink.observe(&frame(0, &mut builder, &rows(&[1, 2, 4, 8])), now).expect("counted");
    sink.observe(&frame(1, &mut builder, &rows(&[3, 5])), now).expect("counted");
    assert_eq!(doubled(&registry), Some(0.0), "3 and 5 are late");
    // The acknowledgement of 8 was lost, and its proxy shed it: no row is there twice.
    let gap = Gap { time_us: 1, seq: 6, count: 3, reason: GapReason::SpoolFull };
    let gap = gap_batch(&header("gate-1/1/0"), builder.take_batch_seq(), &[gap]).expect("sealed");
    sink.observe(&delivery(2, &gap), now).expect("counted");
    assert_eq!(doubled(&registry), Some(0.0));
    sink.observe(&frame(3, &mut builder, &rows(&[4, 5, 9])), now).expect("counted");
    assert_eq!(doubled(&registry), Some(2.0));
}

#[test]
fn a_first_batch_is_followed_from_one_and_a_later_one_from_where_it_begins() {
    let (mut sink, _) = sink(&MetricsConfig { missing_grace: ConfigDuration::secs(0), ..MetricsConfig::default() });
    let now = Instant::now();
    let mut first = builder("gate-1/1/0");
    sink.observe(&frame(0, &mut first, &[Record { seq: 4, ..Record::default() }]), now).expect("counted");
    assert_eq!(sink.missing(now), 3);

    let mut later = builder("gate-2/1/0");
    later.take_batch_seq();
    sink.observe(&frame(1, &mut later, &[Record { seq: 1_000, ..Record::default() }]), now).expect("counted");
    assert_eq!(sink.missing(now), 3, "nothing is known of what came before");
}

#[test]
fn producers_past_the_cap_are_not_followed_until_one_falls_silent() {
    let config = MetricsConfig {
        producers_max: 2,
        missing_grace: ConfigDuration::secs(60),
        producer_idle: ConfigDuration::hours(1),
        ..MetricsConfig::default()
    };
    let (mut sink, registry) = sink(&config);
    let start = Instant::now();
    let one = |position: u64, producer: &str| {
        frame(position, &mut builder(producer), &[Record { seq: 1, ..Record::default() }])
    };
    for (position, producer) in ["a/1/0", "b/1/0", "c/1/0"].into_iter().enumerate() {
        sink.observe(&one(position as u64, producer), start).expect("counted");
    }
    assert_eq!((sink.producers(), sink.totals().unfollowed_batches, sink.totals().rows), (2, 1, 3));

    // An hour without a word, and both are forgotten with their series.
    sink.tick(start + Duration::from_secs(3_600));
    assert_eq!(sink.producers(), 0);
    assert_eq!(value(&registry, "tollgate_records_missing{producer=\"a/1/0\"}"), None);

    let later = start + Duration::from_secs(3_700);
    for (position, producer) in ["d/1/0", "e/1/0"].into_iter().enumerate() {
        sink.observe(&one(position as u64 + 3, producer), later + Duration::from_secs(position as u64))
            .expect("counted");
    }
    // Past the grace period the one that has been silent longest makes room.
    sink.observe(&one(5, "f/1/0"), later + Duration::from_secs(90)).expect("counted");
    assert_eq!((sink.producers(), sink.totals().unfollowed_batches), (2, 1));
}

const DAY_US: i64 = 86_400_000_000;

fn certificates<'a>(subjects: &[(&'a str, i64)]) -> Vec<Record<'a>> {
    let record = |(index, (subject, day)): (usize, &(&'a str, i64))| Record {
        seq: index as i64 + 1,
        client_cert_subject: Some(subject),
        client_cert_not_after_us: Some(day * DAY_US),
        ..Record::default()
    };
    subjects.iter().enumerate().map(record).collect()
}

#[test]
fn expiry_is_the_earliest_seen_until_the_old_certificate_is_out_of_use() {
    let (mut sink, registry) =
        sink(&MetricsConfig { expiry_window: ConfigDuration::hours(24), ..MetricsConfig::default() });
    let start = Instant::now();
    let hours = |hours: u64| start + Duration::from_secs(hours * 3_600);
    let name = "tollgate_client_cert_expiry_timestamp_seconds{consumer_subject=\"CN=app\"}";
    let mut builder = builder("gate-1/1/0");
    sink.tick(start);
    sink.observe(&frame(0, &mut builder, &certificates(&[("CN=app", 400), ("CN=app", 30), ("CN=app", 90)])), start)
        .expect("counted");
    assert_eq!(value(&registry, name), Some(30.0 * 86_400.0));

    // The renewed certificate shows when the old one has not been seen for a window.
    for (position, hour) in [(1, 12), (2, 24)] {
        sink.tick(hours(hour));
        sink.observe(&frame(position, &mut builder, &certificates(&[("CN=app", 400)])), hours(hour)).expect("counted");
    }
    assert_eq!(value(&registry, name), Some(400.0 * 86_400.0));
    sink.tick(hours(36));
    sink.tick(hours(48));
    assert_eq!(value(&registry, name), None, "who does not come any more needs no alert");
}

#[test]
fn past_the_cap_the_subjects_that_expire_soonest_are_kept() {
    let (mut sink, registry) = sink(&MetricsConfig { subjects_max: 2, ..MetricsConfig::default() });
    let mut builder = builder("gate-1/1/0");
    let seen = certificates(&[("CN=late", 300), ("CN=mid", 200), ("CN=later", 400), ("CN=soon", 5)]);
    sink.observe(&frame(0, &mut builder, &seen), Instant::now()).expect("counted");
    assert_eq!(sink.subjects(), 2);
    let shown = |subject: &str| {
        value(&registry, &format!("tollgate_client_cert_expiry_timestamp_seconds{{consumer_subject=\"{subject}\"}}"))
    };
    assert_eq!(shown("CN=soon"), Some(5.0 * 86_400.0));
    assert_eq!(shown("CN=mid"), Some(200.0 * 86_400.0));
    assert_eq!((shown("CN=late"), shown("CN=later")), (None, None));
}

#[test]
fn configuration_is_complete_by_default_and_refuses_what_it_does_not_know() {
    let read: MetricsConfig =
        serde_saphyr::from_str("services_max: 10\nmissing_grace: 5s\n").expect("a good configuration");
    assert_eq!(
        read,
        MetricsConfig { services_max: 10, missing_grace: ConfigDuration::secs(5), ..MetricsConfig::default() }
    );
    assert!(serde_saphyr::from_str::<MetricsConfig>("service_max: 10\n").is_err());
}
