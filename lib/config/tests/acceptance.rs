//! What is accepted, what it means, and that it survives being printed.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::Path;
use std::time::Duration;

use proptest::prelude::*;
use serde::{Deserialize, Serialize};
use tollgate_config::{ByteSize, ConfigDuration, ConfigPath, Spanned, load, parse, to_yaml};

#[derive(Debug, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct Settings {
    size: ByteSize,
    wait: Spanned<ConfigDuration>,
    #[serde(default = "journal")]
    dir: ConfigPath,
    #[serde(default)]
    names: Vec<String>,
}

fn journal() -> ConfigPath {
    ConfigPath::new("journal")
}

fn settings(text: &str) -> Settings {
    parse(Path::new("/etc/tollgate/gate.yaml"), text.to_owned()).unwrap().value
}

#[test]
fn sizes_and_durations_carry_their_units() {
    for (text, bytes) in
        [("64 MiB", 64 << 20), ("512KiB", 512 << 10), ("1048576", 1 << 20), ("\"7\"", 7), ("3 B", 3), ("2TiB", 2 << 40)]
    {
        assert_eq!(settings(&format!("size: {text}\nwait: 1s")).size, ByteSize(bytes), "{text}");
    }
    for (text, ms) in [("200ms", 200), ("10s", 10_000), ("5m", 300_000), ("1h", 3_600_000), ("7 d", 604_800_000)] {
        assert_eq!(settings(&format!("size: 1\nwait: {text}")).wait.0, Duration::from_millis(ms), "{text}");
    }
    assert_eq!(settings("size: 1\nwait: 250us").wait.0, Duration::from_micros(250));
}

#[test]
fn a_value_knows_where_it_stands() {
    let settings = settings("size: 1\n\n# a remark\nwait:   5s\n");
    assert_eq!((settings.wait.line, settings.wait.column), (4, 9));
    assert_eq!(settings.wait, Spanned::nowhere(ConfigDuration::secs(5)));
}

#[test]
fn relative_paths_are_relative_to_the_file_also_in_defaults() {
    assert_eq!(settings("{size: 1, wait: 1s, dir: state/j}").dir.as_path(), Path::new("/etc/tollgate/state/j"));
    assert_eq!(settings("{size: 1, wait: 1s, dir: /var/j}").dir.as_path(), Path::new("/var/j"));
    assert_eq!(settings("{size: 1, wait: 1s}").dir.as_path(), Path::new("/etc/tollgate/journal"));
    assert_eq!(ConfigPath::new("journal").as_path(), Path::new("journal"), "outside of a file nothing is added");
}

#[test]
fn the_revision_is_the_hash_of_the_bytes() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("gate.yaml");
    std::fs::write(&path, "size: 1 KiB\nwait: 1s\n").unwrap();
    let loaded = load::<Settings>(&path).unwrap();
    // printf 'size: 1 KiB\nwait: 1s\n' | sha256sum | cut -c1-12
    assert_eq!(loaded.revision, "1bdd04e466f0");
    assert_eq!(loaded.text, "size: 1 KiB\nwait: 1s\n");
    assert_eq!(loaded.value.dir.as_path(), folder.path().join("journal"));
    assert_eq!(loaded.map(|settings| settings.size).value, ByteSize::kib(1));
}

#[test]
fn an_effective_configuration_is_printed_for_people() {
    let printed = to_yaml(&settings("{size: 65536 KiB, wait: 90s, names: [\"a: b\"]}")).unwrap();
    assert_eq!(printed, "size: 64 MiB\nwait: 90s\ndir: /etc/tollgate/journal\nnames:\n- \"a: b\"\n");
    assert_eq!(ConfigDuration::hours(48).to_string(), "2d");
    assert_eq!(ConfigDuration(Duration::ZERO).to_string(), "0s");
    assert_eq!(ByteSize(1_000).to_string(), "1000");
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Fleet {
    defaults: BTreeMap<String, String>,
    services: Vec<BTreeMap<String, Spanned<String>>>,
}

/// Far more nodes than the parser allows by itself, and one anchor with thousands of aliases.
#[test]
fn eleven_thousand_services_fit_into_one_file() {
    let mut text = String::from("defaults: {team: &team platform}\nservices:\n");
    for service in 0..11_000 {
        let _ = write!(text, "  - name: service-{service}\n    team: *team\n");
        for key in 0..10 {
            let _ = writeln!(text, "    key_{key}: value");
        }
    }
    let fleet = parse::<Fleet>(Path::new("fleet.yaml"), text).unwrap();
    let last = &fleet.value.services[10_999];
    assert_eq!((last.len(), last["team"].value.as_str()), (12, fleet.value.defaults["team"].as_str()));
    let error = fleet.error_at(&last["key_9"], "is wrong");
    assert_eq!(error.to_string(), "fleet.yaml:132002:12: key `services[10999].key_9`: is wrong");
}

/// Ten aliases of ten aliases of ten ... would be 10^8 values.
#[test]
fn a_text_that_explodes_is_refused() {
    let mut text = String::from("a0: &a0 [x]\n");
    for level in 1..9 {
        let before = format!("*a{}, ", level - 1).repeat(10);
        let _ = writeln!(text, "a{level}: &a{level} [{before}]");
    }
    let error = parse::<BTreeMap<String, serde::de::IgnoredAny>>(Path::new("x.yaml"), text).unwrap_err();
    assert!(
        error
            .to_string()
            .ends_with("this text nests or repeats more than a configuration can need; write it out flatter"),
        "{error}"
    );
}

proptest! {
    #[test]
    fn what_is_printed_loads_again(size: u64, us in 0_u64..3_000_000_000_000_000, dir in "/[ -~]{1,20}", names in prop::collection::vec(".{0,12}", 0..4)) {
        let before = Settings {
            size: ByteSize(size),
            wait: Spanned::nowhere(ConfigDuration(Duration::from_micros(us))),
            dir: ConfigPath::new(dir),
            names,
        };
        let printed = to_yaml(&before).unwrap();
        let after = parse::<Settings>(Path::new("x.yaml"), printed.clone()).map_err(|e| TestCaseError::fail(format!("{e}\n{printed}")))?;
        prop_assert_eq!(before, after.value);
    }

    #[test]
    fn no_text_makes_it_panic(text in "\\PC{0,200}") {
        let _ = parse::<Settings>(Path::new("x.yaml"), text);
    }

    /// Texts that are nearly a configuration get further than random ones.
    #[test]
    fn no_near_miss_makes_it_panic(words in prop::collection::vec(
        prop::sample::select(vec![
            "size", "wait", "dir", ": ", ":", "\n", "\n  ", "- ", "[", "]", "{", "}", ", ", "1", "10s", "64 MiB", "\"", "'", "&a ",
            "*a", "<<", "!!str ", "---\n", "# x", "|\n", "\t", "ü", "\u{0}", "? ", "%YAML 1.2\n",
        ]), 0..40)
    ) {
        if let Err(error) = parse::<Settings>(Path::new("x.yaml"), words.concat()) {
            prop_assert!(error.to_string().starts_with("x.yaml:"), "{}", error);
        }
    }

    #[test]
    fn sizes_and_durations_never_panic(text in "\\PC{0,24}") {
        let _ = text.parse::<ByteSize>();
        let _ = text.parse::<ConfigDuration>();
    }
}
