//! Requests through the real proxy, against what Kong's documents and router say: status, path and Host upstream.
//!
//! The oracle is written from Kong's router (`kong/router/utils.lua`: how the upstream's path is made; the documents: of
//! the routes that match, the one that names more of host, path and method, then the one with the longest path). One
//! request of each file asks for a path that only a prefix of characters fits: the report must say that it differs.

use std::fmt::Write as _;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::time::Duration;

use tollgate_proxy::plan::RuntimeConfig;

use crate::first::{all, imported};

/// Requests for each file.
const REQUESTS: usize = 200;

/// A route of Kong, with its service's path.
#[derive(Clone, Default)]
struct Kong {
    base: &'static str,
    path: &'static str,
    keeps_path: bool,
    keeps_host: bool,
    hosts: &'static [&'static str],
    methods: &'static [&'static str],
    /// The plugin of the route, and the status with which it answers.
    plugin: &'static str,
    status: Option<u16>,
}

/// What a client sees: the status, and the path and Host that the upstream got.
type Seen = (u16, Option<(String, String)>);

impl Kong {
    fn matches(&self, (method, host, path): (&str, &str, &str)) -> bool {
        let host_fits = |known: &&str| match known.strip_prefix('*') {
            Some(suffix) => host.ends_with(suffix),
            None => host == *known,
        };
        (self.methods.is_empty() || self.methods.contains(&method))
            && (self.hosts.is_empty() || self.hosts.iter().any(host_fits))
            && path.starts_with(self.path)
    }

    /// The path that goes upstream, as Kong's `get_upstream_uri`.
    fn upstream(&self, path: &str) -> String {
        let (base, rest) = (self.base, &path[self.path.len()..]);
        match (base.ends_with('/'), self.keeps_path) {
            (true, false) if rest.is_empty() => match (base, path.ends_with('/')) {
                ("/", _) | (_, true) => base.to_owned(),
                _ => base.trim_end_matches('/').to_owned(),
            },
            (true, false) => format!("{}/{}", base.trim_end_matches('/'), rest.trim_start_matches('/')),
            (true, true) => format!("{base}{}", &path[1..]),
            (false, false) if rest.is_empty() && path.len() > 1 && path.ends_with('/') => format!("{base}/"),
            (false, false) if rest.is_empty() => base.to_owned(),
            (false, false) => format!("{base}/{}", rest.trim_start_matches('/')),
            (false, true) if path == "/" => base.to_owned(),
            (false, true) => format!("{base}{path}"),
        }
    }
}

fn oracle(routes: &[Kong], request: (&str, &str, &str), target: &str) -> Seen {
    let named = |route: &Kong| usize::from(!route.hosts.is_empty()) + usize::from(!route.methods.is_empty());
    let fits = routes.iter().filter(|route| route.matches(request));
    let Some(route) = fits.max_by_key(|route| (named(route), route.path.len())) else { return (404, None) };
    let host = if route.keeps_host { request.1 } else { target };
    match route.status {
        Some(status) => (status, None),
        None => (200, Some((route.upstream(request.2), host.to_owned()))),
    }
}

fn yaml(routes: &[Kong], upstream: SocketAddr) -> String {
    let mut text = "_format_version: '3.0'\nservices:\n".to_owned();
    let list = |names: &[&str]| names.iter().map(|name| format!("'{name}'")).collect::<Vec<_>>().join(", ");
    for (nth, route) in routes.iter().enumerate() {
        let Kong { base, path, hosts, methods, plugin, .. } = route;
        let (strip, keep) = (!route.keeps_path, route.keeps_host);
        let _ = write!(
            text,
            "- name: s{nth}\n  url: http://{upstream}{base}\n  routes:\n  - name: r{nth}\n    paths: [{path}]\n    strip_path: \
             {strip}\n    preserve_host: {keep}\n    hosts: [{}]\n    methods: [{}]\n    plugins: [{plugin}]\n",
            list(hosts),
            list(methods)
        );
    }
    text
}

/// An upstream that answers with the path and the Host that it was asked for.
fn upstream() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            std::thread::spawn(move || {
                while let Some(head) = read_head(&mut stream) {
                    let path = head.split(' ').nth(1).unwrap_or_default().to_owned();
                    let host = field(&head, "host").unwrap_or_default();
                    let answer =
                        format!("HTTP/1.1 200 OK\r\ncontent-length: 0\r\nx-path: {path}\r\nx-host: {host}\r\n\r\n");
                    if stream.write_all(answer.as_bytes()).is_err() {
                        return;
                    }
                }
            });
        }
    });
    address
}

fn read_head(stream: &mut TcpStream) -> Option<String> {
    let (mut head, mut byte) = (Vec::new(), [0]);
    while !head.ends_with(b"\r\n\r\n") {
        if stream.read(&mut byte).ok()? == 0 {
            return None;
        }
        head.push(byte[0]);
    }
    String::from_utf8(head).ok()
}

fn field(head: &str, name: &str) -> Option<String> {
    let mut lines = head.lines().filter_map(|line| line.split_once(": "));
    lines.find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| value.to_owned())
}

fn ask(gate: SocketAddr, (method, host, path): (&str, &str, &str)) -> Seen {
    let mut stream = TcpStream::connect(gate).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    write!(stream, "{method} {path} HTTP/1.1\r\nhost: {host}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")
        .unwrap();
    let head = read_head(&mut stream).unwrap();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    // Kong has no 405: a method that no route names is 404.
    let status = if status == 405 { 404 } else { status };
    (status, field(&head, "x-path").zip(field(&head, "x-host")))
}

fn files() -> Vec<Vec<Kong>> {
    let route = |base, path| Kong { base, path, ..Kong::default() };
    let keeps = |base, path| Kong { keeps_path: true, ..route(base, path) };
    let ip = "{name: ip-restriction, config: {deny: [127.0.0.1]}}";
    let stop = "{name: request-termination, config: {status_code: 410}}";
    let rate = "{name: rate-limiting, config: {hour: 1000}}";
    let lua = "{name: my-own-auth}";
    vec![
        vec![route("/", "/a"), route("/", "/b"), route("/", "/a/deep")],
        vec![keeps("/", "/a"), keeps("/", "/b/c"), keeps("/", "/z")],
        vec![route("/v1", "/a"), keeps("/v1", "/b"), route("/v2/", "/c")],
        vec![Kong { keeps_host: true, ..route("/", "/a") }, Kong { keeps_host: true, ..keeps("/x", "/b") }],
        vec![
            Kong { hosts: &["one.example.com"], ..route("/", "/a") },
            Kong { hosts: &["*.example.com"], ..keeps("/", "/b") },
            route("/all", "/c"),
        ],
        vec![
            Kong { methods: &["GET"], ..route("/read", "/a") },
            Kong { methods: &["POST", "PUT"], ..route("/write", "/a") },
        ],
        vec![
            Kong { plugin: ip, status: Some(403), ..route("/", "/a") },
            Kong { plugin: stop, status: Some(410), ..route("/", "/b") },
            route("/", "/c"),
        ],
        vec![
            Kong { plugin: rate, ..keeps("/", "/a") },
            Kong { plugin: lua, status: Some(503), ..route("/", "/b") },
            route("/up", "/c/d"),
        ],
    ]
}

#[test]
fn requests_are_answered_as_by_kong() {
    let upstream = upstream();
    let target = upstream.to_string();
    for (nth, routes) in files().iter().enumerate() {
        let imported = imported(&yaml(routes, upstream));
        let dir = tempfile::tempdir().unwrap();
        let main = "node_id: g\nworkers: 1\nlisteners: [{name: p, address: \"127.0.0.1:0\"}]\nadmin: {address: \"127.0.0.1:0\"}\n\
                    records: {spool: {dir: spool}}\n";
        std::fs::write(dir.path().join("proxy.yaml"), main).unwrap();
        imported.write(dir.path()).unwrap();
        let plan = RuntimeConfig::load(dir.path()).unwrap_or_else(|error| panic!("{error}\n{}", all(&imported)));
        let running = tollgate_proxy::start(plan).unwrap();
        let gate = running.addresses[0].1;
        let mut different = Vec::new();
        let odd = format!("{}b", routes[0].path);
        for count in 0..REQUESTS {
            let route = &routes[count % routes.len()];
            let rests = ["", "/", "/x", "/x/y", "/x/y/?q=1", "/7%20"];
            let path = match count {
                7 => odd.clone(),
                _ if count % 23 == 5 => "/nowhere".to_owned(),
                _ => format!("{}{}", route.path, rests[(count / routes.len()) % rests.len()]),
            };
            let host = ["one.example.com", "two.example.com", "other.org"][(count / 18) % 3];
            let method = ["GET", "POST"][(count / 5) % 2];
            let query = path.split_once('?').map_or(String::new(), |(_, query)| format!("?{query}"));
            let bare = path.split('?').next().unwrap();
            let mut expected = oracle(routes, (method, host, bare), &target);
            if let Some((sent, _)) = &mut expected.1 {
                sent.push_str(&query);
            }
            let seen = ask(gate, (method, host, &path));
            if seen != expected {
                different.push(format!("{method} {host} {path}: {seen:?}, Kong {expected:?}"));
            }
        }
        running.stop(Duration::from_secs(2));
        println!("file {nth}: {} of {REQUESTS} differ", different.len());
        assert!(different.len() * 100 <= REQUESTS, "file {nth}: {different:#?}\n{}", all(&imported));
        assert!(imported.markdown().contains("`/a` does not serve `/ab`"));
    }
}
