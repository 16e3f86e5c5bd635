//! Configurations of several files, and the commands that read them.

use std::path::Path;
use std::process::{Command, Output};

use serde_json::Value;
use tollgate_proxy::plan::RuntimeConfig;

const MAIN: &str = r#"node_id: gate-1
include: [apis, extra.yaml]
listeners:
  - {name: plain, address: "127.0.0.1:8080"}
records: {spool: {dir: spool}}
"#;
const MEMBERS: &str = r#"# The members team.
services:
  - {name: members, targets: ["http://127.0.0.1:9000"]}
routes:
  - {name: members, service: members, paths: [/members]}
"#;
const CLAIMS: &str = r#"services:
  - {name: claims, targets: ["http://127.0.0.1:9001"]}
routes:
  - {name: claims, service: claims, paths: [/claims]}
"#;

fn folder() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| std::fs::write(dir.path().join(name), text).unwrap();
    std::fs::create_dir_all(dir.path().join("apis/deep")).unwrap();
    write("proxy.yaml", MAIN);
    write("apis/members.yaml", MEMBERS);
    write("apis/deep/claims.yml", CLAIMS);
    write("apis/notes.txt", "not: [yaml");
    write("extra.yaml", "routes:\n  - {name: extra, service: claims, paths: [/extra]}\n");
    dir
}

fn edit(dir: &Path, file: &str, from: &str, to: &str) {
    let text = std::fs::read_to_string(dir.join(file)).unwrap();
    assert!(text.contains(from), "{from} in {text}");
    std::fs::write(dir.join(file), text.replacen(from, to, 1)).unwrap();
}

fn run(arguments: &[&str], dir: &Path) -> (Option<i32>, String, String) {
    let Output { status, stdout, stderr } =
        Command::new(env!("CARGO_BIN_EXE_tollgate-proxy")).args(arguments).current_dir(dir).output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (status.code(), text(stdout), text(stderr))
}

#[test]
fn a_folder_is_one_configuration_and_its_revision_covers_all() {
    let dir = folder();
    let by_file = RuntimeConfig::load(&dir.path().join("proxy.yaml")).unwrap();
    let names = |plan: &RuntimeConfig| plan.routes.iter().map(|route| route.name.clone()).collect::<Vec<_>>();
    assert_eq!(names(&by_file), ["claims", "members", "extra"]);
    let by_folder = RuntimeConfig::load(dir.path()).unwrap();
    assert_eq!((names(&by_folder), &by_folder.revision), (names(&by_file), &by_file.revision));
    let copy = folder();
    assert_eq!(RuntimeConfig::load(copy.path()).unwrap().revision, by_folder.revision, "copies have one revision");
    edit(copy.path(), "apis/members.yaml", "members team", "members' team");
    assert_ne!(RuntimeConfig::load(copy.path()).unwrap().revision, by_folder.revision);
    edit(dir.path(), "apis/deep/claims.yml", "[/claims]", "[/claim]");
    let reloaded = by_folder.reload().unwrap();
    assert_ne!(reloaded.revision, by_folder.revision);
}

#[test]
fn mistakes_name_their_own_file_and_doubles_name_both() {
    let dir = folder();
    edit(dir.path(), "extra.yaml", "service: claims", "service: claim");
    edit(dir.path(), "apis/members.yaml", "[/members]", "[/%61]");
    edit(dir.path(), "apis/deep/claims.yml", "name: claims, service", "name: members, service");
    let error = RuntimeConfig::load(dir.path()).unwrap_err();
    let lines: Vec<String> = error.diagnostics().iter().map(ToString::to_string).collect();
    let has = |place: &str, what: &str| lines.iter().any(|line| line.contains(place) && line.contains(what));
    assert!(has("extra.yaml:2:28: key `routes[0].service`", "did you mean `claims`?"), "{error}");
    assert!(has("members.yaml:5:47: key `routes[0].paths[0]`", "write `/a`"), "{error}");
    assert!(has("members.yaml:5:12: key `routes[0].name`", "on line 4 of"), "{error}");
    assert!(has("members.yaml:5:12:", "claims.yml; change one"), "{error}");
    assert_eq!(lines.len(), 3, "{error}");
    let dir = folder();
    edit(dir.path(), "apis/members.yaml", "targets", "target");
    edit(dir.path(), "extra.yaml", "routes", "listeners");
    let error = RuntimeConfig::load(dir.path()).unwrap_err().to_string();
    assert!(error.contains("members.yaml:3:") && error.contains("extra.yaml:1:1"), "{error}");
    edit(dir.path(), "proxy.yaml", "extra.yaml", "none.yaml");
    let error = RuntimeConfig::load(&dir.path().join("proxy.yaml")).unwrap_err().to_string();
    assert!(error.contains("none.yaml: there is no such file"), "{error}");
}

#[test]
fn check_warns_of_what_is_hardly_meant() {
    let dir = folder();
    let (status, out, _) = run(&["check", "."], dir.path());
    assert!(status == Some(0) && out.contains("ok, revision") && !out.contains("warning"), "{out}");
    let ca = tollgate_demo_ca::DemoCa::open(&dir.path().join("tls")).unwrap();
    ca.server("gate", &["a"], tollgate_demo_ca::Lifetime::days(3)).unwrap();
    let tls = "8080\", tls: {certificates: [{certificate: tls/gate.pem, key: tls/gate.key}]}}";
    edit(dir.path(), "proxy.yaml", "8080\"}", tls);
    edit(dir.path(), "apis/members.yaml", "routes:", "  - {name: idle, targets: [\"http://127.0.0.1:1\"]}\nroutes:");
    edit(dir.path(), "extra.yaml", "[/extra]", "[\"=/claims\", \"/claims/{*rest}\"], headers: [{name: a}]");
    edit(
        dir.path(),
        "extra.yaml",
        "routes:",
        "routes:\n  - {name: own, service: claims, paths: [\"=/members\", \"/members/{a}\", \"/members/{a}/{*b}\"]}",
    );
    let (status, out, error) = run(&["check", ".", "--format", "json"], dir.path());
    assert_eq!(status, Some(0), "{out}{error}");
    let report: Value = serde_json::from_str(&out).unwrap();
    let warnings = report["warnings"].as_array().unwrap();
    let found: Vec<_> = warnings.iter().map(|w| (w["key"].as_str().unwrap(), w["line"].as_u64().unwrap())).collect();
    let route = ("routes[0].name", 6);
    assert!(found.contains(&route), "the shadowed route of members.yaml: {report:#}");
    assert!(found.contains(&("services[1].name", 4)), "the unused service: {report:#}");
    assert!(found.contains(&("listeners[0].tls.certificates[0].certificate", 4)), "the certificate: {report:#}");
    assert_eq!(found.len(), 3, "{report:#}");
    let (status, out, _) = run(&["check", ".", "--deny-warnings"], dir.path());
    assert!(status == Some(1) && out.matches("warning: ").count() == 3, "{out}");
    edit(dir.path(), "extra.yaml", "service: claims", "service: claim");
    let (status, out, _) = run(&["check", ".", "--format", "json"], dir.path());
    let report: Value = serde_json::from_str(&out).unwrap();
    assert!(status == Some(2) && report["errors"][0]["line"] == 2 && report["revision"].is_null(), "{report:#}");
}

#[test]
fn diff_shows_what_changes() {
    let (old, new) = (folder(), folder());
    let (a, b) = (old.path().to_str().unwrap(), new.path().to_str().unwrap());
    assert_eq!(run(&["diff", a, b], old.path()), (Some(0), String::new(), String::new()));
    edit(new.path(), "extra.yaml", "name: extra", "name: other");
    edit(new.path(), "apis/members.yaml", "[/members]", "[/member]");
    edit(new.path(), "proxy.yaml", "node_id: gate-1", "node_id: gate-2\ndrain: 5s");
    let (status, out, _) = run(&["diff", a, b], old.path());
    let expected = [
        "- route extra",
        "~ route members paths: [\"/members\"] -> [\"/member\"]",
        "+ route other",
        "~ setting drain: \"30s\" -> \"5s\"",
        "~ setting node_id: \"gate-1\" -> \"gate-2\" (needs another start)",
    ];
    let mut lines: Vec<&str> = out.lines().collect();
    lines.sort_by_key(|line| line.split(' ').nth(2).map(str::to_owned));
    let mut expected = expected.to_vec();
    expected.sort_by_key(|line| line.split(' ').nth(2).map(str::to_owned));
    assert_eq!((status, lines), (Some(1), expected));
    edit(new.path(), "proxy.yaml", "drain", "drian");
    assert_eq!(run(&["diff", a, b], old.path()).0, Some(2));
}

#[test]
fn folders_have_bounds_of_depth_and_number() {
    let dir = folder();
    let main = dir.path().join("proxy.yaml");
    let deep = dir.path().join("apis/1/2/3/4/5/6/7/8");
    std::fs::create_dir_all(deep.join("9")).unwrap();
    let error = RuntimeConfig::load(&main).unwrap_err().to_string();
    assert!(error.contains("proxy.yaml:2:11: key `include[0]`: "), "{error}");
    assert!(error.contains("is more than 8 folders deep; move its files up"), "{error}");
    std::fs::remove_dir(deep.join("9")).unwrap();
    RuntimeConfig::load(&main).unwrap();
    for nth in 0..=tollgate_config::FILES_MAX {
        std::fs::File::create(deep.join(format!("{nth}.yaml"))).unwrap();
    }
    let error = RuntimeConfig::load(&main).unwrap_err().to_string();
    assert!(error.contains("there are more than 50000 files; write several APIs into one"), "{error}");
}
