//! PROXY headers.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| tollgate_proxy_http::proxy_protocol::promises::any_bytes(bytes));
