//! Compares the account of `tollgate audit` with the findings of an independent reader of the table.
//!
//! Runs of numbers are computed here without `tollgate_record::runs`, which the audit uses: a fault in it must show.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

use anyhow::{Context, bail, ensure};
use serde_json::Value;

use super::rig::Ports;
use super::stored::Stored;
use crate::process::{binary, run_any};

/// Asks for the account of everything, Kafka included. Nothing may be under way.
///
/// # Errors
/// When the audit ended without an account.
pub fn ask(ports: &Ports) -> anyhow::Result<Value> {
    let mut command = Command::new(binary("tollgate")?);
    command.args(["audit", "--since", "all", "--settle", "0s", "--format", "json"]);
    command.args(["--kafka", &format!("127.0.0.1:{}", ports.kafka)]);
    command.env("TOLLGATE_URL", format!("http://127.0.0.1:{}", ports.query));
    command.env("TOLLGATE_COLLECTOR_URL", format!("http://127.0.0.1:{}", ports.collector_admin));
    let output = run_any(&mut command)?;
    let code = output.status.code();
    let Some(whole @ 0..=1) = code else {
        bail!("tollgate audit ended with {code:?}: {}", String::from_utf8_lossy(&output.stderr));
    };
    let account: Value = serde_json::from_slice(&output.stdout)?;
    ensure!(account["whole"] == (whole == 0), "exit status {whole}, but whole = {}", account["whole"]);
    Ok(account)
}

/// Numbers of a producer that have neither a row nor a gap, up to its highest, as runs.
fn missing(rows: Option<&BTreeMap<i64, u32>>, gaps: Option<&Vec<(i64, i64)>>) -> Vec<(i64, i64)> {
    let mut known: BTreeSet<(i64, i64)> = rows.into_iter().flatten().map(|(seq, _)| (*seq, *seq)).collect();
    known.extend(gaps.into_iter().flatten());
    let (mut runs, mut next) = (Vec::new(), 1);
    for (first, last) in known {
        if first > next {
            runs.push((next, first - 1));
        }
        next = next.max(last + 1);
    }
    runs
}

/// Checks that the account agrees with the table, producer by producer.
///
/// # Errors
/// When it does not; the message says where.
pub fn agrees(account: &Value, table: &Stored) -> anyhow::Result<()> {
    let told = account["producers"].as_array().context("an account without producers")?;
    let told: BTreeMap<&str, &Value> =
        told.iter().filter_map(|verdict| Some((verdict["producer"].as_str()?, verdict))).collect();
    let found: BTreeSet<&str> = table.rows.keys().chain(table.gaps.keys()).map(String::as_str).collect();
    let names: BTreeSet<&str> = told.keys().copied().collect();
    ensure!(names == found, "the audit knows {names:?}, the table {found:?}");
    for (producer, verdict) in told {
        let (rows, gaps) = (table.rows.get(producer), table.gaps.get(producer));
        let in_table = rows.map_or(0, BTreeMap::len) as u64;
        let doubled = rows.into_iter().flatten().filter(|(_, times)| **times > 1).count() as u64;
        let said = (&verdict["in_table"], &verdict["doubled"]["count"], &verdict["open"]["count"]);
        ensure!(
            said == (&in_table.into(), &doubled.into(), &0.into()),
            "{in_table} rows, {doubled} doubled: {verdict}"
        );
        let runs: Vec<(i64, i64)> = serde_json::from_value(verdict["missing"]["runs"].clone())?;
        let expected = missing(rows, gaps);
        ensure!(runs == expected, "missing are {expected:?}: {verdict}");
        let kafka = &verdict["kafka"];
        ensure!(kafka["missing"]["count"] == 0 && kafka["pending"]["count"] == 0, "not in Kafka: {verdict}");
    }
    Ok(())
}
