//! `decode` on any bytes: `cargo +nightly fuzz run decode` in `record/`.
//!
//! The bytes are tried as they come, and again inside a zstd frame, as the fuzzer cannot guess a frame's checksum.

#![no_main]

use libfuzzer_sys::fuzz_target;
use tollgate_record::{DecodeLimits, decode};

fuzz_target!(|bytes: &[u8]| {
    let limits = DecodeLimits { compressed_bytes_max: 1 << 20, raw_bytes_max: 4 << 20, rows_max: 4096 };
    let _ = decode(bytes, &limits);
    if let Ok(frame) = zstd::bulk::compress(bytes, 1) {
        if let Ok(batch) = decode(&frame, &limits) {
            assert!((1..=limits.rows_max).contains(&batch.records.num_rows()));
        }
    }
});
