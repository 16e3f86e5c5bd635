//! What one record costs the metrics sink: `cargo bench -p tollgate-sink-metrics`. Prints nanoseconds a record, best and
//! median of the rounds; it says nothing of the decoding before it.

use std::sync::Arc;
use std::time::Instant;

use prometheus::Registry;
use tollgate_record::vocabulary::{AuthPattern, AuthResult, WafAction};
use tollgate_record::{BatchBuilder, BatchHeader, DecodeLimits, Record, SealLimits, decode};
use tollgate_sink::Delivery;
use tollgate_sink_metrics::{MetricsConfig, MetricsSink};

const ROWS: i64 = 4_096;
const ROUNDS: u64 = 400;

fn main() {
    let header = BatchHeader { producer: "gate-1/1/0".into(), node_id: "gate-1".into(), ..BatchHeader::default() };
    let mut builder = BatchBuilder::new(header, SealLimits::default());
    let services: Vec<String> = (0..200).map(|number| format!("service-{number}")).collect();
    for seq in 1..=ROWS {
        builder.append(&Record {
            seq,
            service: Some(&services[seq as usize * 7 % services.len()]),
            status: Some(if seq % 50 == 0 { 503 } else { 200 }),
            total_us: Some(seq * 31),
            gateway_us: Some(seq % 300),
            request_bytes: Some(100),
            response_bytes: Some(2_000),
            auth_pattern: Some(AuthPattern::ALL[seq as usize % AuthPattern::ALL.len()]),
            auth_result: Some(AuthResult::ALL[0]),
            waf_action: Some(WafAction::ALL[0]),
            tls_version: Some("1.3"),
            ..Record::default()
        });
    }
    let sealed = builder.seal(1).expect("the batch is sealed");
    let batch = Arc::new(decode(&sealed.bytes, &DecodeLimits::default()).expect("the batch decodes"));
    let mut sink = MetricsSink::new(&MetricsConfig::default(), &Registry::new()).expect("a fresh registry");
    let mut rounds: Vec<f64> = (0..ROUNDS)
        .map(|position| {
            let frame = Delivery { position, received_us: 0, batch: Arc::clone(&batch) };
            let begin = Instant::now();
            sink.observe(&frame, begin).expect("counted");
            begin.elapsed().as_nanos() as f64 / ROWS as f64
        })
        .collect();
    rounds.sort_by(f64::total_cmp);
    println!("{:.0} ns a record at best, {:.0} ns median of {ROUNDS} rounds", rounds[0], rounds[rounds.len() / 2]);
}
