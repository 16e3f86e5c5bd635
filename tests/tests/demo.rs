//! `tollgate demo` as a newcomer runs it: it says what to try, what it says works, and Ctrl-C ends it cleanly.

use std::process::Command;

use anyhow::{Context, ensure};
use serde_json::Value;
use tollgate_tests::client::{curl, psql};
use tollgate_tests::net::wait_for;
use tollgate_tests::process::{Process, binary, run};

const ANY_PORTS: [&str; 14] = [
    "--http-port",
    "0",
    "--https-port",
    "0",
    "--proxy-admin-port",
    "0",
    "--ingest-port",
    "0",
    "--collector-admin-port",
    "0",
    "--postgres-port",
    "0",
    "--query-port",
    "0",
];

#[test]
fn the_demo_runs_keeps_its_state_and_stops_cleanly() -> anyhow::Result<()> {
    let dir = tempfile::tempdir()?;
    let state = dir.path().join("state");
    let first = records_of_one_run(dir.path(), &state, 0)?;
    let second = records_of_one_run(dir.path(), &state, first)?;
    ensure!(second > first, "the second run began with {first} records and ended with {second}");
    Ok(())
}

/// Runs the demo until it has more than `before` records, tries what it prints, stops it; answers how many it then had.
fn records_of_one_run(dir: &std::path::Path, state: &std::path::Path, before: usize) -> anyhow::Result<usize> {
    let _ = std::fs::remove_file(state.join("endpoints.json"));
    let mut command = Command::new(binary("tollgate")?);
    let mut demo = Process::start("demo", dir, command.arg("demo").arg("--dir").arg(state).args(ANY_PORTS))?;
    let endpoints: Value = wait_for("the demo to run", || {
        ensure!(demo.output().contains("Tollgate runs"), "it has not said so: {}", demo.output());
        Ok(serde_json::from_slice(&std::fs::read(state.join("endpoints.json"))?)?)
    })?;
    let endpoint = |name: &str| endpoints[name].as_str().map(str::to_owned).with_context(|| format!("no {name}"));
    let port =
        |name: &str| -> anyhow::Result<u16> { Ok(endpoint(name)?.rsplit_once(':').context("no port")?.1.parse()?) };

    let https = format!("https://localhost:{}/partners/orders", port("https")?);
    let tls = |file: &str| state.join("tls").join(file).display().to_string();
    let (ca, cert, key) = (tls("ca.pem"), tls("partner.pem"), tls("partner.key"));
    let got = curl(&["--http2", "--cacert", &ca, "--cert", &cert, "--key", &key, &https])?;
    ensure!(got.status == 200, "{https}: {got:?}");
    let id = got.request_id()?;

    let url = format!("http://{}", endpoint("query")?);
    let tollgate = |args: &[&str]| -> anyhow::Result<String> {
        let output = run(Command::new(binary("tollgate")?).args(args).env("TOLLGATE_URL", &url))?;
        Ok(String::from_utf8(output.stdout)?)
    };
    let story = wait_for("find to tell", || tollgate(&["find", &id]))?;
    ensure!(story.contains("partner"), "{story}");
    ensure!(tollgate(&["ask"])?.contains("why-failed"), "the list of questions");
    let postgres = port("postgres")?;
    let total = wait_for("the demo's own traffic", || {
        let total: usize = psql(postgres, "SELECT count(*) FROM transactions")?.concat().parse()?;
        ensure!(total > before + 60, "{total} records, {before} before");
        Ok(total)
    })?;
    wait_for("failures to ask about", || {
        let failed = tollgate(&["ask", "why-failed", "--service", "payments", "--since", "15m"])?;
        ensure!(failed.contains("upstream_5xx"), "{failed}");
        Ok(())
    })?;
    tollgate(&["sql", "SELECT service, status, count(*) FROM transactions GROUP BY 1, 2 ORDER BY 3 DESC"])?;
    for admin in ["proxy_admin", "collector_admin"] {
        let got = curl(&[&format!("http://{}/metrics", endpoint(admin)?)])?;
        ensure!(got.status == 200 && String::from_utf8_lossy(&got.body).contains("tollgate_"), "{admin}: {got:?}");
    }

    demo.signal("INT")?;
    let status = demo.stop()?;
    ensure!(status.success(), "the demo ended with {status}: {}", demo.output());
    ensure!(demo.output().contains("state is kept in"), "{}", demo.output());
    Ok(total)
}
