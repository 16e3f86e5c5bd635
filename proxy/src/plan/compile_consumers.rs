//! Compiles the callers that the configuration knows: each name once, each credential once, no secret in plain text.

use std::collections::HashMap;
use std::net::IpAddr;
use std::ops::RangeInclusive;
use std::sync::Arc;

use tollgate_config::{Diagnostics, Spanned};
use tollgate_proxy_auth::api_key::parse_digest;
use tollgate_proxy_auth::password::PasswordHash;
use tollgate_proxy_auth::{Consumer, Consumers, Selector, Taken};
use tollgate_proxy_config::{CertificateName, Consumer as Written, ProxyConfig};

use super::RuntimeConfig;
use crate::identity::{Callers, Passwords, TokenOwners};

/// Bytes of a name that goes upstream and into records.
const NAME_BYTES_MAX: usize = 128;
/// Groups of one consumer, as many as a record can hold.
const GROUPS_MAX: usize = tollgate_record::columns::LIST_ITEMS_MAX;

/// Threads that verify passwords.
const THREADS: RangeInclusive<usize> = 1..=64;
/// Passwords that wait to be verified.
const WAITING: RangeInclusive<usize> = 1..=10_000;

/// Compiles the consumers, and takes over the threads that verify passwords.
pub(super) fn callers(config: &ProxyConfig, before: Option<&RuntimeConfig>, problems: &mut Diagnostics<'_>) -> Callers {
    let limits = &config.limits;
    for (bound, range) in [(&limits.password_checks_max, THREADS), (&limits.password_checks_waiting_max, WAITING)] {
        if !range.contains(&bound.value) {
            let (low, high) = (range.start(), range.end());
            problems.at(bound, format!("must be {low} to {high}; leave it out for the default"));
        }
    }
    let (threads, waiting) = (limits.password_checks_max.value, limits.password_checks_waiting_max.value);
    let kept = before.map(|before| &before.callers.passwords);
    let kept = kept.filter(|kept| (kept.threads_max, kept.waiting_max) == (threads, waiting)).cloned();
    let passwords = kept.unwrap_or_else(|| Arc::new(Passwords::new(threads, waiting)));
    let mut owners = TokenOwners::default();
    let consumers = consumers(config, &mut owners, problems);
    Callers { consumers, owners, passwords }
}

/// Compiles all consumers.
fn consumers(config: &ProxyConfig, owners: &mut TokenOwners, problems: &mut Diagnostics<'_>) -> Consumers {
    let mut compiled = Consumers::default();
    let mut there: HashMap<&str, &Spanned<String>> = HashMap::new();
    for written in &config.consumers {
        check_name(&written.name, "a consumer", problems);
        if let Some(other) = there.insert(&written.name, &written.name) {
            let place = problems.place(other);
            let name = &written.name.value;
            problems.at(&written.name, format!("the consumer `{name}` is there already, on {place}; change one"));
        }
        if written.groups.len() > GROUPS_MAX {
            problems.at(&written.name, format!("a consumer is in {GROUPS_MAX} groups at most; remove some"));
        }
        written.groups.iter().for_each(|group| check_name(group, "a group", problems));
        let groups = written.groups.iter().map(|group| Arc::from(group.as_str())).collect();
        let consumer = compiled.add(&written.name, groups);
        add_keys(&mut compiled, &consumer, written, problems);
        add_logins(&mut compiled, &consumer, written, problems);
        add_tokens(owners, &consumer, written, config, problems);
        for certificate in &written.certificates {
            match selector(certificate) {
                Ok(selector) => {
                    let added = compiled.add_certificate(&consumer, selector);
                    free(certificate, added, problems);
                }
                Err(problem) => problems.at(certificate, problem),
            }
        }
    }
    compiled
}

fn add_keys(compiled: &mut Consumers, consumer: &Arc<Consumer>, written: &Written, problems: &mut Diagnostics<'_>) {
    let mut ids: Vec<&str> = Vec::new();
    for key in &written.api_keys {
        check_name(&key.id, "a credential", problems);
        if ids.contains(&key.id.as_str()) {
            problems.at(&key.id, "the consumer has a key of this id already; change one");
        }
        ids.push(&key.id);
        let expires = expires(key.expires.as_ref(), problems);
        let Some(sha256) = parse_digest(&key.sha256) else {
            let problem = "this is no SHA-256 in 64 hexadecimal digits; write what `tollgate-proxy hash key` prints, \
                           never the key itself";
            problems.at(&key.sha256, problem);
            continue;
        };
        let added = compiled.add_key(consumer, &key.id, sha256, expires);
        free(&key.sha256, added, problems);
    }
}

fn add_logins(compiled: &mut Consumers, consumer: &Arc<Consumer>, written: &Written, problems: &mut Diagnostics<'_>) {
    for login in &written.basic {
        check_name(&login.user, "a user", problems);
        if login.user.contains(':') {
            problems.at(&login.user, "a user's name has no colon (RFC 7617); change it");
        }
        let expires = expires(login.expires.as_ref(), problems);
        match PasswordHash::parse(&login.argon2) {
            Ok(hash) => {
                let added = compiled.add_login(consumer, &login.user, hash, expires);
                free(&login.user, added, problems);
            }
            Err(fault) => problems.at(&login.argon2, fault.to_string()),
        }
    }
}

fn add_tokens(
    owners: &mut TokenOwners,
    consumer: &Arc<Consumer>,
    written: &Written,
    config: &ProxyConfig,
    problems: &mut Diagnostics<'_>,
) {
    for token in &written.tokens {
        if !config.identity.providers.iter().any(|provider| *provider.name == *token.provider) {
            let problem =
                format!("there is no provider `{}`; write it under `identity.providers`", token.provider.value);
            problems.at(&token.provider, problem);
        }
        let (at, added) = match (&token.subject, &token.client) {
            (Some(subject), None) => (subject, owners.add_subject(&token.provider, subject, consumer)),
            (None, Some(client)) => (client, owners.add_client(&token.provider, client, consumer)),
            _ => {
                problems.at(&token.provider, "write either `subject` or `client`; several are several items");
                continue;
            }
        };
        if let Err(other) = added {
            problems.at(at, format!("these tokens are the consumer {other}'s already; remove one"));
        }
    }
}

/// Reports a credential that is there twice: it must not say two names.
fn free<V>(at: &Spanned<V>, added: Result<(), Taken>, problems: &mut Diagnostics<'_>) {
    if let Err(taken) = added {
        problems.at(at, format!("the credential is there twice: {taken}; remove one"));
    }
}

/// Checks a name that goes into header fields and records.
fn check_name(name: &Spanned<String>, what: &str, problems: &mut Diagnostics<'_>) {
    let wrong = name.is_empty() || name.len() > NAME_BYTES_MAX || name.trim() != name.value;
    if wrong || name.chars().any(|c| c.is_control() || c == ',') {
        let problem = format!("the name of {what} has 1 to {NAME_BYTES_MAX} bytes, no comma, no control character");
        problems.at(name, format!("{problem}, and no blank at its ends; change it"));
    }
}

fn expires(written: Option<&Spanned<String>>, problems: &mut Diagnostics<'_>) -> Option<i64> {
    let written = written?;
    match chrono::DateTime::parse_from_rfc3339(written) {
        Ok(time) => Some(time.timestamp_micros()),
        Err(_) => {
            problems.at(written, "this is no time of RFC 3339; write for example 2027-01-31T00:00:00Z");
            None
        }
    }
}

fn selector(name: &CertificateName) -> Result<Selector, &'static str> {
    let CertificateName { san_dns, san_uri, san_email, san_ip, cn, sha256 } = name;
    let written = [san_dns, san_uri, san_email, san_ip, cn, sha256].map(Option::is_some);
    if written.iter().filter(|is| **is).count() != 1 {
        return Err(
            "write exactly one of san_dns, san_uri, san_email, san_ip, cn and sha256; several are several items",
        );
    }
    let text = [san_dns, san_uri, san_email, san_ip, cn, sha256].into_iter().flatten().next();
    let text = text.map(String::as_str).unwrap_or_default();
    if text.is_empty() {
        return Err("the value is empty; write what the certificate has");
    }
    if san_dns.is_some() {
        return Ok(Selector::dns(text));
    }
    if san_email.is_some() {
        return Ok(Selector::email(text));
    }
    if san_ip.is_some() {
        let ip = text.parse::<IpAddr>().map_err(|_| "this is no IP address; write one, as 192.0.2.7")?;
        return Ok(Selector::Ip(ip));
    }
    if sha256.is_some() {
        let problem =
            "this is no SHA-256 in 64 hexadecimal digits; write what `openssl x509 -outform der | sha256sum` prints";
        return parse_digest(text).map(Selector::Sha256).ok_or(problem);
    }
    Ok(if san_uri.is_some() { Selector::Uri(text.to_owned()) } else { Selector::CommonName(text.to_owned()) })
}
