//! h2spec against the TLS listener: which of its cases fail is written down, and no other may, nor may one pass unnoticed.

use std::collections::BTreeMap;
use std::process::Command;

use tollgate_conformance::gate::Gate;
use tollgate_conformance::{listed, tool};
use tollgate_tests::process::run_any;
use tollgate_upstreams::{Behaviour, Upstream};

/// Cases of the pinned version.
const CASES: usize = 145;
/// Fewest that must pass.
const PASSED_MIN: usize = 144;

#[test]
fn h2spec_passes_but_for_what_is_listed() {
    let Some(program) = tool::installed_by("h2spec.sh") else { return };
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let origin = runtime.block_on(Upstream::start(([127, 0, 0, 1], 0).into(), Behaviour::Healthy)).unwrap();
    let gate = Gate::start(origin.addr, "", "").unwrap();
    let report = gate.dir().join("h2spec.xml");
    let port = gate.tls.port().to_string();
    let mut command = Command::new(program);
    command.args(["--host", "127.0.0.1", "--port", &port, "--tls", "--insecure", "--timeout", "2", "--junit-report"]);
    let output = run_any(command.arg(&report)).unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let (cases, failed) = read_report(&std::fs::read_to_string(&report).unwrap_or_default());
    assert_eq!(cases, CASES, "h2spec ran other cases than expected:\n{text}");
    assert!(cases - failed.len() >= PASSED_MIN, "{} of {cases} failed:\n{text}", failed.len());
    let wrong = listed::load("h2spec.yaml").unwrap().compare(&failed);
    assert!(wrong.is_empty(), "{}\n{text}", wrong.join("\n"));
}

/// How many cases a JUnit report has, and those that failed or met an error, named `package: description`.
fn read_report(xml: &str) -> (usize, BTreeMap<String, String>) {
    let cases: Vec<&str> = xml.split("<testcase").skip(1).collect();
    let failed = cases.iter().filter(|case| case.contains("<failure") || case.contains("<error"));
    let named = failed.map(|case| {
        let name = format!("{}: {}", attribute(case, "package"), attribute(case, "classname"));
        (name, "fails".to_owned())
    });
    (cases.len(), named.collect())
}

fn attribute(case: &str, name: &str) -> String {
    let value = case.split(&format!("{name}=\"")).nth(1).and_then(|rest| rest.split('"').next());
    value.unwrap_or_default().replace("&gt;", ">").replace("&lt;", "<").replace("&#39;", "'").replace("&#34;", "'")
}
