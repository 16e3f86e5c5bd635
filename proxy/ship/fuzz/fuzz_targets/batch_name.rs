//! Names of batch files.
#![no_main]

libfuzzer_sys::fuzz_target!(|text: &str| tollgate_proxy_ship::promises::any_name(text));
