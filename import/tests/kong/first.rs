//! The smallest whole file: two services, imported, checked, and imported again.

use std::path::Path;

use tollgate_import::{Imported, Options, kong};
use tollgate_proxy::plan::RuntimeConfig;

const TWO: &str = r#"
_format_version: "3.0"
services:
  - name: members
    url: http://127.0.0.1:9000/v2
    plugins:
      - name: cors
        config: {origins: ["https://app.example.com"], credentials: true}
    routes:
      - name: members
        paths: [/members]
      - name: health
        paths: [~/health$]
        strip_path: false
        methods: [GET]
  - name: payments
    host: payments
    port: 80
    routes:
      - name: payments
        hosts: [pay.example.com]
        protocols: [https]
        preserve_host: true
        plugins:
          - {name: rate-limiting, config: {minute: 5, policy: local}}
upstreams:
  - name: payments
    targets:
      - {target: "10.0.0.1:80", weight: 200}
      - {target: "10.0.0.2:80", weight: 100}
"#;

/// Imports a text that is not refused.
pub fn imported(text: &str) -> Imported {
    let options = Options { file: "kong.yml".into(), ..Options::default() };
    kong::import(text, &options).unwrap_or_else(|error| panic!("{error}\n{text}"))
}

/// Writes an import into a folder, and checks it as the proxy does.
pub fn checked(imported: &Imported, dir: &Path) -> RuntimeConfig {
    imported.write(dir).unwrap();
    RuntimeConfig::load(dir).unwrap_or_else(|error| panic!("{error}\n{}", all(imported)))
}

/// Every file in one text.
pub fn all(imported: &Imported) -> String {
    imported.files.iter().map(|file| format!("==> {}\n{}\n", file.name, file.text)).collect()
}

#[test]
fn two_services_pass_the_check_and_a_second_run_changes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let first = imported(TWO);
    let config = checked(&first, dir.path());
    assert_eq!((config.services.len(), config.routes.len()), (2, 3), "{}", all(&first));
    assert!(first.is_complete(), "{}", first.markdown());
    let before: Vec<_> = first.files.iter().map(|file| std::fs::read(dir.path().join(&file.name)).unwrap()).collect();
    imported(TWO).write(dir.path()).unwrap();
    let after: Vec<_> = first.files.iter().map(|file| std::fs::read(dir.path().join(&file.name)).unwrap()).collect();
    assert_eq!(before, after);
    for said in ["rewrite: /v2", "=/health", "weight: 2", "https_only: 426", "upstream_host: client"] {
        assert!(all(&first).contains(said), "{said}: {}", all(&first));
    }
}

#[test]
fn a_file_of_somebody_else_is_never_written_over() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("members.yaml"), "services: []\n").unwrap();
    let error = imported(TWO).write(dir.path()).unwrap_err().to_string();
    assert!(error.contains("members.yaml was not written by an import"), "{error}");
    assert!(!dir.path().join("payments.yaml").exists());
}
