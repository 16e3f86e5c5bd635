//! X-Forwarded-For and Forwarded.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| tollgate_proxy_http::forwarding::promises::any_bytes(bytes));
