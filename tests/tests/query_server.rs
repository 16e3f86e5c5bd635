//! Query processes beside a collector, as real processes: they wait for the table, see the same rows, and restart.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, ensure};
use serde_json::Value;
use tollgate_tests::client::{curl, psql};
use tollgate_tests::net::{free_port, wait_for};
use tollgate_tests::process::{Process, binary, run_any};
use tollgate_tests::stack::{Options, Stack};

/// A query process, by its ports.
struct Server {
    name: &'static str,
    http: u16,
    postgres: u16,
    admin: u16,
}

impl Server {
    fn configured(name: &'static str, dir: &Path) -> anyhow::Result<Self> {
        let server = Self { name, http: free_port()?, postgres: free_port()?, admin: free_port()? };
        let Self { http, postgres, admin, .. } = server;
        let text = format!(
            "table: {{dir: data/table, refresh_every: 100ms}}
queries:
  postgres: {{address: 127.0.0.1:{postgres}}}
  http: {{address: 127.0.0.1:{http}}}
  limits: {{spill_dir: data/spill-{name}}}
admin: {{address: 127.0.0.1:{admin}}}
"
        );
        std::fs::write(dir.join(format!("{name}.yaml")), text)?;
        Ok(server)
    }

    fn start(&self, dir: &Path) -> anyhow::Result<Process> {
        let mut command = Command::new(binary("tollgate")?);
        let file = dir.join(format!("{}.yaml", self.name));
        Process::start(self.name, dir, command.args(["query", "--config"]).arg(file))
    }

    fn page(&self, page: &str) -> anyhow::Result<(u16, String)> {
        let got = curl(&[&format!("http://127.0.0.1:{}/{page}", self.admin)])?;
        Ok((got.status, String::from_utf8_lossy(&got.body).into_owned()))
    }

    fn wait_ready(&self) -> anyhow::Result<()> {
        wait_for(&format!("{} to be ready", self.name), || {
            let (status, text) = self.page("readyz")?;
            ensure!(status == 200, "{text}");
            Ok(())
        })
    }

    fn rows(&self) -> anyhow::Result<Value> {
        let sql = r#"{"sql": "SELECT count(*) AS n FROM transactions"}"#;
        let url = format!("http://127.0.0.1:{}/v1/sql", self.http);
        let got = curl(&["--header", "content-type: application/json", "--data", sql, &url])?;
        ensure!(got.status == 200, "{}", String::from_utf8_lossy(&got.body));
        Ok(serde_json::from_slice(&got.body)?)
    }

    fn sees(&self, rows: i64) -> anyhow::Result<()> {
        wait_for(&format!("{} to see {rows} rows", self.name), || {
            let answer = self.rows()?;
            ensure!(answer["rows"][0]["n"] == rows, "{answer}");
            let warning = answer["warnings"][0].as_str().context("a warning")?;
            ensure!(warning.contains("not committed yet"), "{warning}");
            Ok(())
        })
    }
}

fn requests(stack: &Stack, count: usize) -> anyhow::Result<()> {
    (0..count).try_for_each(|_| {
        ensure!(curl(&[&stack.http("/members/1")])?.status == 200);
        Ok(())
    })
}

#[test]
fn query_processes_see_what_the_collector_commits() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let dir = folder.path();
    let servers = [Server::configured("query-a", dir)?, Server::configured("query-b", dir)?];
    let mut early = servers[0].start(dir)?;
    wait_for("the process to say what it waits for", || {
        let (status, text) = servers[0].page("readyz")?;
        ensure!(status == 503 && text.contains("no table") && text.contains("sinks.table.dir"), "{text}");
        Ok(())
    })?;
    let mut stack = Stack::start(dir, Options::default())?;
    let mut late = servers[1].start(dir)?;
    requests(&stack, 20)?;
    for server in &servers {
        server.wait_ready()?;
        server.sees(20)?;
        ensure!(psql(server.postgres, "SELECT count(*) FROM transactions")? == ["20"]);
        let (_, metrics) = server.page("metrics")?;
        ensure!(
            metrics.contains("tollgate_queries_running 0") && metrics.contains("tollgate_table_version"),
            "{metrics}"
        );
    }

    // A killed one comes back, and the other goes on meanwhile; so do both while the collector is away.
    early.kill()?;
    servers[1].sees(20)?;
    stack.collector.kill()?;
    early = servers[0].start(dir)?;
    servers[0].wait_ready()?;
    servers[0].sees(20)?;
    ensure!(std::fs::read_dir(dir.join("data/spill-query-a"))?.count() == 1, "the killed one's folder is still there");
    stack.collector = tollgate_tests::stack::start_collector(dir)?;
    stack.wait_ready()?;
    requests(&stack, 5)?;
    for server in &servers {
        server.sees(25)?;
    }
    for process in [&mut early, &mut late] {
        ensure!(process.stop()?.success());
    }
    ensure!(std::fs::read_dir(dir.join("data/spill-query-a"))?.count() == 0, "a stopped one leaves nothing");
    Ok(())
}

#[test]
fn a_configuration_is_checked_and_printed() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let server = Server::configured("query", folder.path())?;
    let file = folder.path().join("query.yaml");
    let tollgate =
        |action: &str| run_any(Command::new(binary("tollgate")?).args(["query", action, "--config"]).arg(&file));
    ensure!(tollgate("check")?.status.success());
    let printed = String::from_utf8(tollgate("print-config")?.stdout)?;
    ensure!(printed.contains("nice: 10") && printed.contains(&format!("127.0.0.1:{}", server.admin)), "{printed}");
    std::fs::write(&file, "table: {dir: t}\nqueries: {limits: {nice: 25}}\n")?;
    let refused = tollgate("check")?;
    ensure!(refused.status.code() == Some(2) && String::from_utf8_lossy(&refused.stderr).contains("nice"));
    Ok(())
}
