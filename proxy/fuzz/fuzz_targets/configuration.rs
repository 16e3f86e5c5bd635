//! Configurations.
#![no_main]

libfuzzer_sys::fuzz_target!(|text: &str| tollgate_proxy::plan::promises::any_text(text));
