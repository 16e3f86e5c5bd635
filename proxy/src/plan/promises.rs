//! What [`RuntimeConfig::parse`] promises for any text. A property test drives these checks for a moment, the fuzz
//! target `configuration` for as long as one likes.

use std::path::Path;

use super::RuntimeConfig;

/// Panics unless a text is a configuration that is read the same again, or leads to problems that name the file.
pub fn any_text(text: &str) {
    let path = Path::new("/nowhere/gate.yaml");
    match RuntimeConfig::parse(path, text.to_owned()) {
        Ok(config) => {
            assert!(!config.listeners.is_empty());
            let again = RuntimeConfig::parse(path, text.to_owned()).map(|again| again.revision);
            assert_eq!(again.ok(), Some(config.revision));
        }
        Err(error) => assert!(error.to_string().contains("gate.yaml"), "{error}"),
    }
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;
    use proptest::sample::select;

    use super::*;

    const CONFIGURATION: &str = "\
node_id: gate-1
listeners:
  - {name: plain, address: \"127.0.0.1:8080\", caps: {connections_max: 9}}
services:
  - {name: api, targets: [\"http://127.0.0.1:9000\"], caps: {concurrent_max: 5}}
routes:
  - {name: all, service: api, hosts: [\"*.a.b\"], paths: [\"/members/{id}\"], methods: [GET], timeouts: {total: 10s}}
timeouts: {total: 1m}
records: {batch_age_max: 1s, spool: {dir: spool, bytes_max: 1 GiB}}
";
    /// Pieces of configurations, and pieces that hardly belong in one.
    const PARTS: &[&str] = &[
        "",
        "\n",
        "  ",
        "- ",
        ": ",
        ", ",
        "{",
        "}",
        "[",
        "]",
        "\"",
        "#",
        "&a ",
        "*a",
        "0",
        "-1",
        "1e9",
        "9999999999999999999",
        "1s",
        "1d",
        "0s",
        "1 GiB",
        "a",
        "/",
        "/{",
        "/{id}/{id}",
        "*",
        "**",
        "[::1]:0",
        "http://",
        "https://a:0",
        "null",
        "true",
        "hosts",
        "targets",
        "weight",
        "é",
        "\u{7}",
    ];

    proptest! {
        #[test]
        fn any_configuration(text in ".{0,200}") {
            any_text(&text);
        }

        #[test]
        fn nearly_configurations(
            changes in vec((any::<prop::sample::Index>(), 0_usize..6, select(PARTS)), 1..6)
        ) {
            any_text(CONFIGURATION);
            let mut text: Vec<char> = CONFIGURATION.chars().collect();
            for (at, gone, part) in changes {
                let at = at.index(text.len());
                let end = (at + gone).min(text.len());
                text.splice(at..end, part.chars());
            }
            any_text(&text.into_iter().collect::<String>());
        }
    }
}
