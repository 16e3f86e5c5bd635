//! What 11,000 services with 44,000 routes cost to load, and what finding the route of a request costs among them.
//!
//! ```text
//! cargo run --release -p tollgate-proxy --example bench-routes            loads one file, and a folder of 11,000
//! … --example bench-routes -- --json FILE                                 the same, with its result in a file
//! … --example bench-routes -- generate FOLDER [SERVICES]                  only writes the configurations
//! … --example bench-routes -- load PATH                                   one load of any configuration
//! … --example bench-routes -- find SERVICES LOOKUPS                       for callgrind: two runs, and their difference
//! ```
//! Each load is measured in a process of its own, so that its memory is its own. The services have a host each, four
//! routes (a prefix, a whole path, a template, and one of a method with a condition), TLS to a target of their own under
//! one of two authorities, which thousands of files name.

use std::fmt::Write;
use std::hint::black_box;
use std::path::Path;
use std::process::Command;
use std::time::Instant;

use anyhow::{Context, bail};
use http::header::HeaderValue;
use http::{HeaderMap, Method};
use tollgate_bench_result::{BenchResult, Figure, json_argument};
use tollgate_demo_ca::DemoCa;
use tollgate_proxy::plan::RuntimeConfig;
use tollgate_proxy_http::routing::{HeaderCondition, HostPattern, PathPattern, Pattern, Router, Wanted};

/// The scale that Tollgate is to hold.
const SERVICES: usize = 11_000;
/// Files in one folder of the generated tree.
const FILES_A_FOLDER: usize = 500;
/// Loads of each kind; the median is printed.
const ROUNDS: usize = 3;

fn main() -> anyhow::Result<()> {
    let mut arguments: Vec<String> = std::env::args().skip(1).collect();
    let json = json_argument(&mut arguments).map_err(anyhow::Error::msg)?;
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match arguments[..] {
        [] => all(json.as_deref()),
        ["generate", folder] => generate(Path::new(folder), SERVICES),
        ["generate", folder, services] => generate(Path::new(folder), services.parse()?),
        ["load", path] => load(Path::new(path)),
        ["find", services, lookups] => find(services.parse()?, lookups.parse()?),
        _ => bail!("see the head of examples/bench-routes.rs for the arguments"),
    }
}

/// Generates, loads both kinds, and prints a table.
fn all(json: Option<&Path>) -> anyhow::Result<()> {
    let command = "cargo run --release -p tollgate-proxy --example bench-routes";
    let mut result = BenchResult::begin("routes", command);
    let dir = tempfile::tempdir()?;
    generate(dir.path(), SERVICES)?;
    println!("{SERVICES} services, {} routes; median of {ROUNDS} loads, each by a process of its own", SERVICES * 4);
    for kind in ["one", "many"] {
        let mut loads = Vec::new();
        for _ in 0..ROUNDS {
            let path = dir.path().join(kind);
            let mut command = Command::new(std::env::current_exe()?);
            let output = command.arg("load").arg(path).output()?;
            if !output.status.success() {
                bail!("{}", String::from_utf8_lossy(&output.stderr));
            }
            loads.push(String::from_utf8(output.stdout)?);
        }
        // They begin with the wall time, of one width.
        loads.sort();
        print!("{kind:10} {}", loads[ROUNDS / 2]);
        let seconds = |load: &String| -> anyhow::Result<f64> {
            Ok(load.split_whitespace().next().context("a load says nothing")?.parse::<f64>()? / 1e3)
        };
        let name = if kind == "one" { "one file".to_owned() } else { format!("{SERVICES} files") };
        let (low, high) = (seconds(&loads[0])?, seconds(&loads[ROUNDS - 1])?);
        result.add(Figure::new("load", name, seconds(&loads[ROUNDS / 2])?, "s").between(low, high));
    }
    result.save(json).context("saving the result")
}

/// Writes `one/proxy.yaml` and `many/` with a file for each service.
fn generate(folder: &Path, services: usize) -> anyhow::Result<()> {
    let tls = folder.join("tls");
    for name in ["a", "b"] {
        DemoCa::open(&tls.join(name))?;
    }
    let main = "node_id: bench-1
workers: 1
listeners: [{name: plain, address: \"127.0.0.1:0\"}]
records: {enabled: false}
admin: {address: \"127.0.0.1:0\"}
";
    let (mut all_services, mut all_routes) = (String::from("services:\n"), String::from("routes:\n"));
    for nth in 0..services {
        let (service, routes) = (service(nth, &tls), routes(nth));
        all_services += &service;
        all_routes += &routes;
        let apis = folder.join(format!("many/team-{}", nth / FILES_A_FOLDER));
        std::fs::create_dir_all(&apis)?;
        std::fs::write(apis.join(format!("api-{nth}.yaml")), format!("services:\n{service}routes:\n{routes}"))?;
    }
    std::fs::create_dir_all(folder.join("one"))?;
    std::fs::write(folder.join("one/proxy.yaml"), format!("{main}{all_services}{all_routes}"))?;
    std::fs::write(folder.join("many/proxy.yaml"), main).context("many/proxy.yaml")
}

fn service(nth: usize, tls: &Path) -> String {
    let ca = tls.join(["a", "b"][nth % 2]).join("ca.pem");
    format!(
        "  - name: api-{nth}
    app_id: team-{team}
    targets: [\"https://api-{nth}.internal.example:8443\", \"https://api-{nth}.standby.example:8443\"]
    health: {{passive: {{failures: 5}}}}
    tls: {{ca: \"{ca}\"}}
    caps: {{concurrent_max: 500}}
",
        team = nth / FILES_A_FOLDER,
        ca = ca.display()
    )
}

fn routes(nth: usize) -> String {
    let mut text = String::new();
    for (what, paths, more) in ROUTES {
        let path = paths.replace("NTH", &nth.to_string());
        let _infallible = write!(
            text,
            "  - name: api-{nth}-{what}
    service: api-{nth}
    hosts: [\"api-{nth}.example.com\"]
    paths: [\"{path}\"]
    query_allow: [page]
{more}"
        );
    }
    text
}

/// Name, path, and more keys of the routes of a service.
const ROUTES: [(&str, &str, &str); 4] = [
    ("prefix", "/v1/api-NTH", "    strip_prefix: true\n"),
    ("whole", "=/v1/api-NTH/health", ""),
    ("template", "/v1/api-NTH/members/{id}/claims/{claim}", "    timeouts: {total: 5s}\n"),
    ("narrow", "/v1/api-NTH/members", "    methods: [POST]\n    headers: [{name: x-tenant, value: blue}]\n"),
];

/// One load; a line with what it took.
fn load(path: &Path) -> anyhow::Result<()> {
    let began = Instant::now();
    let plan = RuntimeConfig::load(path)?;
    let wall = began.elapsed();
    let (user_ms, system_ms) = cpu()?;
    println!(
        "{:>6} ms wall, {user_ms} ms user, {system_ms} ms system; {} MB resident at the end, {} MB at most; {} routes, {} upstreams",
        wall.as_millis(),
        status_mb("VmRSS:")?,
        status_mb("VmHWM:")?,
        plan.routes.len(),
        plan.upstreams.len(),
    );
    Ok(())
}

/// CPU time of this process, from clock ticks of 10 ms (proc(5)).
fn cpu() -> anyhow::Result<(u64, u64)> {
    let stat = std::fs::read_to_string("/proc/self/stat")?;
    let after_name = stat.rsplit_once(") ").context("/proc/self/stat has no name")?.1;
    let mut fields = after_name.split(' ').skip(11);
    let mut ticks = || anyhow::Ok(10 * fields.next().context("/proc/self/stat is short")?.parse::<u64>()?);
    Ok((ticks()?, ticks()?))
}

fn status_mb(key: &str) -> anyhow::Result<u64> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix(key)).context("no such line in /proc/self/status")?;
    Ok(line.trim().trim_end_matches(" kB").parse::<u64>()? / 1_000)
}

/// Builds a router, and looks up routes of all kinds, spread over the services.
fn find(services: usize, lookups: usize) -> anyhow::Result<()> {
    let wrong = |problem: String| anyhow::anyhow!(problem);
    let mut patterns = Vec::new();
    for nth in 0..services {
        for (what, path, _) in ROUTES {
            let path = PathPattern::parse(&path.replace("NTH", &nth.to_string())).map_err(|e| wrong(e.to_string()))?;
            let host = HostPattern::parse(&format!("api-{nth}.example.com")).map_err(|e| wrong(e.to_string()))?;
            let narrow = what == "narrow";
            let tenant = HeaderCondition { name: "x-tenant".parse()?, wanted: Wanted::Value("blue".into()) };
            patterns.push(Pattern {
                hosts: vec![host],
                paths: vec![path],
                methods: if narrow { vec![Method::POST] } else { Vec::new() },
                conditions: if narrow { vec![tenant] } else { Vec::new() },
            });
        }
    }
    let Ok(router) = Router::build(&patterns) else { bail!("the routes overlap") };
    let mut headers = HeaderMap::new();
    headers.insert("x-tenant", HeaderValue::from_static("blue"));
    // Requests are made beforehand; of as many services in every run, so that runs differ in the routes alone.
    let asked: Vec<(String, String)> = (0..64)
        .map(|nth| {
            let nth = nth * services / 64;
            (format!("api-{nth}.example.com"), format!("/v1/api-{nth}/members/4711/claims/1"))
        })
        .collect();
    for nth in 0..lookups {
        let (host, path) = &asked[nth % asked.len()];
        let found = router.find(black_box(host), black_box(path), &Method::POST, &headers);
        if black_box(found).is_none() {
            bail!("no route for {host}{path}");
        }
    }
    Ok(())
}
