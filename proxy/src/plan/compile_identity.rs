//! Compiles issuers of tokens.

use std::collections::HashSet;
use std::path::Path;
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use tollgate_config::{ConfigDuration, Diagnostics, Spanned};
use tollgate_proxy_config::{
    Audiences, Introspection, KeySource as WrittenSource, Provider as WrittenProvider, ProxyConfig,
};
use tollgate_proxy_token::{Algorithm, ClaimRules, KEY_SET_BYTES_MAX, KeySet, TokenRules, algorithm, algorithm_names};
use tollgate_tls::Roots;

use super::RuntimeConfig;
use super::compile::noted;
use crate::providers::{IntrospectionSettings, KeySource, Provider, ProviderSettings};

/// Issuers of tokens. Each has a thread's attention and memory of its own.
const PROVIDERS_MAX: usize = 64;
/// Largest difference of clocks that is tolerated.
const SKEW_S_MAX: u64 = 300;
/// Longest time for which a token is taken as active without asking again: a revoked one works for as long.
const ACTIVE_TTL_S_MAX: u64 = 30;
/// Longest time for which a token is taken as refused without asking again.
const INACTIVE_TTL_S_MAX: u64 = 60;

/// Compiles the issuers. One whose settings are those of `before` is taken from there, with its keys and tokens.
pub(super) fn providers(
    config: &ProxyConfig,
    before: Option<&RuntimeConfig>,
    problems: &mut Diagnostics<'_>,
) -> Vec<Arc<Provider>> {
    let listed = &config.identity.providers;
    if let Some(one_too_many) = listed.get(PROVIDERS_MAX) {
        problems.at(&one_too_many.name, format!("there are more than {PROVIDERS_MAX} providers"));
    }
    let (mut names, mut issuers) = (HashSet::new(), HashSet::new());
    let mut compiled = Vec::new();
    for written in listed {
        if !names.insert(written.name.as_str()) {
            problems.at(&written.name, "there is a provider of this name already; rename one");
        }
        if !issuers.insert(written.issuer.as_str()) {
            problems.at(&written.issuer, "there is a provider with this issuer already; use that one");
        }
        let Some(settings) = settings(written, problems) else { continue };
        let earlier = before.into_iter().flat_map(|before| &before.providers);
        let earlier = earlier.clone().find(|earlier| earlier.settings == settings);
        compiled.push(earlier.cloned().unwrap_or_else(|| Arc::new(Provider::new(settings))));
    }
    compiled
}

fn settings(written: &WrittenProvider, problems: &mut Diagnostics<'_>) -> Option<ProviderSettings> {
    let source = source(written, problems);
    let algorithms = algorithms(written, problems);
    let skew_s = written.skew.0.as_secs();
    if skew_s > SKEW_S_MAX {
        problems.at(&written.name, format!("`skew` is at most {SKEW_S_MAX}s; set the clocks right"));
    }
    let audiences = match &written.audiences.value {
        Audiences::Any => None,
        Audiences::Of(names) if names.is_empty() => {
            problems.at(&written.audiences, "no token is for nobody; name an audience, or write `any` to check none");
            None
        }
        Audiences::Of(names) => Some(names.clone()),
    };
    let introspection = match &written.introspection {
        Some(introspection) => Some(self::introspection(introspection, problems)?),
        None => None,
    };
    let roots = match &written.tls.ca {
        Some(file) => noted(file, Roots::load(file), problems)?,
        None if is_plain(written) => Roots::none(),
        None => noted(&written.issuer, Roots::system(), problems)?,
    };
    let text = |text: &Option<Spanned<String>>| text.as_ref().map(|text| text.value.clone());
    let claims = ClaimRules {
        issuer: written.issuer.value.clone(),
        audiences,
        skew_s,
        groups_claim: text(&written.groups_claim),
        consumer_claim: text(&written.consumer_claim),
    };
    let rules = TokenRules { algorithms, claims };
    Some(ProviderSettings { name: written.name.value.clone(), rules, source: source?, introspection, roots })
}

/// Whether nothing of the provider is asked over TLS.
fn is_plain(written: &WrittenProvider) -> bool {
    let keys = match &written.jwks.value {
        WrittenSource::Discover => Some(written.issuer.as_str()),
        WrittenSource::Url(url) => Some(url.as_str()),
        WrittenSource::File(_) => None,
    };
    let asked = written.introspection.as_ref().map(|introspection| introspection.url.as_str());
    !keys.into_iter().chain(asked).any(|url| url.starts_with("https:"))
}

fn source(written: &WrittenProvider, problems: &mut Diagnostics<'_>) -> Option<KeySource> {
    match &written.jwks.value {
        WrittenSource::Discover => {
            noted(&written.issuer, address(&written.issuer), problems)?;
            Some(KeySource::Discover)
        }
        WrittenSource::Url(url) => {
            noted(&written.jwks, address(url), problems)?;
            Some(KeySource::Url(url.clone()))
        }
        WrittenSource::File(file) => {
            let bytes = noted(&written.jwks, read(file), problems)?;
            let keys = KeySet::parse(&bytes).map_err(|error| format!("{}: {error}", file.display()));
            noted(&written.jwks, keys, problems)?;
            Some(KeySource::File(file.to_path_buf(), bytes))
        }
    }
}

fn algorithms(written: &WrittenProvider, problems: &mut Diagnostics<'_>) -> Vec<Algorithm> {
    let mut accepted = Vec::new();
    for name in &written.algorithms {
        match algorithm(name) {
            Some(algorithm) => accepted.push(algorithm),
            None => {
                let known: Vec<&str> = algorithm_names().collect();
                let why = "symmetric ones would take a public key for a secret";
                problems.at(name, format!("`{}` is not one of {}; {why}", name.value, known.join(", ")));
            }
        }
    }
    if written.algorithms.is_empty() {
        problems.at(&written.name, "no algorithm is accepted; write for example `algorithms: [RS256]`");
    }
    accepted
}

fn introspection(written: &Introspection, problems: &mut Diagnostics<'_>) -> Option<IntrospectionSettings> {
    noted(&written.url, address(&written.url), problems)?;
    let secret = noted(&written.client_secret_file, read(&written.client_secret_file), problems)?;
    let secret = String::from_utf8(secret.trim_ascii().to_vec());
    let secret = noted(&written.client_secret_file, secret.map_err(|_| "the secret is not UTF-8"), problems)?;
    if secret.is_empty() {
        problems.at(&written.client_secret_file, "the file is empty; write the client's secret to it");
    }
    let mut ttl = |ttl: &Spanned<ConfigDuration>, most_s: u64, why: &str| {
        if ttl.0.as_secs() > most_s {
            problems.at(ttl, format!("this is at most {most_s}s; {why}"));
        }
        ttl.0
    };
    let active = ttl(&written.active_ttl, ACTIVE_TTL_S_MAX, "a revoked token works for as long");
    let inactive = ttl(&written.inactive_ttl, INACTIVE_TTL_S_MAX, "a new token may be refused for as long");
    // RFC 6749 section 2.3.1: both are form-encoded before they are joined.
    let form = |text: &str| utf8_percent_encode(text, NON_ALPHANUMERIC).to_string();
    let pair = format!("{}:{}", form(&written.client_id), form(&secret));
    let authorization = format!("Basic {}", STANDARD.encode(pair));
    Some(IntrospectionSettings { url: written.url.value.clone(), authorization, active, inactive })
}

/// Checks the address of something at an issuer.
fn address(text: &str) -> Result<(), String> {
    let uri: Option<http::Uri> = text.parse().ok();
    let good = uri.is_some_and(|uri| {
        matches!(uri.scheme_str(), Some("http" | "https"))
            && uri.authority().is_some_and(|authority| !authority.as_str().contains('@'))
            && uri.host().is_some_and(|host| !host.is_empty())
    });
    match good {
        true => Ok(()),
        false => Err(format!("`{text}` is not an address; write `https://host/path`")),
    }
}

fn read(file: &Path) -> Result<Vec<u8>, String> {
    let bytes = std::fs::read(file).map_err(|error| format!("{}: {error}", file.display()))?;
    match bytes.len() > KEY_SET_BYTES_MAX {
        true => Err(format!("{} has more than {KEY_SET_BYTES_MAX} bytes", file.display())),
        false => Ok(bytes),
    }
}
