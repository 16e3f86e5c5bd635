//! Request heads.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| tollgate_proxy_http::normalize::promises::any_bytes(bytes));
