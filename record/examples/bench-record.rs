//! What a record costs: `cargo run --release -p tollgate-record --example bench-record [-- LEVEL] [--json FILE]`, zstd's
//! level, 1 by default.
//!
//! Prints, for several batch sizes, nanoseconds a record to append, to encode (seal less zstd's share), to compress and to
//! decode, and bytes a record before and after compression. One thread, made-up data, no network and no disk: it shows what
//! the format costs, not what a proxy does. Two figures each: the batch at the second percentile, which other
//! programs on the machine disturb little, and the median.

mod plausible;

use std::hint::black_box;
use std::time::Instant;

use plausible::{Facts, header};
use tollgate_bench_result::{BenchResult, Figure, json_argument};
use tollgate_record::{BatchBuilder, DecodeLimits, Record, SealLimits, decode};

/// Records that each batch size is measured with.
const RECORDS: usize = 200_000;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments: Vec<String> = std::env::args().skip(1).collect();
    let json = json_argument(&mut arguments)?;
    let level = match arguments.first() {
        Some(level) => level.parse()?,
        None => 1,
    };
    let command = format!("cargo run --release -p tollgate-record --example bench-record -- {level}");
    let mut result = BenchResult::begin("record", command);
    println!("zstd level {level}; ns a record, 2nd percentile/median batch; bytes a record");
    println!(
        "{:>5} {:>15} {:>15} {:>15} {:>15} {:>7} {:>10}",
        "rows", "append", "encode", "zstd", "decode", "raw", "compressed"
    );
    for rows in [1, 10, 100, 1000, 4096] {
        measure(rows, level, &mut result)?;
    }
    Ok(result.save(json.as_deref())?)
}

fn measure(rows: usize, level: i32, result: &mut BenchResult) -> Result<(), Box<dyn std::error::Error>> {
    let batches = (RECORDS / rows).clamp(4, 2000);
    let facts: Vec<Facts> = (1..=(rows * batches.min(24)) as i64).map(Facts::of).collect();
    let records: Vec<Record<'_>> = facts.iter().map(Facts::record).collect();
    let mut builder = BatchBuilder::new(header(), SealLimits::default());
    let mut compressor = zstd::bulk::Compressor::new(level)?;
    compressor.include_checksum(true)?;
    let mut scratch = Vec::new();
    let mut times: [Vec<f64>; 4] = Default::default();
    let (mut raw_bytes, mut bytes) = (0, 0);
    for chunk in records.chunks(rows).cycle().take(batches) {
        let append = timed(|| chunk.iter().for_each(|record| builder.append(black_box(record)))).1;
        let (sealed, seal) = timed(|| builder.seal(level));
        let sealed = sealed?;
        let (read, decode) = timed(|| decode(&sealed.bytes, &DecodeLimits::default()));
        black_box(read?);
        let raw = zstd::bulk::decompress(&sealed.bytes, 64 << 20)?;
        scratch.clear();
        scratch.reserve(zstd::zstd_safe::compress_bound(raw.len()));
        let (written, zstd) = timed(|| compressor.compress_to_buffer(&raw, &mut scratch));
        written?;
        for (times, ns) in times.iter_mut().zip([append, seal, zstd, decode]) {
            times.push(ns / rows as f64);
        }
        raw_bytes += raw.len();
        bytes += sealed.bytes.len();
    }
    let [append, seal, zstd, decode] = times.map(|mut times| {
        times.sort_by(f64::total_cmp);
        (times[times.len() / 50], times[times.len() / 2])
    });
    let encode = (seal.0 - zstd.0, seal.1 - zstd.1);
    let part = format!("{rows} records a batch");
    for (name, (low, median)) in [("append", append), ("encode", encode), ("zstd", zstd), ("decode", decode)] {
        result.add(Figure::new(&part, "time per record", median, "ns").between(low, median).of(name));
    }
    for (name, size) in [("raw", raw_bytes), ("compressed", bytes)] {
        result.add(Figure::new(&part, "size per record", (size / (rows * batches)) as f64, "bytes").of(name));
    }
    let [append, encode, zstd, decode] =
        [append, encode, zstd, decode].map(|(low, median)| format!("{low:.0}/{median:.0}"));
    let total = rows * batches;
    println!(
        "{rows:>5} {append:>15} {encode:>15} {zstd:>15} {decode:>15} {:>7} {:>10}",
        raw_bytes / total,
        bytes / total
    );
    Ok(())
}

/// What `run` gives, and how many nanoseconds it took.
fn timed<T>(run: impl FnOnce() -> T) -> (T, f64) {
    let start = Instant::now();
    let result = run();
    (result, start.elapsed().as_nanos() as f64)
}
