//! The keys of authentication: read, refused and printed.

use std::path::Path;

use tollgate_config::to_yaml;

use tollgate_proxy_config::{Auth, AuthMethod, ProxyConfig, parse};

const BEGIN: &str = "\
node_id: gate-1
listeners: [{name: plain, address: \"127.0.0.1:8080\"}]
services: [{name: api, targets: [\"http://127.0.0.1:9000\"]}]
records: {spool: {dir: spool}}
";

fn with(more: &str) -> Result<ProxyConfig, String> {
    let loaded = parse(Path::new("gate.yaml"), format!("{BEGIN}{more}\n"));
    loaded.map(|loaded| loaded.value).map_err(|error| error.to_string())
}

fn route(auth: &str) -> Result<ProxyConfig, String> {
    with(&format!("routes: [{{name: all, service: api, auth: {auth}}}]"))
}

#[test]
fn every_method_is_read_and_printed_the_same_again() {
    let all = "{any_of: [mtls, {jwt: corp}, {oauth2: {provider: corp, forward: true}}, api_key, {api_key: {header: \
               x-key, query: key, forward: true}}, {api_key: {query: key}}, basic, {basic: {forward: true}}, hmac, \
               {oidc_session: portal}], optional: true}";
    for auth in [all, "none", "{all_of: [mtls, {jwt: corp}]}"] {
        let config = route(auth).unwrap();
        let again = with(&to_yaml(&config).unwrap().split_once("routes:").map_or_else(String::new, |(_, routes)| {
            format!("routes:{}", routes.split("\nidentity:").next().unwrap_or_default())
        }));
        let auth_of = |config: &ProxyConfig| config.routes[0].auth.as_ref().unwrap().value.clone();
        assert_eq!(auth_of(&config), auth_of(&again.unwrap()), "{auth}");
    }
    let config = route(all).unwrap();
    let Auth::Methods { all, methods, optional } = &config.routes[0].auth.as_ref().unwrap().value else { panic!() };
    assert_eq!((*all, *optional, methods.len()), (false, true, 10));
    assert!(methods.iter().all(|method| method.line == 5), "each knows its place");
    let AuthMethod::ApiKey(place) = &methods[3].value else { panic!() };
    assert_eq!(place.header.as_ref().unwrap().value, "x-api-key");
    let AuthMethod::ApiKey(place) = &methods[5].value else { panic!() };
    assert!(place.header.is_none(), "only the place that is named");
}

#[test]
fn what_is_not_understood_is_an_error_with_place_and_cure() {
    for (auth, told) in [
        ("off", "write `none`, or a map with `any_of` or `all_of`"),
        ("{}", "write either `any_of` or `all_of`"),
        ("{any_of: [mtls], all_of: [mtls]}", "write either `any_of` or `all_of`"),
        ("{any_of: [jwt]}", "`jwt` needs a name of `identity`"),
        ("{any_of: [mlts]}", "did you mean `mtls`?"),
        ("{any_of: [{api_keys: {}}]}", "did you mean `api_key`?"),
        ("{any_of: [{jwt: a, basic: {}}]}", "write one method an item"),
        ("{any_of: [{api_key: {headers: a}}]}", "did you mean `header`?"),
        ("{any_of: [{mtls: {a: b}}]}", "there is no such key here"),
    ] {
        let error = route(auth).unwrap_err();
        assert!(error.starts_with("gate.yaml:5:") && error.contains(told), "{auth}: {error}");
    }
}

#[test]
fn who_vouches_and_who_calls_are_read_with_their_defaults() {
    let config = with(
        "\
routes: []
identity:
  providers:
    - {name: corp, issuer: \"https://idp\", audiences: [members], groups_claim: realm.roles,
       introspection: {url: \"https://idp/i\", client_id: gate, client_secret_file: s}}
    - {name: other, issuer: \"https://other\", audiences: any, jwks: {file: keys.json}, algorithms: [ES256]}
  assertions: [{name: portal, from: [10.0.0.0/8], header: x-jwt, provider: corp}]
consumers:
  - name: acme
    groups: [partners]
    api_keys: [{id: k1, sha256: \"00\", expires: \"2027-01-31T00:00:00Z\"}]
    basic: [{user: acme, argon2: $argon2id$v=19}]
    certificates: [{san_dns: a.acme.com}, {sha256: \"00\"}]
    hmac: [{key_id: h1, secret_file: h1.key}]
    tokens: [{provider: corp, subject: svc}, {provider: corp, client: app}]",
    )
    .unwrap();
    let provider = &config.identity.providers[0];
    assert_eq!(provider.skew.0.as_secs(), 30);
    assert_eq!(provider.introspection.as_ref().unwrap().active_ttl.0.as_secs(), 30);
    assert_eq!(config.consumers[0].tokens.len(), 2);
    let printed = to_yaml(&config).unwrap();
    let again = parse(Path::new("gate.yaml"), printed.clone()).unwrap_or_else(|error| panic!("{error}\n{printed}"));
    assert_eq!(printed, to_yaml(&again.value).unwrap());
}

#[test]
fn a_secret_at_the_wrong_place_is_not_repeated_in_the_error() {
    for consumer in [
        "api_keys: [hunter2]",
        "api_keys: hunter2",
        "api_keys: [{id: k1, key: hunter2}]",
        "api_keys: [{id: k1, sha256: [hunter2]}]",
        "api_keys: [{id: k1, sha256: {hunter2: 1}}]",
        "basic: [hunter2]",
        "basic: [{user: a, password: hunter2}]",
        "hmac: [{key_id: h1, secret: hunter2}]",
        "hmac: [hunter2]",
        "certificates: [hunter2]",
    ] {
        let error = with(&format!("routes: []\nconsumers: [{{name: acme, {consumer}}}]")).unwrap_err();
        assert!(error.starts_with("gate.yaml:6:") && !error.contains("hunter2"), "{consumer}: {error}");
    }
}
