//! Any bytes as a cursor file or a ledger checkpoint: refused, or read and written again as they were.

#![no_main]

use tollgate_collector::{decode_cursor, encode_cursor, is_checkpoint};

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    if let Some(position) = decode_cursor(bytes) {
        assert_eq!(encode_cursor(position), bytes);
    }
    is_checkpoint(bytes);
    // Past the checksum, which a fuzzer does not guess.
    is_checkpoint(&tollgate_collector::with_checkpoint_checksum(bytes));
});
