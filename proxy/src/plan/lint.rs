//! Warnings of `check`: what a configuration may say, but is hardly meant.

use std::collections::HashSet;
use std::path::Path;
use std::time::Duration;

use tollgate_clock::now_us;
use tollgate_config::{ConfigError, Diagnostic, Diagnostics, Loaded, Spanned};
use tollgate_proxy_config::{ClientAuth, KeyPair, ProxyConfig};
use tollgate_tls::Identity;

use super::{RuntimeConfig, lint_auth};

/// Time before its end in which a certificate is worth a warning.
const EXPIRY: Duration = Duration::from_secs(30 * 24 * 3_600);

/// Returns the warnings, in the order of the files.
#[must_use]
pub fn warnings(compiled: &RuntimeConfig, loaded: &Loaded<ProxyConfig>) -> Vec<Diagnostic> {
    let found = loaded.remarks(|config, problems| {
        unused_services(config, problems);
        for route in compiled.router.shadowed() {
            let problem =
                "no request reaches the route, as more specific ones take all of its; remove it, or change them";
            problems.at(&config.routes[route].name, problem);
        }
        certificates(config, problems);
        wider_hosts(config, problems);
        lint_auth::callers(config, problems);
    });
    // `many` sorts as it does for errors.
    ConfigError::many(found).diagnostics().to_vec()
}

fn unused_services(config: &ProxyConfig, problems: &mut Diagnostics<'_>) {
    let used: HashSet<&str> = config.routes.iter().map(|route| route.service.as_str()).collect();
    for service in config.services.iter().filter(|service| !used.contains(service.name.as_str())) {
        problems.at(&service.name, "no route leads to the service; write one, or remove the service");
    }
}

/// Warns of routes that serve hosts whose clients are not asked for a certificate although `tls.names` has the same
/// `*.name`: there `*` is one label, as in certificates, and in a route one or more.
fn wider_hosts(config: &ProxyConfig, problems: &mut Diagnostics<'_>) {
    let asking = config.listeners.iter().filter_map(|listener| listener.tls.as_ref()).flat_map(|tls| &tls.names);
    let asking = asking.filter(|entry| entry.client_auth != ClientAuth::None).flat_map(|entry| &entry.names);
    let asked: HashSet<String> =
        asking.filter(|name| name.starts_with("*.")).map(|name| name.to_ascii_lowercase()).collect();
    for route in config.routes.iter().filter(|route| !route.require_client_cert) {
        for host in route.hosts.iter().filter(|host| asked.contains(&host.to_ascii_lowercase())) {
            let text = format!(
                "`{}` is one label in tls.names and one or more here: the route serves a.b{} to clients that were not \
                 asked for a certificate; add `require_client_cert: true`",
                host.value,
                &host.value[1..]
            );
            problems.at(host, text);
        }
    }
}

fn certificates(config: &ProxyConfig, problems: &mut Diagnostics<'_>) {
    let mut seen: HashSet<&Path> = HashSet::new();
    let listeners =
        config.listeners.iter().filter_map(|listener| listener.tls.as_ref()).flat_map(|tls| &tls.certificates);
    let clients = config.services.iter().filter_map(|service| service.tls.client.as_ref());
    for KeyPair { certificate, key } in listeners.chain(clients) {
        if seen.insert(&certificate.value) {
            expiry(certificate, key, problems);
        }
    }
    if let Some(tls) = &config.records.tls {
        expiry(&tls.certificate, &tls.key, problems);
    }
}

fn expiry<P: AsRef<Path>>(certificate: &Spanned<P>, key: &Spanned<P>, problems: &mut Diagnostics<'_>) {
    // A certificate that cannot be read is an error already.
    let Ok(identity) = Identity::load(certificate.value.as_ref(), key.value.as_ref()) else { return };
    if let Some(warning) = identity.validity_warning() {
        return problems.at(certificate, warning.to_string());
    }
    let left_us = identity.certificate().not_after_us - now_us();
    if left_us < EXPIRY.as_micros() as i64 {
        let days = left_us / (24 * 3_600 * 1_000_000);
        problems.at(certificate, format!("the certificate expires in {days} days; renew it"));
    }
}
