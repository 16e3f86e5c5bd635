//! Warnings of `check` about callers: routes that nobody can pass, routes that are open by omission, consumers without a
//! use.

use std::collections::{HashMap, HashSet};

use tollgate_config::Diagnostics;
use tollgate_proxy_auth::api_key::{digest, parse_digest};
use tollgate_proxy_config::{AccessNames, Auth, AuthMethod, Consumer, ProxyConfig, Route, Service};

/// Keys that are tried first by whoever guesses.
const GUESSED: [&str; 20] = [
    "",
    "secret",
    "password",
    "changeme",
    "change-me",
    "test",
    "test-key",
    "demo",
    "example",
    "admin",
    "apikey",
    "api-key",
    "api_key",
    "key",
    "token",
    "default",
    "12345",
    "123456",
    "12345678",
    "1234567890",
];

/// Notes what is hardly meant.
pub(super) fn callers(config: &ProxyConfig, problems: &mut Diagnostics<'_>) {
    for consumer in &config.consumers {
        if consumer.groups.is_empty() {
            problems
                .at(&consumer.name, "the consumer is in no group, so that no list of groups lets it in; add `groups`");
        }
        if !has_credential(consumer) {
            problems
                .at(&consumer.name, "the consumer has no credential, so that nobody can be it; add one, or remove it");
        }
        for key in &consumer.api_keys {
            let stored = parse_digest(&key.sha256);
            if GUESSED.iter().any(|guess| stored == Some(digest(guess.as_bytes()))) {
                problems.at(&key.sha256, "anybody guesses this API key; make one with `openssl rand -hex 32`");
            }
        }
    }
    let asks = |auth: Option<&Auth>| auth.is_some_and(|auth| !auth.methods().is_empty());
    let routes = config.routes.iter().any(|route| asks(route.auth.as_deref()));
    let services = config.services.iter().any(|service| asks(service.auth.as_deref()));
    let knows_callers = routes || services || !config.consumers.is_empty() || !config.identity.providers.is_empty();
    let groups = Groups::of(config);
    let by_name: HashMap<&str, &Service> =
        config.services.iter().map(|service| (service.name.as_str(), service)).collect();
    for route in &config.routes {
        let Some(service) = by_name.get(route.service.as_str()) else { continue };
        let auth = route.auth.as_ref().or(service.auth.as_ref());
        match auth {
            None if knows_callers && !route.require_client_cert => {
                let problem = "the route asks nothing of its callers and does not say so; write `auth` with the methods, \
                               or `auth: none`";
                problems.at(&route.name, problem);
            }
            Some(auth) if asks(Some(auth)) => nobody(route, service, auth, config, &groups, problems),
            _ => {}
        }
    }
}

fn has_credential(consumer: &Consumer) -> bool {
    let Consumer { api_keys, basic, certificates, hmac, tokens, .. } = consumer;
    !(api_keys.is_empty() && basic.is_empty() && certificates.is_empty() && hmac.is_empty() && tokens.is_empty())
}

/// The groups that a caller can be in.
struct Groups<'a> {
    of_consumers: HashSet<&'a str>,
    /// A token may name any group.
    any: bool,
}

impl<'a> Groups<'a> {
    fn of(config: &'a ProxyConfig) -> Self {
        let of_consumers = config.consumers.iter().flat_map(|consumer| &consumer.groups).map(|group| group.as_str());
        let tokens = config.identity.providers.iter().any(|provider| provider.groups_claim.is_some());
        let plain = config.identity.assertions.iter().any(|assertion| assertion.groups_header.is_some());
        Self { of_consumers: of_consumers.collect(), any: tokens || plain }
    }
}

/// Notes a route that no caller can pass.
fn nobody(
    route: &Route,
    service: &Service,
    auth: &Auth,
    config: &ProxyConfig,
    groups: &Groups<'_>,
    problems: &mut Diagnostics<'_>,
) {
    let Auth::Methods { all, methods, optional } = auth else { return };
    let possible = |method: &AuthMethod| match method {
        AuthMethod::Mtls => config.consumers.iter().any(|consumer| !consumer.certificates.is_empty()),
        AuthMethod::ApiKey(_) => config.consumers.iter().any(|consumer| !consumer.api_keys.is_empty()),
        AuthMethod::Basic(_) => config.consumers.iter().any(|consumer| !consumer.basic.is_empty()),
        AuthMethod::Hmac(_) => config.consumers.iter().any(|consumer| !consumer.hmac.is_empty()),
        AuthMethod::Jwt(_) | AuthMethod::Oauth2(_) | AuthMethod::OidcSession(_) => true,
    };
    let mut each = methods.iter().map(|method| possible(method));
    let some = if *all { each.all(|is| is) } else { each.any(|is| is) };
    if !some && !optional {
        let problem = "nobody can pass the route: no consumer has the credentials that it asks for; add them, or another \
                       method";
        problems.at(&route.name, problem);
    }
    let Some(allow) = route.allow.as_ref().or(service.allow.as_ref()) else { return };
    let AccessNames { groups: wanted, consumers, issuers } = &allow.value;
    let reached = groups.any || wanted.iter().any(|group| groups.of_consumers.contains(group.as_str()));
    if !reached && consumers.is_empty() && issuers.is_empty() {
        let problem = "nobody can pass the route: no consumer is in a group of `allow`, and no token names groups; add the \
                       group to a consumer, or `groups_claim` to a provider";
        problems.at(&route.name, problem);
    }
    if *optional {
        let problem = "the route lets anonymous callers in, and `allow` has none of them: they are answered 401; remove \
                       `optional` or `allow`";
        problems.at(&route.name, problem);
    }
}
