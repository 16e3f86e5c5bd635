//! Request heads: see `tollgate_proxy::fuzz`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| tollgate_proxy::fuzz::normalized(bytes));
