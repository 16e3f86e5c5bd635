//! What is refused, and in which words: file, line, column, key, fault and cure.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use serde::{Deserialize, Serialize};
use tollgate_config::{ByteSize, ConfigDuration, ConfigError, ConfigPath, FILE_BYTES_MAX, Spanned, load, parse};

#[derive(Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct Gate {
    listen: Spanned<String>,
    #[serde(default = "ten_seconds")]
    drain: ConfigDuration,
    #[serde(default)]
    ring: ByteSize,
    #[serde(default)]
    mode: Mode,
    #[serde(default)]
    workers: Spanned<u16>,
    #[serde(default)]
    verbose: bool,
    #[serde(default)]
    services: Vec<Service>,
    #[serde(default)]
    state: Option<ConfigPath>,
}

#[derive(Debug, Default, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
enum Mode {
    #[default]
    Shed,
    Block,
}

#[derive(Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct Service {
    name: String,
    upstream: Upstream,
}

#[derive(Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct Upstream {
    url: Spanned<String>,
    #[serde(default = "ten_seconds")]
    timeout: ConfigDuration,
}

fn ten_seconds() -> ConfigDuration {
    ConfigDuration::secs(10)
}

fn refusal(text: &str) -> String {
    match parse::<Gate>(Path::new("gate.yaml"), text.to_owned()) {
        Ok(loaded) => panic!("was accepted: {:?}", loaded.value),
        Err(error) => error.to_string(),
    }
}

/// Each text with the whole message it must give.
const REFUSALS: &[(&str, &str)] = &[
    ("listen: a\ndrian: 5s\n", "gate.yaml:2:1: key `drian`: there is no such key here; did you mean `drain`?"),
    (
        "listen: a\nzzz: 5s\n",
        "gate.yaml:2:1: key `zzz`: there is no such key here; the valid keys are `listen`, `drain`, `ring`, `mode`, \
         `workers`, `verbose`, `services`, `state`",
    ),
    (
        "listen: a\nservices:\n  - name: x\n    upstream: {url: u}\n  - name: y\n    upstream:\n      uri: z\n",
        "gate.yaml:7:7: key `services[1].upstream.uri`: there is no such key here; did you mean `url`?",
    ),
    ("drain: 5s\n", "gate.yaml:1:1: key `listen`: this key is missing; it has no default, so write it here"),
    (
        "listen: a\nservices:\n  - name: x\n    upstream:\n      timeout: 5s\n",
        "gate.yaml:5:7: key `services[0].upstream.url`: this key is missing; it has no default, so write it here",
    ),
    ("listen: a\nlisten: b\n", "gate.yaml:2:1: key `listen`: this key stands here twice; remove one of the two"),
    ("listen: a\nmode: blok\n", "gate.yaml:2:7: key `mode`: `blok` is not a valid value; did you mean `block`?"),
    (
        "listen: a\nmode: queue\n",
        "gate.yaml:2:7: key `mode`: `queue` is not a valid value; the valid values are `shed`, `block`",
    ),
    ("listen: a\ndrain: 10\n", "gate.yaml:2:8: key `drain`: `10` has no unit; write for example `10s` or `10ms`"),
    (
        "listen: a\ndrain: 1.5\n",
        "gate.yaml:2:8: key `drain`: `1.5` has no unit; write a whole number with one, such as `1500ms`",
    ),
    ("listen: a\ndrain: -3\n", "gate.yaml:2:8: key `drain`: `-3` is negative; write a duration such as `10s`"),
    ("listen: a\ndrain: soon\n", "gate.yaml:2:8: key `drain`: `soon` is not a duration; write for example `10s`"),
    (
        "listen: a\ndrain: 3 weeks\n",
        "gate.yaml:2:8: key `drain`: `3 weeks` has no known unit; write us, ms, s, m, h or d, for example `10s`",
    ),
    ("listen: a\ndrain: 99999999d\n", "gate.yaml:2:8: key `drain`: `99999999d` is too long; the most is 36500d"),
    (
        "listen: a\nring: 64 MB\n",
        "gate.yaml:2:7: key `ring`: `64 MB` has no known unit; write B, KiB, MiB, GiB or TiB, for example `64 MiB`",
    ),
    (
        "listen: a\nring: 99999999 TiB\n",
        "gate.yaml:2:7: key `ring`: `99999999 TiB` is too large; the most is 16777215 TiB",
    ),
    ("listen: a\nring: -1\n", "gate.yaml:2:7: key `ring`: `-1` is negative; write a size such as `64 MiB`"),
    ("listen: a\nring: [1]\n", "gate.yaml:2:7: key `ring`: found a list; write a size such as `64 MiB`"),
    ("listen: a\nworkers: many\n", "gate.yaml:2:10: key `workers`: `many` is not a whole number from 0 to 65535"),
    ("listen: a\nworkers: 70000\n", "gate.yaml:2:10: key `workers`: `70000` is not a whole number from 0 to 65535"),
    (
        "listen: a\nverbose: yes\n",
        "gate.yaml:2:10: key `verbose`: `yes` is neither `true` nor `false`; write one of them",
    ),
    ("listen: [a, b]\n", "gate.yaml:1:9: key `listen`: found something else; write a single value"),
    (
        "listen: a\nservices: 5\n",
        "gate.yaml:2:11: key `services`: found something else; write a list, each item behind a `-`",
    ),
    (
        "listen: a\nservices:\n  - 5\n",
        "gate.yaml:3:5: key `services[0]`: found something else; write a mapping of keys to values",
    ),
    ("listen: a\nstate: \"\"\n", "gate.yaml:2:8: key `state`: the path is empty; write a file or folder name"),
    ("", "gate.yaml: there is no key in this file; write at least those that have no default"),
    ("# only a remark\n", "gate.yaml: there is no key in this file; write at least those that have no default"),
    (
        "listen: a\nservices:\n  - name: x\n    upstream:\n",
        "gate.yaml:4:13: key `services[0].upstream`: found no value; write a mapping of keys to values",
    ),
    (
        "listen: a\nservices:\n  - name: x\n    upstream: {}\n",
        "gate.yaml:4:15: key `services[0].upstream.url`: this key is missing; it has no default, so write it here",
    ),
    ("listen:\n", "gate.yaml:1:7: key `listen`: there is no value here; write one, or remove the key"),
    (
        "listen: a\n<<: {drain: 5s}\n",
        "gate.yaml:2:1: key `<<`: merge keys (`<<`) are not supported, as they hide where a value comes from; write the keys out",
    ),
    ("- a\n", "gate.yaml:1:1: found something else; write a mapping of keys to values"),
    (
        "listen: a\nservices: [{name: x, upstream: {url: u, timeout: {}}}]\n",
        "gate.yaml:2:50: key `services[0].upstream.timeout`: found a mapping; write a duration such as `10s`",
    ),
    (
        "listen: a\n---\nlisten: b\n",
        "gate.yaml:3:1: a second document begins here; a configuration is one document, so remove the `---`",
    ),
    (
        "listen: *here\n",
        "gate.yaml:1:9: key `listen`: there is no anchor of this name above; to write a text that begins with `*`, quote it",
    ),
];

#[test]
fn every_refusal_names_place_key_fault_and_cure() {
    let mut wrong = String::new();
    for (text, expected) in REFUSALS {
        let found = refusal(text);
        if found != *expected {
            wrong.push_str(&format!("text:     {text:?}\nexpected: {expected}\nfound:    {found}\n\n"));
        }
    }
    assert!(wrong.is_empty(), "\n{wrong}");
}

#[test]
fn broken_yaml_is_refused_where_it_breaks() {
    for (text, line) in [
        ("listen: \"a\n", 1),
        ("services: [a: b\n", 1),
        ("listen: a\n  drain: 5s\n", 2),
        ("listen: a\n\tdrain: 5s\n", 1),
        ("a: \"x\n", 1),
    ] {
        let error = parse::<Gate>(Path::new("gate.yaml"), text.to_owned()).unwrap_err();
        let problem = &error.diagnostics()[0];
        assert_eq!(problem.line, line, "{text:?}: {error}");
        assert!(!error.to_string().contains("Options"), "speaks of the parser's own settings: {error}");
    }
}

#[test]
fn a_missing_file_and_a_folder_are_told_apart() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("gate.yaml");
    let error = load::<Gate>(&path).unwrap_err();
    assert_eq!(
        error.to_string(),
        format!("{}: there is no such file; name the configuration file with --config", path.display())
    );
    let error = load::<Gate>(folder.path()).unwrap_err();
    assert!(error.to_string().ends_with("this is a folder; name the configuration file in it"), "{error}");
}

#[test]
fn a_file_without_permission_says_who_must_be_able_to_read_it() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("gate.yaml");
    std::fs::write(&path, "listen: a\n").unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o000)).unwrap();
    if std::fs::read(&path).is_ok() {
        return; // The superuser reads everything: nothing to see here.
    }
    let error = load::<Gate>(&path).unwrap_err();
    assert!(error.to_string().contains("permission denied; make the file readable"), "{error}");
}

#[test]
fn a_file_that_is_not_utf_8_is_refused_at_its_first_bad_byte() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("gate.yaml");
    std::fs::write(&path, b"listen: a\nstate: \xc3\xa9\xff\n").unwrap();
    let error = load::<Gate>(&path).unwrap_err();
    assert_eq!((error.diagnostics()[0].line, error.diagnostics()[0].column), (2, 9), "{error}");
}

#[test]
fn a_file_past_the_limit_is_refused_unread() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("gate.yaml");
    std::fs::File::create(&path).unwrap().set_len(FILE_BYTES_MAX + 1).unwrap();
    let error = load::<Gate>(&path).unwrap_err();
    assert!(error.to_string().ends_with("the file is larger than 32 MiB; is this the right file?"), "{error}");
}

#[test]
fn semantic_checks_report_all_problems_in_the_order_of_the_file() {
    let text = "listen: a\nworkers: 0\nservices:\n  - name: x\n    upstream: {url: ftp}\n";
    let loaded = parse::<Gate>(Path::new("gate.yaml"), text.to_owned()).unwrap();
    let error: ConfigError = loaded
        .checked(|gate, problems| {
            for service in &gate.services {
                problems.at(&service.upstream.url, "is not a URL; write http://HOST:PORT");
            }
            problems.at(&gate.workers, "is zero; write 1 or more");
            problems.key("services[0].upstream.timeout", "is longer than the client waits");
        })
        .unwrap_err();
    assert_eq!(
        error.to_string(),
        "gate.yaml:2:10: key `workers`: is zero; write 1 or more\n\
         gate.yaml:5:5: key `services[0].upstream.timeout`: is longer than the client waits\n\
         gate.yaml:5:21: key `services[0].upstream.url`: is not a URL; write http://HOST:PORT"
    );
}

#[test]
fn one_value_can_be_pointed_at() {
    let loaded = parse::<Gate>(Path::new("gate.yaml"), "listen: nowhere\n".to_owned()).unwrap();
    let error = loaded.error_at(&loaded.value.listen, "is not an address; write IP:PORT");
    assert_eq!(error.to_string(), "gate.yaml:1:9: key `listen`: is not an address; write IP:PORT");
}
