//! Rules, runbooks and documents agree with `ErrorClass` on who is to act.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use tollgate_record::columns::{RESERVED, index_of};
use tollgate_record::document;
use tollgate_record::vocabulary::{
    AclDecision, Actor, AuthFailReason, AuthPattern, AuthResult, ErrorClass, Vocabulary, WafAction,
};

const RULES: &str = "dashboards/prometheus/rules";
const RUNBOOKS: &str = "dashboards/runbooks";

fn path(relative: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(relative)
}

fn text(relative: &str) -> String {
    std::fs::read_to_string(path(relative)).unwrap_or_else(|error| panic!("{relative}: {error}"))
}

fn classes_of(actor: Actor) -> BTreeSet<&'static str> {
    ErrorClass::ALL.iter().filter(|class| class.actor() == actor).map(|class| class.as_str()).collect()
}

/// The classes that a PromQL matcher takes: alternatives, each a class or the beginning of some (`upstream_.+`).
fn matched(matcher: &str) -> BTreeSet<&'static str> {
    let mut classes = BTreeSet::new();
    for alternative in matcher.split('|') {
        let (start, open) = alternative.strip_suffix(".+").map_or((alternative, false), |start| (start, true));
        assert!(
            start.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_'),
            "{matcher} is not plain enough"
        );
        let names = ErrorClass::ALL.iter().map(|class| class.as_str());
        let found: Vec<_> = names.filter(|name| if open { name.starts_with(start) } else { *name == start }).collect();
        assert!(!found.is_empty(), "no error class is named {alternative}");
        classes.extend(found);
    }
    classes
}

/// The matchers on `error_class` in `text`, in order.
fn matchers(text: &str) -> Vec<&str> {
    let parts = text.split("error_class=").skip(1).map(|rest| rest.trim_start_matches('~'));
    parts.filter_map(|rest| rest.strip_prefix('"')?.split_once('"')).map(|(matcher, _)| matcher).collect()
}

/// The classes that the rule of this name matches.
fn classes_of_rule(file: &str, rule: &str) -> BTreeSet<&'static str> {
    let rules = text(&format!("{RULES}/{file}"));
    let (_, rest) = rules.split_once(&format!("{rule}\n")).unwrap_or_else(|| panic!("{file} has no {rule}"));
    let body = rest.split("\n      - ").next().unwrap_or_default();
    let found = matchers(body);
    assert_eq!(found.len(), 1, "{rule}: {found:?}");
    matched(found[0])
}

/// The words in backquotes of `text` that are error classes.
fn quoted(text: &str) -> BTreeSet<&'static str> {
    text.split('`').skip(1).step_by(2).filter_map(ErrorClass::parse).map(ErrorClass::as_str).collect()
}

#[test]
fn the_alert_on_an_upstream_pages_for_what_the_team_of_the_api_can_mend() {
    let paged = classes_of_rule("recording.yaml", "record: tollgate:upstream_failures:rate1m");
    assert_eq!(paged, classes_of(Actor::ApiTeam));
}

#[test]
fn every_class_of_the_gateway_team_pages_it() {
    let mut paged = classes_of_rule("recording.yaml", "record: tollgate:unresolved:rate1m");
    paged.extend(classes_of_rule("traffic.yaml", "alert: GatewayInternalErrors"));
    assert_eq!(paged, classes_of(Actor::GatewayTeam));
}

#[test]
fn rules_and_dashboards_match_classes_that_there_are() {
    for folder in [RULES, "dashboards/grafana/source"] {
        for file in std::fs::read_dir(path(folder)).unwrap() {
            let file = file.unwrap().path();
            if file.is_file() {
                let text = std::fs::read_to_string(&file).unwrap();
                matchers(&text).into_iter().for_each(|matcher| drop(matched(matcher)));
            }
        }
    }
}

/// The texts that SQL compares `error_class` with.
fn compared(text: &str) -> Vec<&str> {
    let after = text.match_indices("error_class").map(|(at, name)| text[at + name.len()..].trim_start());
    let literals = after.filter_map(|rest| match rest.strip_prefix("IN (") {
        Some(list) => list.split_once(')').map(|(list, _)| list),
        None => rest.strip_prefix("= '").and_then(|rest| rest.split_once('\'')).map(|(value, _)| value),
    });
    literals.flat_map(|list| list.split(',')).map(|literal| literal.trim().trim_matches('\'')).collect()
}

#[test]
fn questions_dashboards_and_runbooks_ask_for_classes_that_there_are() {
    let mut found = 0;
    for folder in ["queries/questions", "dashboards/grafana/source", RUNBOOKS] {
        for file in std::fs::read_dir(path(folder)).unwrap() {
            let file = file.unwrap().path();
            let text = if file.is_file() { std::fs::read_to_string(&file).unwrap() } else { String::new() };
            // In a runbook, capitals stand for what the reader fills in.
            for class in compared(&text).into_iter().filter(|class| *class != "CLASS") {
                assert!(ErrorClass::parse(class).is_some(), "{}: no error class is named {class}", file.display());
                found += 1;
            }
        }
    }
    assert!(found >= 5, "{found}");
}

#[test]
fn runbooks_name_causes_of_their_own_alert_alone() {
    let causes = |alert: &str| {
        let page = text(&format!("{RUNBOOKS}/{alert}.md"));
        let (_, rest) = page.split_once("## Likely causes").unwrap();
        quoted(rest.split("\n## ").next().unwrap_or_default())
    };
    assert!(!causes("UpstreamFailing").is_empty());
    for (alert, actor) in [
        ("UpstreamFailing", Actor::ApiTeam),
        ("UpstreamNameUnresolved", Actor::GatewayTeam),
        ("GatewayInternalErrors", Actor::GatewayTeam),
    ] {
        assert!(causes(alert).is_subset(&classes_of(actor)), "{alert}");
    }
}

#[test]
fn the_runbook_of_all_classes_is_fresh() {
    let page = text(&format!("{RUNBOOKS}/ErrorClassSpike.md"));
    assert!(
        document::with_error_classes(&page).as_ref() == Some(&page),
        "ErrorClassSpike.md is stale; run `cargo run -p tollgate-record --example generate-docs` and commit the result"
    );
}

#[test]
fn the_answers_that_the_proxy_documents_have_classes_that_there_are() {
    let page = text("docs/proxy.md");
    let (_, rest) = page.split_once("| status | `error_class` | termination | when |\n").expect("the table of answers");
    let rows: Vec<&str> = rest.lines().skip(1).take_while(|line| line.starts_with('|')).collect();
    assert!(rows.len() >= 10, "{rows:?}");
    for row in rows {
        for class in row.split('|').nth(2).unwrap_or_default().split(',') {
            // An answer that the configuration gives may be no failure.
            let known = class.trim() == "none" || ErrorClass::parse(class.trim()).is_some();
            assert!(known, "docs/proxy.md: no error class is named {class}");
        }
    }
}

/// `Type::Value` of each reserved value, as it would stand in the code that writes it.
fn reserved<V: Vocabulary + std::fmt::Debug>() -> Vec<String> {
    let name = std::any::type_name::<V>().rsplit("::").next().unwrap_or_default();
    V::ALL.iter().filter(|value| value.is_reserved()).map(|value| format!("{name}::{value:?}")).collect()
}

fn sources(folder: &Path, files: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() && !path.ends_with("target") && !path.ends_with("tests") {
            sources(&path, files);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
}

#[test]
fn what_is_reserved_is_not_written() {
    let mut values = reserved::<ErrorClass>();
    values.extend(reserved::<AuthPattern>());
    values.extend(reserved::<AuthResult>());
    values.extend(reserved::<AuthFailReason>());
    values.extend(reserved::<AclDecision>());
    values.extend(reserved::<WafAction>());
    values.extend(RESERVED.iter().map(|column| format!("{column}: Some(")));
    assert!(RESERVED.iter().all(|column| index_of(column).is_some()), "{RESERVED:?}");
    let mut files = Vec::new();
    sources(&path("proxy"), &mut files);
    assert!(!files.is_empty());
    for file in files {
        let text = std::fs::read_to_string(&file).unwrap();
        for value in &values {
            let written = text.match_indices(value.as_str()).any(|(at, _)| {
                let next = text[at + value.len()..].bytes().next();
                value.ends_with('(') || !next.is_some_and(|byte| byte.is_ascii_alphanumeric())
            });
            assert!(!written, "{}: {value} is no longer reserved; take the mark off in record/src", file.display());
        }
    }
}
