//! Any bytes as a segment: no panic, no endless loop, and what is read as frames is consistent.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    tollgate_journal::offline::check_bytes(bytes, 0, None);
    tollgate_journal::offline::check_bytes(bytes, 0, Some(1));
});
