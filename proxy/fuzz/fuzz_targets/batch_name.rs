//! Names of batch files: see `tollgate_proxy::fuzz`.
#![no_main]

libfuzzer_sys::fuzz_target!(|text: &str| tollgate_proxy::fuzz::batch_file_name(text));
