//! No text may make the importer panic; what it refuses has a place, and a second import is the same.
#![no_main]

use libfuzzer_sys::fuzz_target;
use tollgate_import::{Options, kong};

fuzz_target!(|text: String| {
    let options = Options { file: "kong.yml".into(), ..Options::default() };
    let begun = format!("_format_version: '3.0'\n{text}");
    for text in [&text, &begun] {
        match kong::import(text, &options) {
            Ok(imported) => assert_eq!(imported.files, kong::import(text, &options).expect("it was read before").files),
            Err(error) => assert!(error.to_string().starts_with("kong.yml:")),
        }
    }
});
