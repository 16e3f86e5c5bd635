//! The real psql.

use std::net::SocketAddr;

use tokio::process::Command;

use super::fixture::{Fixture, ROWS};
use super::postgres::serve;

async fn psql(address: SocketAddr, commands: &[&str]) -> (String, String) {
    let mut command = Command::new("psql");
    command.env_clear().env("PATH", std::env::var_os("PATH").unwrap_or_default()).env("LC_ALL", "C.UTF-8");
    command.arg("-X").arg("-h").arg("127.0.0.1").arg("-p").arg(address.port().to_string());
    command.args(["-U", "support", "-d", "tollgate", "-P", "pager=off"]);
    for one in commands {
        command.arg("-c").arg(one);
    }
    let output = command.output().await.expect("psql must be installed (package postgresql-client)");
    (String::from_utf8_lossy(&output.stdout).into_owned(), String::from_utf8_lossy(&output.stderr).into_owned())
}

#[tokio::test]
async fn psql_selects() {
    let fixture = Fixture::new().await;
    let address = serve(&fixture).await;
    let (out, err) =
        psql(address, &["\\pset format unaligned", "\\pset tuples_only", "SELECT count(*) FROM transactions"]).await;
    assert!(out.lines().any(|line| line == (ROWS + 3).to_string()), "{out}{err}");
    let (_, err) = psql(address, &["SELECT statuss FROM transactions"]).await;
    assert!(err.contains("LINE 1: SELECT statuss FROM") && err.contains("HINT:  did you mean status?"), "{err}");
}

#[tokio::test]
async fn psql_describes() {
    let fixture = Fixture::new().await;
    let address = serve(&fixture).await;
    for (command, expected) in [
        ("\\d", "transactions"),
        ("\\dt", "transactions"),
        ("\\dt+", "transactions"),
        ("\\d transactions", "request_id"),
        ("\\l", "tollgate"),
        ("\\dn", "public"),
        ("\\du", "List of roles"),
        ("\\conninfo", "tollgate"),
    ] {
        let (out, err) = psql(address, &[command]).await;
        assert!(out.contains(expected) && !err.contains("ERROR"), "{command}: {out}{err}");
    }
    for (command, expected) in [
        ("\\d", "| failures     | view  |"),
        ("\\dv", "handshakes"),
        ("\\dv+", "the proxies that sent something in the last hour"),
        ("\\dt+", "every transaction that passed the gate"),
        ("\\d+ transactions", "Status sent to the client; 499 when the client left before one was sent."),
        ("\\d+ failures", "WHERE error_class IS NOT NULL"),
        ("\\d+ gaps", "Last number of the run."),
        ("\\df ago", "timestamp with time zone"),
        ("\\df in_cidr", "ip text, network text"),
        ("\\df+ percentile", "within 1 %"),
        ("\\da sketch", "bytea"),
    ] {
        let (out, err) = psql(address, &[command]).await;
        assert!(out.contains(expected) && !err.contains("ERROR"), "{command}: {out}{err}");
    }
    let (out, _) = psql(address, &["\\d transactions"]).await;
    assert!(out.contains("timestamp with time zone") && out.contains("text[]"), "{out}");
}

#[tokio::test]
async fn psql_is_refused_what_writes() {
    let fixture = Fixture::new().await;
    let address = serve(&fixture).await;
    for command in
        ["\\copy transactions TO '/tmp/tollgate-must-not-exist'", "CREATE TABLE t (a int)", "DROP TABLE transactions"]
    {
        let (out, err) = psql(address, &[command]).await;
        assert!(err.contains("ERROR") && err.contains("refused"), "{command}: {out}{err}");
    }
}
