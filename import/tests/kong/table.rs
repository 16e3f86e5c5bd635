//! What becomes of the shapes that files have, piece by piece.

use tollgate_import::{Options, kong};

use crate::first::{all, checked, imported};

/// A file of one service with one route, and more keys of each.
fn one(service: &str, route: &str, more: &str) -> String {
    format!(
        "_format_version: '3.0'\nservices:\n- name: s\n  url: http://127.0.0.1:9000\n{service}\n  routes:\n  - name: r\n    \
         paths: [/a]\n{route}\n{more}\n"
    )
}

#[test]
fn shapes_become_what_the_proxy_accepts() {
    let table = [
        // What, and what is in the files or the report.
        (one("", "", ""), "strip_prefix: true"),
        (one("", "    strip_path: false", ""), "- /a"),
        (one("  path: /base", "    strip_path: false", ""), "rewrite: /base/a"),
        (one("  path: /base/", "", ""), "rewrite: /base"),
        (one("", "    headers: {x-a: ['1', '2']}", ""), "name: r.2"),
        (one("", "    hosts: ['*.example.com', 'a.com:8080']", ""), "hosts are compared without ports"),
        (one("", "    protocols: [https]\n    https_redirect_status_code: 301", ""), "https_only: 301"),
        (one("", "    expression: 'http.path == \"/\"'", ""), "it is left out, as it would serve more requests"),
        (one("", "    snis: [a.com]", ""), "it is left out, as it would serve more requests"),
        (one("", "    protocols: [tcp]", ""), "its protocols are not HTTP"),
        (one("", "  - {name: r2, paths: [/a]}", ""), "route `r` claims the same requests"),
        (one("  read_timeout: 150000", "", ""), "first_byte: 150000ms"),
        (one("  enabled: false", "", ""), "it is switched off"),
        (one("  plugins: [{name: cors}]", "", ""), "cors:"),
        (one("  plugins: [{name: cors, config: {credentials: true}}]", "", ""), "any origin with `credentials`"),
        (one("  plugins: [{name: cors, config: {origins: ['^https://.*\\.a\\.com$']}}]", "", ""), "https://*.a.com"),
        (one("  plugins: [{name: ip-restriction, config: {allow: [10.0.0.0/8]}}]", "", ""), "addresses:"),
        (one("  plugins: [{name: ip-restriction, config: {allow: [nowhere]}}]", "", ""), "status: 503"),
        (one("  plugins: [{name: request-size-limiting, config: {allowed_payload_size: 8}}]", "", ""), "8 MiB"),
        (one("  plugins: [{name: request-termination, config: {status_code: 403, message: no}}]", "", ""), "status: 403"),
        (one("  plugins: [{name: request-termination, config: {trigger: x}}]", "", ""), "status: 503"),
        (one("  plugins: [{name: correlation-id, config: {header_name: X-Id, echo_downstream: true}}]", "", ""), "echo: true"),
        (one("  plugins: [{name: rate-limiting, config: {second: 5, hour: 360}}]", "", ""), "client_requests_per_second_max: 0.1"),
        (one("", "    plugins: [{name: rate-limiting, config: {minute: 6, limit_by: service}}]", ""), "request_burst_max: 6"),
        (one("", "    plugins: [{name: request-transformer, config: {add: {headers: ['x-a:1']}, replace: {headers: ['x-a:1']}}}]", ""), "x-a:"),
        (one("", "    plugins: [{name: request-transformer, config: {add: {headers: ['x-a:$(headers.b)']}}}]", ""), "a value by Lua cannot be computed"),
        (one("", "    plugins: [{name: request-transformer, config: {replace: {uri: /x}}}]", ""), "write `rewrite` of the route"),
        (one("", "    plugins: [{name: http-log}]", ""), "left out: each transaction leaves a record"),
        (one("", "    plugins: [{name: pre-function, config: {access: ['return kong.response.exit(403)']}}]", ""), "closed by `tollgate import`"),
        (one("", "    plugins: [{name: post-function, config: {access: ['local a = 1']}}]", ""), "its routes are served without it"),
        (one("", "    plugins: [{name: ldap-auth}]", ""), "closed by `tollgate import`"),
        (one("", "    plugins: [{name: my-own}]", ""), "closed by `tollgate import`"),
        (one("", "    plugins: [{name: key-auth}]", ""), "write `auth: {any_of: [{api_key: …}]}` and `consumers` by hand"),
        (one("", "    plugins: [{name: key-auth}]", ""), "closed by `tollgate import`"),
        (one("", "    plugins: [{name: my-own, enabled: false}]", ""), "it is switched off, and left out"),
        (one("", "", "plugins: [{name: cors}, {name: my-own, route: r}]"), "closed by `tollgate import`"),
        (one("", "", "vaults: [{name: env, prefix: x}]"), "secrets are files here"),
        (one("  tls_verify: true", "", ""), "service `s`"),
        (one("  x-y: &a {b: 1}", "", "").replace("  x-y", "  _comment"), "service `s`"),
        (one("  host: h\n  protocol: https", "", "").replace("  url: http://127.0.0.1:9000\n", ""), "https://h:443"),
        (one("  host: up", "", "upstreams:\n- name: up\n  algorithm: least-connections\n  targets: [{target: 'a', weight: 0}, {target: 'b:1'}, {target: 'c:1', weight: 50}]").replace("  url: http://127.0.0.1:9000\n", ""), "balance: least_requests"),
        (one("  host: up", "", "upstreams:\n- name: up\n  targets: [{target: 'b:1'}]\n  healthchecks: {active: {http_path: /up, healthy: {interval: 5, successes: 1}, unhealthy: {http_failures: 2}}}").replace("  url: http://127.0.0.1:9000\n", ""), "path: /up"),
        (one("", "", "").replace("paths: [/a]", "paths: ['~/a/(?<id>\\d+)$']"), "/a/{id}"),
        (one("", "", "").replace("paths: [/a]", "paths: ['~/a|/b']"), "none of its paths can be written"),
        (one("", "", "consumers: [{username: u, keyauth_credentials: [{key: SECRET-1}]}]"), "consumer `u`"),
    ];
    for (text, said) in table {
        let imported = imported(&text);
        let all = all(&imported);
        assert!(all.contains(said), "{said} is not in {all}\nof {text}");
        assert!(!all.contains("SECRET"), "{all}");
        // An import without a route is no configuration.
        if all.contains("\nroutes:") {
            checked(&imported, tempfile::tempdir().unwrap().path());
        }
    }
}

#[test]
fn what_cannot_be_understood_names_file_line_and_key() {
    let table = [
        ("a: 1\n", "kong.yml:1:1: this is no declarative configuration"),
        ("server {\n  listen 80;\n}\n", "kong.yml:"),
        ("_format_version: '4.0'\n", "key `_format_version`: the format is none of"),
        (
            "_format_version: '3.0'\nservces: []\n",
            "kong.yml:2:10: key `servces`: the file has no such key; did you mean `services`?",
        ),
        ("_format_version: '3.0'\nservices:\n- name: a\n  urll: x\n", "key `services[0].urll`"),
        ("_format_version: '3.0'\nservices:\n- name: a\n", "a service has a `url` or a `host`"),
        ("_format_version: '3.0'\nservices:\n- {name: a, url: nothing}\n", "this is no URL with a host"),
        ("_format_version: '3.0'\nroutes:\n- {name: a, service: b}\n", "there is no service `b`"),
        ("_format_version: '3.0'\nplugins:\n- {name: a, route: b}\n", "there is no route `b`"),
        ("_format_version: '3.0'\nplugins:\n- {config: {}}\n", "a plugin has a `name`"),
        ("_format_version: '3.0'\nconsumers:\n- {id: x}\n", "`username` or a `custom_id`"),
        ("_format_version: '3.0'\nservices: {}\n", "write a list"),
        ("_format_version: '3.0'\nservices:\n- {name: a, host: b, port: [1]}\n", "key `services[0].port`"),
    ];
    for (text, said) in table {
        let options = Options { file: "kong.yml".into(), ..Options::default() };
        let error = kong::import(text, &options).map(|imported| all(&imported)).unwrap_err().to_string();
        assert!(error.contains(said) && error.starts_with("kong.yml:"), "{said} is not in {error}");
    }
}

#[test]
fn values_of_the_environment_are_put_in_and_named_where_they_are_not_set() {
    let text = one("", "    hosts: ['${{ env \"DECK_HOST\" }}', $OTHER]", "");
    let environment = [("DECK_HOST".to_owned(), "a.example.com".to_owned())].into();
    let options = Options { file: "kong.yml".into(), environment, ..Options::default() };
    let all = all(&kong::import(&text, &options).unwrap());
    assert!(all.contains("- a.example.com") && all.contains("comes from `$OTHER`, which is not set"), "{all}");
}

#[test]
fn five_hundred_routes_pass_the_check() {
    let mut text = "_format_version: '3.0'\nservices:\n".to_owned();
    for service in 0..11 {
        text.push_str(&format!("- name: s{service}\n  url: http://127.0.0.1:9000/b{service}\n  routes:\n"));
        for route in 0..47 {
            text.push_str(&format!(
                "  - name: r{service}-{route}\n    paths: [/s{service}/r{route}, '~/t{service}/{route}/(?<id>[^/]+)$']\n    plugins:\n    - \
                 name: request-transformer-advanced\n      config: {{replace: {{uri: /x}}, add: {{headers: ['x-r:{route}']}}}}\n"
            ));
        }
    }
    let imported = imported(&text);
    let dir = tempfile::tempdir().unwrap();
    assert_eq!(checked(&imported, dir.path()).routes.len(), 11 * 47);
}
