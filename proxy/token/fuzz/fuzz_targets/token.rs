//! Tokens.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| tollgate_proxy_token::promises::any_token(bytes));
