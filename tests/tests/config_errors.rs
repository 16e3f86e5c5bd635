//! A wrong configuration ends both programs before anything binds, with file, line, key and cure.

use std::path::Path;
use std::process::Command;

use anyhow::ensure;
use tollgate_tests::certificates;
use tollgate_tests::process::{binary, run_any};

const PROXY: &str = "node_id: edge-1
listeners:
  - {name: http, address: \"127.0.0.1:0\"}
  - name: https
    address: 127.0.0.1:0
    tls:
      certificates: [{certificate: tls/server.pem, key: tls/server.key}]
services: [{name: a, targets: [\"http://127.0.0.1:9\"]}]
routes:
  - {name: one, service: a, paths: [/x]}
records: {spool: {dir: spool}}
admin: {address: \"127.0.0.1:0\"}
";

const COLLECTOR: &str = "ingest:
  address: 127.0.0.1:0
  tls: {certificate: tls/collector.pem, key: tls/collector.key, client_ca: tls/ca.pem}
journal: {dir: data}
admin: {address: \"127.0.0.1:0\"}
sinks: {table: {dir: table}}
queries: {}
";

/// A mistake: what to replace, with what, and the words that the message must contain.
struct Mistake {
    from: &'static str,
    to: &'static str,
    says: &'static [&'static str],
}

const fn mistake(from: &'static str, to: &'static str, says: &'static [&'static str]) -> Mistake {
    Mistake { from, to, says }
}

const PROXY_MISTAKES: &[Mistake] = &[
    mistake("listeners:", "listners:", &["proxy.yaml:2", "listners", "listeners"]),
    mistake("node_id: edge-1", "node_id: [1]", &["proxy.yaml:1", "node_id"]),
    mistake("tls/server.pem", "tls/nothing.pem", &["proxy.yaml:7", "nothing.pem"]),
    mistake("tls/server.key", "tls/collector.key", &["proxy.yaml:7", "does not belong"]),
    mistake("service: a,", "service: b,", &["proxy.yaml:10", "service", "b"]),
    mistake(
        "  - {name: one, service: a, paths: [/x]}",
        "  - {name: one, service: a, paths: [/x]}\n  - {name: two, service: a, paths: [/x]}",
        &["proxy.yaml:11", "routes[1]", "one"],
    ),
    mistake("\"127.0.0.1:0\"}\n  - name", "\"nowhere\"}\n  - name", &["proxy.yaml:3", "address", "nowhere"]),
];

const COLLECTOR_MISTAKES: &[Mistake] = &[
    mistake("journal:", "jurnal:", &["collector.yaml:4", "jurnal", "journal"]),
    mistake("{dir: data}", "{dir: data, segment_bytes: lots}", &["collector.yaml:4", "segment_bytes"]),
    mistake("tls/collector.key", "tls/server.key", &["collector.yaml:3", "does not belong"]),
    mistake("tls/ca.pem", "tls/nothing.pem", &["collector.yaml:3", "nothing.pem"]),
    mistake("sinks: {table: {dir: table}}", "sinks: {}", &["collector.yaml:7", "queries", "sinks.table"]),
    mistake("127.0.0.1:0\n", "localhost\n", &["collector.yaml:2", "address"]),
];

fn check(
    dir: &Path,
    name: &str,
    good: &str,
    mistakes: &[Mistake],
    command: impl Fn() -> anyhow::Result<Command>,
) -> anyhow::Result<()> {
    let file = dir.join(name);
    std::fs::write(&file, good)?;
    let fine = run_any(command()?.arg(&file))?;
    ensure!(fine.status.success(), "the good {name}: {}", String::from_utf8_lossy(&fine.stderr));
    for mistake in mistakes {
        ensure!(good.contains(mistake.from), "{:?} is not in {name}", mistake.from);
        std::fs::write(&file, good.replacen(mistake.from, mistake.to, 1))?;
        let output = run_any(command()?.arg(&file))?;
        let said = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.code() == Some(2), "{:?}: {} and {said}", mistake.to, output.status);
        for word in mistake.says {
            ensure!(said.contains(word), "{:?}: no {word:?} in: {said}", mistake.to);
        }
    }
    Ok(())
}

#[test]
fn a_wrong_configuration_names_file_line_key_and_cure() -> anyhow::Result<()> {
    let dir = tempfile::tempdir()?;
    certificates::write(&dir.path().join("tls"))?;
    check(dir.path(), "proxy.yaml", PROXY, PROXY_MISTAKES, || {
        let mut command = Command::new(binary("tollgate-proxy")?);
        command.args(["check", "--config"]);
        Ok(command)
    })?;
    check(dir.path(), "collector.yaml", COLLECTOR, COLLECTOR_MISTAKES, || {
        let mut command = Command::new(binary("tollgate")?);
        command.args(["collector", "check", "--config"]);
        Ok(command)
    })?;
    ensure!(!dir.path().join("data").exists() && !dir.path().join("table").exists(), "a check created folders");
    Ok(())
}
