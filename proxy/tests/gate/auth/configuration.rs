//! What is refused, what `check` warns of, what a reload changes, and the commands `explain` and `hash`.

use std::io::Write;
use std::process::{Command, Stdio};

use tollgate_proxy::plan::RuntimeConfig;

use super::{KEY, OTHER_KEY, PASSWORD, basic, gate, sha256, status};
use crate::reload::admin;
use crate::rig::{Upstream, get_text};

const OK: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello";
const HASH: &str = "$argon2id$v=19$m=19456,t=2,p=1$c2FsdHNhbHRzYWx0$aGFzaGhhc2hoYXNoaGFzaGhhc2hoYXNoaGFzaGhhc2g";

fn file(route: &str, consumers: &str) -> (tempfile::TempDir, std::path::PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("gate.yaml");
    let text = format!(
        "node_id: gate-1
listeners: [{{name: plain, address: \"127.0.0.1:0\"}}]
services: [{{name: api, targets: [\"http://127.0.0.1:9\"]}}]
routes: [{{name: all, service: api{route}}}]
records: {{enabled: false}}
consumers:
{consumers}
"
    );
    std::fs::write(&path, text).unwrap();
    (dir, path)
}

#[test]
fn what_cannot_be_meant_is_refused_with_its_place_and_without_the_secret() {
    let (one, two) = (sha256("one"), sha256("two"));
    let key = |id: &str, sha256: &str| format!("{{id: {id}, sha256: {sha256}}}");
    for (route, consumers, told) in [
        ("", "- {name: a}\n- {name: a}".to_owned(), "the consumer `a` is there already, on line 7"),
        (
            "",
            format!("- {{name: a, api_keys: [{}]}}\n- {{name: b, api_keys: [{}]}}", key("k", &one), key("l", &one)),
            "consumer `a` has it already, as `k`",
        ),
        ("", format!("- {{name: a, api_keys: [{}, {}]}}", key("k", &one), key("k", &two)), "a key of this id already"),
        ("", "- {name: a, api_keys: [{id: k, sha256: hunter2}]}".to_owned(), "this is no SHA-256"),
        ("", "- {name: a, basic: [{user: u, argon2: hunter2}]}".to_owned(), "this is no argon2id hash"),
        (
            "",
            format!("- {{name: a, basic: [{{user: u, argon2: \"{}\"}}]}}", HASH.replace("t=2", "t=1")),
            "the parameters of the hash are weak",
        ),
        (
            "",
            format!(
                "- {{name: a, basic: [{{user: u, argon2: \"{HASH}\"}}]}}\n- {{name: b, basic: [{{user: u, argon2: \"{HASH}\"}}]}}"
            ),
            "consumer `a` has it already, as `u`",
        ),
        ("", "- {name: a, certificates: [{cn: x, san_dns: y}]}".to_owned(), "write exactly one of"),
        ("", "- {name: a, certificates: [{cn: x}]}\n- {name: b, certificates: [{cn: x}]}".to_owned(), "there twice"),
        ("", format!("- {{name: a, api_keys: [{{id: k, sha256: {one}, expires: soon}}]}}"), "no time of RFC 3339"),
        ("", "- {name: \"a,b\"}".to_owned(), "no comma"),
        (", allow: {groups: [a]}", "- {name: a}".to_owned(), "allow and deny need to know who calls"),
        (", auth: {any_of: []}", "- {name: a}".to_owned(), "the list of methods is empty"),
        (", auth: {any_of: [mtls, mtls]}", "- {name: a}".to_owned(), "this method is there already"),
        (", auth: {any_of: [api_key]}, deny: {consumers: [b]}", "- {name: a}".to_owned(), "there is no consumer `b`"),
        (", auth: {any_of: [{api_key: {query: k}}]}, query_allow: [k]", "- {name: a}".to_owned(), "query_allow"),
        (", auth: {any_of: [{api_key: {header: X-K}}]}, header_allow: [x-k]", "- {name: a}".to_owned(), "cannot stand"),
        (", auth: {any_of: [{api_key: {header: cookie}}]}", "- {name: a}".to_owned(), "has another meaning"),
        (", auth: {any_of: [{api_key: {}}]}", "- {name: a}".to_owned(), "an API key needs a place"),
    ] {
        let (_dir, path) = file(route, &consumers);
        let error = RuntimeConfig::load(&path).unwrap_err().to_string();
        assert!(error.contains("gate.yaml:") && error.contains(told), "{route} {consumers}: {error}");
        assert!(!error.contains("hunter2") && !error.contains(&one), "{error}");
    }
}

#[test]
fn check_warns_of_routes_that_nobody_passes_or_that_say_nothing_and_of_consumers_without_use() {
    let acme = format!("- {{name: acme, groups: [g], api_keys: [{{id: k, sha256: {}}}]}}", sha256("a-long-random-key"));
    for (route, consumers, told) in [
        ("", acme.clone(), "asks nothing of its callers"),
        (", auth: none", acme.clone(), ""),
        (", auth: {any_of: [api_key]}", acme.clone(), ""),
        (", auth: {any_of: [basic]}", acme.clone(), "no consumer has the credentials"),
        (", auth: {all_of: [api_key, basic]}", acme.clone(), "no consumer has the credentials"),
        (", auth: {any_of: [api_key, basic]}", acme.clone(), ""),
        (", auth: {any_of: [api_key]}, allow: {groups: [h]}", acme.clone(), "no consumer is in a group of `allow`"),
        (", auth: {any_of: [api_key]}, allow: {groups: [h], consumers: [acme]}", acme.clone(), ""),
        (
            ", auth: {any_of: [api_key], optional: true}, allow: {groups: [g]}",
            acme.clone(),
            "lets anonymous callers in",
        ),
        (", auth: none", acme.replace("groups: [g], ", ""), "in no group"),
        (", auth: none", "- {name: a, groups: [g]}".to_owned(), "has no credential"),
        (", auth: none", acme.replace(&sha256("a-long-random-key"), &sha256("secret")), "anybody guesses"),
    ] {
        let (_dir, path) = file(route, &consumers);
        let (_, warnings) = RuntimeConfig::check(&path).unwrap();
        let found: Vec<String> = warnings.iter().map(ToString::to_string).collect();
        match told {
            "" => assert!(found.is_empty(), "{route}: {found:?}"),
            told => assert!(found.len() == 1 && found[0].contains(told), "{route} {consumers}: {found:?}"),
        }
    }
}

#[test]
fn consumers_change_with_a_reload_and_hashes_are_not_shown() {
    let gate = gate(&Upstream::answering(OK), "auth: {any_of: [api_key]}", "");
    let get = |key: &str| {
        gate.exchange(&format!("GET /api HTTP/1.1\r\nhost: a\r\nx-api-key: {key}\r\nconnection: close\r\n\r\n"))
    };
    assert_eq!((status(&get(KEY)), status(&get("new-key-0a1b2c3d4e"))), (200, 401));
    gate.edit(&sha256(KEY), &sha256("new-key-0a1b2c3d4e"));
    assert!(admin(gate.admin, "POST", "/reload").starts_with("HTTP/1.1 200"));
    assert_eq!((status(&get(KEY)), status(&get("new-key-0a1b2c3d4e"))), (401, 200));
    let shown = get_text(gate.admin, "/config");
    let stored = sha256(OTHER_KEY);
    assert!(
        shown.contains(&stored[60..]) && !shown.contains(&stored[..16]) && !shown.contains("$argon2id$v"),
        "{shown}"
    );
}

#[test]
fn each_verified_caller_has_its_own_rate() {
    let upstream = Upstream::answering(OK);
    let gate = crate::rig::Gate::with(&crate::rig::Setup {
        targets: &[format!("http://{}", upstream.addr)],
        service: "    caps: {principal_requests_per_second_max: 0.001, principal_request_burst_max: 2}",
        route: "    auth: {any_of: [api_key, basic], optional: true}",
        extra: &super::consumers(),
        ..crate::rig::Setup::default()
    });
    let get = |field: &str| {
        status(&gate.exchange(&format!("GET /api HTTP/1.1\r\nhost: a\r\n{field}connection: close\r\n\r\n")))
    };
    let key = |key: &str| format!("x-api-key: {key}\r\n");
    let other_credential = basic("acme", PASSWORD);
    let answers = [get(&key(KEY)), get(&other_credential), get(&key(KEY)), get(&key(OTHER_KEY)), get(""), get("")];
    assert_eq!(answers, [200, 200, 429, 200, 200, 200], "by consumer, whatever the credential; not the anonymous");
    let rows = gate.finish();
    assert_eq!(rows[2]["user.name"], "acme", "who was limited is known");
    assert_eq!(rows[2]["error.type"], "rate_limited");
}

/// Runs the program with this standard input.
fn run(args: &[&str], dir: &std::path::Path, input: &str) -> (Option<i32>, String, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tollgate-proxy"));
    command.args(args).current_dir(dir).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (output.status.code(), text(&output.stdout), text(&output.stderr))
}

#[test]
fn explain_tells_the_steps_and_hash_makes_what_the_configuration_wants() {
    let stored = sha256(KEY);
    let consumers = format!("- {{name: acme, groups: [g], api_keys: [{{id: k1, sha256: {stored}}}]}}");
    let route = ", auth: {any_of: [api_key, basic]}, allow: {groups: [h]}";
    let (dir, _path) = file(route, &consumers);
    let explained = |request: &str| {
        std::fs::write(dir.path().join("request"), request).unwrap();
        let (status, out, error) = run(&["explain", "request", "--config", "gate.yaml"], dir.path(), "");
        assert_eq!(status, Some(0), "{out}{error}");
        assert!(!format!("{out}{error}").contains(KEY), "{out}");
        out
    };
    assert_eq!(
        explained(&format!("GET /a?b HTTP/1.1\nHost: a\nX-Api-Key: {KEY}\n\n")),
        "route: all of service api\n\
         method api_key: succeeded, consumer acme, credential k1, groups g\n\
         method basic: absent\n\
         caller: consumer acme, credential k1, groups g\n\
         access: deny, as nothing of the caller is on allow\n\
         answer: 403, acl: nothing of the caller is on allow\n"
    );
    let out = explained("GET /a HTTP/1.1\r\nHost: a\r\nAuthorization: Basic YTpi\r\n");
    assert!(out.contains("method basic: failed, unknown: "), "{out}");
    assert!(
        out.ends_with("answer: 401, auth: basic, unknown: no consumer has this name with this password\n"),
        "{out}"
    );
    assert!(explained("GET /a HTTP/1.1\n\n").contains("answer: 400, bad_request"));
    assert!(explained("nonsense").contains("the request head cannot be parsed"));
    let (status, out, _) = run(&["hash", "key"], dir.path(), &format!("{KEY}\n"));
    assert_eq!((status, out.trim()), (Some(0), stored.as_str()));
    let (status, out, _) = run(&["hash", "password"], dir.path(), "a password\n");
    assert!(status == Some(0) && out.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{out}");
    let (status, out, error) = run(&["hash", "key"], dir.path(), "hunter2\n");
    assert!(status == Some(1) && !format!("{out}{error}").contains("hunter2"), "{error}");
}
