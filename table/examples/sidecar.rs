//! What the parts beside a data file cost: nanoseconds and bytes a row, on made-up rows in the order of a merged file.
//!
//! `cargo run --release -p tollgate-table --example sidecar [ROWS [SERVICES [FOLDER]]]`: keeps the parts in the folder, if there is one
//!
//! The rows are five minutes of services by Zipf 1.05, half of them with a correlation id, all with a trace id, 20,000 client
//! addresses, 3,000 consumers, one in twenty with a client certificate. Time is that of the processor, one thread.
#![expect(clippy::print_stdout, reason = "it reports")]

use arrow_array::RecordBatch;
use tollgate_record::vocabulary::MtlsVerify;
use tollgate_record::{BatchBuilder, BatchHeader, DecodeLimits, Record, SealLimits, decode};

/// 2026-11-23T09:00:00Z.
const T0: i64 = 1_795_424_400_000_000;
const ROW_GROUP_ROWS: usize = 262_144;
const BATCH_ROWS: usize = 4_096;

struct Scatter(u64);

impl Scatter {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, below: u64) -> u64 {
        self.next() % below
    }

    /// In [0, 1).
    fn part(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1_u64 << 53) as f64
    }
}

fn main() {
    let number =
        |at: usize, default: usize| std::env::args().nth(at).and_then(|text| text.parse().ok()).unwrap_or(default);
    let (rows, services) = (number(1, 2 * ROW_GROUP_ROWS), number(2, 11_000));
    let groups = row_groups(rows, services);
    let before = processor_ns();
    let parts = match tollgate_table::sidecar_parts(&groups) {
        Ok(parts) => parts,
        Err(error) => return println!("failed: {error}"),
    };
    let took = processor_ns() - before;
    println!("{rows} rows of {services} services: {:.0} ns a row", took as f64 / rows as f64);
    let folder = std::env::args().nth(3);
    for (name, bytes) in parts {
        if let Some(folder) = &folder
            && let Err(error) = std::fs::write(std::path::Path::new(folder).join(&name), &bytes)
        {
            println!("{name} cannot be kept: {error}");
        }
        println!("{name:>16} {:>10} bytes {:>7.3} a row", bytes.len(), bytes.len() as f64 / rows as f64);
    }
}

/// Time of this thread on a processor.
fn processor_ns() -> u64 {
    let times = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    times.split(' ').next().and_then(|ns| ns.parse().ok()).unwrap_or(0)
}

/// Rows of five minutes, by service and time, as the writer of data files sees them.
fn row_groups(rows: usize, services: usize) -> Vec<RecordBatch> {
    let mut scatter = Scatter(7);
    let weights: Vec<f64> = (1..=services).map(|rank| (rank as f64).powf(-1.05)).collect();
    let total: f64 = weights.iter().sum();
    // By name, not by rank, as a file is sorted.
    let mut counts: Vec<(String, usize)> = weights
        .iter()
        .enumerate()
        .map(|(rank, weight)| {
            let wanted = weight / total * rows as f64;
            let count = wanted.floor() as usize + usize::from(scatter.part() < wanted.fract());
            (format!("svc-{:05}", (rank as u64 * 7_919) % 99_991), count)
        })
        .collect();
    counts.sort();
    let mut builder = BatchBuilder::new(header(), SealLimits::default());
    let (mut batches, mut seq) = (Vec::new(), 0);
    for (service, count) in &counts {
        for at in 0..*count {
            seq += 1;
            append(&mut builder, &mut scatter, seq, service, 300_000_000 * at as i64 / *count as i64);
            if (seq as usize).is_multiple_of(BATCH_ROWS) {
                batches.extend(sealed(&mut builder));
            }
        }
    }
    batches.extend(sealed(&mut builder));
    let joined = batches
        .chunks(ROW_GROUP_ROWS / BATCH_ROWS)
        .map(|batches| arrow::compute::concat_batches(&tollgate_record::schema::wire(), batches));
    joined.flatten().collect()
}

fn header() -> BatchHeader {
    BatchHeader {
        producer: "gate-1/6441d2f3a7c00/0".to_owned(),
        node_id: "gate-1".to_owned(),
        ..BatchHeader::default()
    }
}

fn sealed(builder: &mut BatchBuilder) -> Option<RecordBatch> {
    let sealed = builder.seal(1).ok()?;
    Some(decode(&sealed.bytes, &DecodeLimits::default()).ok()?.records)
}

fn append(builder: &mut BatchBuilder, scatter: &mut Scatter, seq: i64, service: &str, offset_us: i64) {
    let mut trace_id = [0; 16];
    trace_id[..8].copy_from_slice(&scatter.next().to_be_bytes());
    trace_id[8..].copy_from_slice(&scatter.next().to_be_bytes());
    let correlation_id = format!("{:016x}-{:016x}", scatter.next(), scatter.next());
    // A service has a few callers.
    let caller = (service.len() as u64 * 31 + u64::from(service.as_bytes()[6]) + scatter.below(8)) % 3_000;
    let consumer = format!("consumer-{caller}");
    let client_ip = format!("10.{}.{}.{}", caller % 50, scatter.below(20), scatter.below(20));
    let certificate = caller.is_multiple_of(20);
    let hash = [caller as u8; 32];
    let total_us = (8.0 + 1.2 * (0..6).map(|_| scatter.part() - 0.5).sum::<f64>()).exp() as i64;
    builder.append(&Record {
        time_us: T0 + offset_us,
        seq,
        service: Some(service),
        app_id: Some(&service[..6]),
        trace_id: Some(&trace_id),
        correlation_id: (scatter.below(2) == 0).then_some(&correlation_id),
        client_ip: Some(&client_ip),
        consumer: Some(&consumer),
        status: Some([200, 200, 200, 200, 200, 201, 204, 404][scatter.below(8) as usize]),
        http_version: Some(["2", "1.1"][scatter.below(2) as usize]),
        tls_version: Some("1.3"),
        tls_cipher: Some("TLS_AES_128_GCM_SHA256"),
        tls_resumed: Some(scatter.below(4) > 0),
        mtls_verify: Some(if certificate { MtlsVerify::Success } else { MtlsVerify::None }),
        client_cert_sha256: certificate.then_some(&hash),
        client_cert_subject: certificate.then_some(consumer.as_str()),
        client_cert_issuer: certificate.then_some("CN=issuing"),
        client_cert_serial: certificate.then_some(consumer.as_str()),
        client_cert_not_after_us: certificate.then_some(T0 + 86_400_000_000 * caller as i64),
        total_us: Some(total_us),
        gateway_us: Some(150 + scatter.below(400) as i64),
        upstream_ttfb_us: Some(total_us * 8 / 10),
        request_bytes: Some(scatter.below(4_000) as i64),
        response_bytes: Some(scatter.below(40_000) as i64),
        ..Record::default()
    });
}
