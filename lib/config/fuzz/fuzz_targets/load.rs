//! No text may make the parser panic; what it accepts must survive being printed and loaded again.
#![no_main]

use std::collections::BTreeMap;
use std::path::Path;

use libfuzzer_sys::fuzz_target;
use serde::{Deserialize, Serialize};
use tollgate_config::{Spanned, ByteSize, ConfigPath, ConfigDuration, parse, to_yaml};

#[derive(Debug, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct Settings {
    size: ByteSize,
    wait: Spanned<ConfigDuration>,
    #[serde(default)]
    dir: Option<ConfigPath>,
    #[serde(default)]
    names: Vec<String>,
    #[serde(default)]
    nested: BTreeMap<String, Spanned<u16>>,
}

fuzz_target!(|text: String| {
    match parse::<Settings>(Path::new("/x/gate.yaml"), text) {
        Ok(loaded) => {
            let printed = to_yaml(&loaded.value).expect("what was loaded can be printed");
            let again = parse::<Settings>(Path::new("/y/gate.yaml"), printed).expect("what was printed can be loaded");
            assert_eq!(loaded.value, again.value);
        }
        Err(error) => assert!(error.to_string().starts_with("/x/gate.yaml:")),
    }
});
