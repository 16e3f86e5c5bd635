//! Explains a record in plain English.

use tollgate_record::vocabulary::{Actor, ErrorClass};

use super::row::Row;
use super::story::Stage;

/// What happened, in one line.
pub(super) fn summary(row: &Row) -> String {
    match row.kind.as_str() {
        "handshake_failed" => {
            return format!("TLS handshake failed: {}", reason(row));
        }
        "gap" => {
            return format!(
                "{} records from number {} on were shed: {}",
                row.gap_count.unwrap_or(1),
                row.seq,
                row.gap_reason.as_deref().unwrap_or("no reason given")
            );
        }
        _ => {}
    }
    let request = format!(
        "{} {}{}",
        row.method.as_deref().unwrap_or("request"),
        row.path.as_deref().unwrap_or("without a path"),
        row.service.as_ref().map_or_else(|| " (no service)".to_owned(), |service| format!(" of {service}"))
    );
    let status = row.status.map_or_else(|| "no status".to_owned(), |status| status.to_string());
    let took = row.total_us.map_or_else(String::new, |us| format!(" after {}", duration(us)));
    match &row.error_class {
        Some(_) => format!("{request}: {status}{took}, because {}", reason(row)),
        None => format!("{request}: {status}{took}"),
    }
}

/// Who is to act, by the class of the error, as `actor(error_class)` has it in SQL.
pub(super) fn to_act(row: &Row) -> Option<String> {
    let class = row.error_class.as_deref()?;
    Some(match ErrorClass::actor_of(class) {
        Actor::Caller if class == ErrorClass::ClientAbort.as_str() => {
            "the caller, who left; if it waited long, see what the upstream took".to_owned()
        }
        Actor::ApiTeam => match (&row.app_id, &row.service) {
            (Some(app), Some(service)) => format!("the {} {service}: {app}", Actor::ApiTeam),
            (None, Some(service)) => format!("the {} {service}", Actor::ApiTeam),
            _ => format!("the {}", Actor::ApiTeam),
        },
        actor => format!("the {actor}"),
    })
}

/// The stages that the transaction reached.
pub(super) fn stages(row: &Row) -> Vec<Stage> {
    [received(row), routed(row), authenticated(row), firewall(row), upstream(row), response(row), ended(row)]
        .into_iter()
        .flatten()
        .collect()
}

fn reason(row: &Row) -> String {
    let class = row.error_class.as_deref().unwrap_or("no error class");
    row.error_detail.as_ref().map_or_else(|| class.to_owned(), |detail| format!("{class}: {detail}"))
}

fn received(row: &Row) -> Option<Stage> {
    let mut text = format!("from {}", row.client_ip.as_deref().or(row.peer_ip.as_deref())?);
    push(&mut text, row.client_port, |port| format!(":{port}"));
    if let (Some(source), Some(peer)) =
        (row.client_ip_source.as_deref().filter(|source| *source != "peer"), &row.peer_ip)
    {
        text += &format!(" (told by {source}; the peer is {peer})");
    }
    push(&mut text, row.server_port, |port| format!(" on port {port}"));
    push(&mut text, row.host.as_ref(), |host| format!(" for {host}"));
    push(&mut text, row.http_version.as_ref(), |version| format!(", HTTP/{version}"));
    match &row.tls_version {
        Some(version) => {
            text += &format!(", TLS {version}");
            push(&mut text, row.tls_cipher.as_ref(), |cipher| format!(" with {cipher}"));
            if row.tls_resumed == Some(true) {
                text += ", resumed";
            }
        }
        None => text += ", in cleartext",
    }
    if let Some(sni) = row.tls_sni.as_ref().filter(|sni| row.host.as_ref().is_some_and(|host| !host.starts_with(*sni)))
    {
        text += &format!(", under the TLS name {sni}");
    }
    push(&mut text, row.client_cert_subject.as_ref(), |subject| format!("; client certificate {subject}"));
    push(&mut text, row.client_cert_issuer.as_ref(), |issuer| format!(" of {issuer}"));
    push(&mut text, row.client_cert_not_after.as_ref(), |until| format!(", valid until {until}"));
    push(&mut text, row.mtls_verify.as_ref().filter(|verify| *verify == "failed"), |_| ", refused".to_owned());
    Some(Stage { name: "received", took_us: None, text })
}

fn routed(row: &Row) -> Option<Stage> {
    if row.kind != "transaction" {
        return None;
    }
    let Some(service) = &row.service else {
        return Some(Stage { name: "routed", took_us: None, text: "nowhere: no route matched".to_owned() });
    };
    let mut text = format!("to {service}");
    push(&mut text, row.route.as_ref(), |route| format!(", route {route}"));
    push(&mut text, row.http_route.as_ref(), |template| format!(" ({template})"));
    push(&mut text, row.app_id.as_ref(), |app| format!(", of {app}"));
    push(&mut text, row.config_revision.as_ref(), |revision| format!(", under configuration {revision}"));
    Some(Stage { name: "routed", took_us: None, text })
}

fn authenticated(row: &Row) -> Option<Stage> {
    let result = row.auth_result.as_deref()?;
    let mut text = match result {
        "not_required" => "not asked for".to_owned(),
        "anonymous" => "no credential, and none needed".to_owned(),
        result => format!("by {}: {result}", row.auth_pattern.as_deref().unwrap_or("nothing")),
    };
    push(&mut text, row.auth_fail_reason.as_ref(), |reason| format!(", {reason}"));
    push(&mut text, row.consumer.as_ref(), |consumer| format!(", as {consumer}"));
    push(&mut text, row.credential_id.as_ref(), |credential| format!(" with credential {credential}"));
    let groups = row.auth_groups.as_ref().filter(|groups| !groups.is_empty());
    push(&mut text, groups, |groups| format!(", in {}", groups.join(", ")));
    match row.acl_decision.as_deref() {
        Some("allow") => text += "; allowed",
        Some("deny") => text += "; not allowed",
        _ => {}
    }
    Some(Stage { name: "authenticated", took_us: None, text })
}

fn firewall(row: &Row) -> Option<Stage> {
    let action = row.waf_action.as_deref().filter(|action| *action != "off")?;
    let mut text = action.to_owned();
    push(&mut text, row.waf_score, |score| format!(", score {score}"));
    let rules = row.waf_rule_ids.as_ref().filter(|rules| !rules.is_empty());
    push(&mut text, rules, |rules| {
        let rules: Vec<_> = rules.iter().map(i64::to_string).collect();
        format!(", rules {}", rules.join(", "))
    });
    push(&mut text, row.waf_us, |us| format!(", in {}", duration(us)));
    Some(Stage { name: "firewall", took_us: row.waf_us, text })
}

fn upstream(row: &Row) -> Option<Stage> {
    let attempts = row.upstream_attempts?;
    if attempts == 0 {
        return Some(Stage { name: "upstream", took_us: None, text: "never asked".to_owned() });
    }
    let mut text = row.upstream_addr.clone().unwrap_or_else(|| "no address".to_owned());
    push(&mut text, row.upstream_host.as_ref(), |host| format!(" ({host})"));
    if attempts > 1 {
        text += &format!(", the last of {attempts} attempts");
    }
    text += match row.upstream_reused {
        Some(true) => ", on an open connection",
        Some(false) => ", on a new connection",
        None => ", not connected",
    };
    push(&mut text, row.upstream_dns_us, |us| format!(", name resolved in {}", duration(us)));
    push(&mut text, row.upstream_connect_us, |us| format!(", connected in {}", duration(us)));
    push(&mut text, row.upstream_tls_us, |us| format!(", TLS in {}", duration(us)));
    match row.upstream_ttfb_us {
        Some(us) => text += &format!(", first byte after {}", duration(us)),
        None => text += ", no byte of an answer",
    }
    push(&mut text, row.upstream_status, |status| format!(", status {status}"));
    push(&mut text, row.upstream_receive_us, |us| format!(", received in {}", duration(us)));
    let waits = [
        row.upstream_dns_us,
        row.upstream_connect_us,
        row.upstream_tls_us,
        row.upstream_ttfb_us,
        row.upstream_receive_us,
    ];
    let took_us = waits.iter().flatten().copied().reduce(i64::saturating_add);
    Some(Stage { name: "upstream", took_us, text })
}

fn response(row: &Row) -> Option<Stage> {
    let status = row.status?;
    let mut text = if status == 499 { "499: the client had left".to_owned() } else { status.to_string() };
    push(&mut text, row.response_source.as_ref(), |source| format!(", made by the {source}"));
    push(&mut text, row.response_bytes, |bytes| format!(", {bytes} bytes"));
    push(&mut text, row.request_bytes, |bytes| format!(" (the request had {bytes})"));
    Some(Stage { name: "response", took_us: None, text })
}

fn ended(row: &Row) -> Option<Stage> {
    let mut text = match row.termination.as_deref() {
        Some("complete") => "complete".to_owned(),
        Some(who) => format!("by the {who}"),
        None if row.error_class.is_some() => "early".to_owned(),
        None => return None,
    };
    if row.error_class.is_some() {
        text += &format!(", because {}", reason(row));
    }
    push(&mut text, row.total_us, |us| format!(", after {}", duration(us)));
    push(&mut text, row.gateway_us, |us| format!(", of which the gateway took {}", duration(us)));
    Some(Stage { name: "ended", took_us: row.total_us, text })
}

fn push<T>(text: &mut String, value: Option<T>, words: impl FnOnce(T) -> String) {
    if let Some(value) = value {
        text.push_str(&words(value));
    }
}

/// A length of time, with the unit that reads best.
pub(super) fn duration(us: i64) -> String {
    match us {
        us if us < 1_000 => format!("{us} µs"),
        us if us < 1_000_000 => format!("{:.1} ms", us as f64 / 1_000.0),
        us if us < 120_000_000 => format!("{:.2} s", us as f64 / 1_000_000.0),
        us => format!("{:.1} min", us as f64 / 60_000_000.0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn timed_out() -> Row {
        Row {
            kind: "transaction".to_owned(),
            method: Some("GET".to_owned()),
            path: Some("/members/7".to_owned()),
            service: Some("members".to_owned()),
            app_id: Some("membership".to_owned()),
            client_ip: Some("10.1.2.3".to_owned()),
            status: Some(504),
            error_class: Some("upstream_timeout".to_owned()),
            error_detail: Some("no response within 30 s".to_owned()),
            termination: Some("gateway".to_owned()),
            upstream_attempts: Some(1),
            upstream_addr: Some("10.9.0.1:8080".to_owned()),
            upstream_reused: Some(false),
            upstream_connect_us: Some(1_200),
            total_us: Some(30_001_000),
            gateway_us: Some(310),
            ..Row::default()
        }
    }

    #[test]
    fn a_timeout_names_its_cause_and_who_is_to_act() {
        let row = timed_out();
        assert_eq!(
            summary(&row),
            "GET /members/7 of members: 504 after 30.00 s, because upstream_timeout: no response within 30 s"
        );
        assert_eq!(to_act(&row).as_deref(), Some("the team of the API members: membership"));
        let upstream = stages(&row).into_iter().find(|stage| stage.name == "upstream").expect("upstream");
        assert_eq!(upstream.text, "10.9.0.1:8080, on a new connection, connected in 1.2 ms, no byte of an answer");
    }

    #[test]
    fn each_class_names_who_is_to_act() {
        for (class, wanted) in [
            ("auth", Some("the caller")),
            ("client_abort", Some("the caller, who left; if it waited long, see what the upstream took")),
            ("dns", Some("the gateway team")),
            ("connect_refused", Some("the team of the API members: membership")),
            ("upstream_of_a_newer_gateway", Some("the team of the API members: membership")),
            ("connect_of_a_newer_gateway", Some("the team of the API members: membership")),
            ("a class of a newer gateway", Some("the gateway team")),
        ] {
            let row = Row { error_class: Some(class.to_owned()), ..timed_out() };
            assert_eq!(to_act(&row).as_deref(), wanted, "{class}");
        }
        let row = Row { app_id: None, service: None, ..timed_out() };
        assert_eq!(to_act(&row).as_deref(), Some("the team of the API"));
    }

    #[test]
    fn stages_that_were_not_reached_are_left_out() {
        let row = Row { kind: "transaction".to_owned(), client_ip: Some("10.1.2.3".to_owned()), ..Row::default() };
        let names: Vec<_> = stages(&row).iter().map(|stage| stage.name).collect();
        assert_eq!(names, ["received", "routed"]);
    }

    #[test]
    fn lengths_of_time_read_well() {
        assert_eq!(duration(310), "310 µs");
        assert_eq!(duration(1_234), "1.2 ms");
        assert_eq!(duration(30_001_000), "30.00 s");
        assert_eq!(duration(600_000_000), "10.0 min");
    }
}
