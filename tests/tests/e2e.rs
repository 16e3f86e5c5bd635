//! One record from socket to page: real curl sends each kind of transaction, and the same request id is found in SQL, in
//! Kafka, and in the table by an independent reader, while Prometheus counts the same; then an upstream dies, and a page
//! arrives with a link whose query returns the failed transactions.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use anyhow::{Context, ensure};
use serde_json::Value;
use tollgate_record::id::{RequestId, producer_tag};
use tollgate_tests::client::{Got, curl, kafka_messages, promql, psql, python};
use tollgate_tests::net::{free_port, sleep, wait_for};
use tollgate_tests::pages::Pages;
use tollgate_tests::process::{Scripted, project_root, run};
use tollgate_tests::stack::{Options, Stack, TOPIC};

const TEN_MB: usize = 10 * 1024 * 1024;

/// A transaction to provoke, and what its record must say.
struct Case {
    name: &'static str,
    /// curl's arguments, URL included.
    args: Vec<String>,
    /// curl's exit code.
    exit: i32,
    /// Status that curl sees; 0 = none.
    status: u16,
    /// SQL condition that the record must meet.
    record: &'static str,
}

fn case(name: &'static str, args: &[&str], exit: i32, status: u16, record: &'static str) -> Case {
    Case { name, args: args.iter().map(|&arg| arg.to_owned()).collect(), exit, status, record }
}

fn cases(stack: &Stack) -> anyhow::Result<Vec<Case>> {
    let ca = stack.tls("ca.pem");
    let upload = stack.dir.join("upload");
    std::fs::write(&upload, vec![b'x'; TEN_MB])?;
    let upload = format!("@{}", upload.display());
    let (partner, partner_key) = (stack.tls("partner.pem"), stack.tls("partner.key"));
    let tls = |args: &[&str], path: &str| -> Vec<String> {
        let mut all = vec!["--cacert".to_owned(), ca.clone()];
        all.extend(args.iter().map(|&arg| arg.to_owned()));
        all.push(stack.https(path));
        all
    };
    let plain = |name, path: &str, exit, status, record| case(name, &[&stack.http(path)], exit, status, record);
    let mut cases = vec![
        plain("fine", "/members/4711?token=s3cret&page=2", 0, 200,
            "status = 200 AND service = 'members' AND app_id = 'team-members' AND route = 'members' AND response_source = 'upstream'
             AND termination = 'complete' AND error_class IS NULL AND http_version = '1.1' AND tls_version IS NULL
             AND method = 'GET' AND query NOT LIKE '%s3cret%' AND query LIKE '%token=%' AND upstream_attempts = 1
             AND upstream_status = 200 AND total_us > 0 AND upstream_ttfb_us > 0 AND total_us >= upstream_ttfb_us
             AND kind = 'transaction' AND node_id = 'edge-1'"),
        plain("no-route", "/nowhere", 0, 404,
            "status = 404 AND error_class = 'no_route' AND service IS NULL AND response_source = 'gateway' AND upstream_attempts = 0"),
        plain("refused", "/refused", 0, 502,
            "status = 502 AND error_class = 'connect_refused' AND service = 'refused' AND response_source = 'gateway'"),
        plain("timeout", "/impatient", 0, 504,
            "status = 504 AND error_class = 'upstream_timeout' AND service = 'slow' AND response_source = 'gateway'"),
        plain("failing", "/failing", 0, 500,
            "status = 500 AND error_class = 'upstream_5xx' AND response_source = 'upstream' AND termination = 'complete'"),
        plain("closing", "/closing", 0, 502, "status = 502 AND error_class = 'upstream_reset' AND response_source = 'gateway'"),
        plain("truncated", "/truncating", 18, 200,
            "status = 200 AND error_class = 'upstream_reset' AND termination = 'upstream' AND response_bytes = 18"),
        plain("unauthenticated", "/partners", 0, 401,
            "status = 401 AND error_class = 'auth' AND auth_result = 'failed' AND auth_fail_reason = 'missing'"),
        plain("download", &format!("/members/bytes/{TEN_MB}"), 0, 200,
            "status = 200 AND response_bytes = 10485760 AND termination = 'complete'"),
        case("upload", &["-H", "Expect:", "--data-binary", &upload, &stack.http("/members/upload")], 0, 200,
            "status = 200 AND request_bytes = 10485760 AND method = 'POST'"),
        case("abort", &["--max-time", "0.5", &stack.http("/slow")], 28, 0,
            "status = 499 AND error_class = 'client_abort' AND termination = 'client'"),
        case("token", &["-H", "Authorization: Bearer s3cret", &stack.http("/members/1")], 0, 200,
            "status = 200 AND token_hmac IS NOT NULL AND length(token_hmac) = 64"),
    ];
    let tls_cases = [
        ("http2", tls(&["--http2"], "/members/2"),
            "status = 200 AND http_version = '2' AND tls_version = '1.3' AND tls_alpn = 'h2' AND tls_sni = 'localhost'
             AND mtls_verify = 'none' AND tls_cipher IS NOT NULL AND tls_resumed = false"),
        ("mtls", tls(&["--cert", &partner, "--key", &partner_key], "/partners/orders"),
            "status = 200 AND mtls_verify = 'success' AND client_cert_subject LIKE '%partner%' AND auth_pattern = 'mtls'
             AND auth_result = 'success' AND length(client_cert_sha256) = 64 AND client_cert_not_after > now()
             AND client_cert_serial IS NOT NULL AND client_cert_issuer IS NOT NULL"),
        ("upload-http2", tls(&["--http2", "--data-binary", &upload], "/members/upload"),
            "status = 200 AND request_bytes = 10485760 AND http_version = '2'"),
        ("download-http2", tls(&["--http2"], &format!("/members/bytes/{TEN_MB}")),
            "status = 200 AND response_bytes = 10485760 AND http_version = '2'"),
    ];
    cases.extend(tls_cases.map(|(name, args, record)| Case { name, args, exit: 0, status: 200, record }));
    Ok(cases)
}

/// Sends every case; answers the request id of each whose answer carried one.
fn send(cases: &[Case]) -> anyhow::Result<BTreeMap<&'static str, Option<String>>> {
    let mut ids = BTreeMap::new();
    for case in cases {
        let correlation = format!("X-Correlation-Id: e2e-{}", case.name);
        let mut args = vec!["-H", &correlation];
        args.extend(case.args.iter().map(String::as_str));
        let got = curl(&args).context(case.name)?;
        ensure!(got.exit == case.exit && got.status == case.status, "{}: curl got {}", case.name, brief(&got));
        if case.name.starts_with("download") {
            ensure!(got.body.len() == TEN_MB, "{}: {} bytes arrived", case.name, got.body.len());
        }
        if case.name.starts_with("upload") {
            let answer: Value = serde_json::from_slice(&got.body)?;
            ensure!(answer["received_bytes"] == TEN_MB, "{}: the upstream received {answer}", case.name);
        }
        let id = got.headers.get("x-request-id").cloned();
        ensure!(id.is_some() || case.status == 0, "{}: no X-Request-Id in {}", case.name, brief(&got));
        ids.insert(case.name, id);
    }
    Ok(ids)
}

fn brief(got: &Got) -> String {
    let body = String::from_utf8_lossy(&got.body[..got.body.len().min(300)]).into_owned();
    format!("exit {}, status {}, {:?}: {body}", got.exit, got.status, got.headers)
}

/// The transactions that never become a request: a head that does not parse, and two failed handshakes.
fn send_broken(stack: &Stack) -> anyhow::Result<()> {
    let malformed = curl(&["-H", "bad header: x", &stack.http("/members")])?;
    ensure!(malformed.status == 400, "a malformed head: {}", brief(&malformed));
    let ca = stack.tls("ca.pem");
    let (stranger, key) = (stack.tls("stranger.pem"), stack.tls("stranger.key"));
    let unknown = curl(&["--cacert", &ca, "--cert", &stranger, "--key", &key, &stack.https("/members")])?;
    ensure!(unknown.status == 0 && unknown.exit != 0, "an unknown authority: {}", brief(&unknown));
    let not_tls = curl(&[&format!("http://127.0.0.1:{}/", stack.ports.https)])?;
    ensure!(not_tls.status == 0, "plaintext to the TLS port: {}", brief(&not_tls));
    Ok(())
}

/// Checks each case's record in SQL, and answers every request id there is.
fn check_sql(stack: &Stack, cases: &[Case], ids: &BTreeMap<&str, Option<String>>) -> anyhow::Result<BTreeSet<String>> {
    let port = stack.ports.postgres;
    for case in cases {
        let correlation = format!("e2e-{}", case.name);
        let found = wait_for(&format!("the record of {}", case.name), || {
            let query = format!("SELECT request_id FROM transactions WHERE correlation_id = '{correlation}'");
            let rows = psql(port, &query)?;
            ensure!(!rows.is_empty(), "no row yet");
            Ok(rows)
        })?;
        ensure!(found.len() == 1, "{}: {} records", case.name, found.len());
        if let Some(id) = &ids[case.name] {
            ensure!(&found[0] == id, "{}: the answer said {id}, SQL says {}", case.name, found[0]);
        }
        let condition =
            format!("SELECT count(*) FROM transactions WHERE request_id = '{}' AND {}", found[0], case.record);
        if psql(port, &condition)? != ["1"] {
            let row = stack.tollgate(&[
                "sql",
                "--format",
                "json",
                &format!("SELECT * FROM transactions WHERE request_id = '{}'", found[0]),
            ])?;
            anyhow::bail!("{}: the record does not meet {}\n{row}", case.name, case.record);
        }
        let story = stack.tollgate(&["find", &found[0]])?;
        ensure!(story.contains(&found[0]), "find tells: {story}");
    }
    for (what, condition) in [
        ("a malformed head", "status = 400 AND error_class = 'bad_request' AND kind = 'transaction'"),
        (
            "an unknown authority",
            "kind = 'handshake_failed' AND error_class = 'tls_handshake' AND mtls_verify = 'failed' AND auth_fail_reason = 'cert_unknown_ca'",
        ),
        (
            "plaintext to the TLS port",
            "kind = 'handshake_failed' AND error_class = 'tls_handshake' AND mtls_verify IS DISTINCT FROM 'failed'",
        ),
    ] {
        wait_for(&format!("the record of {what}"), || {
            let count = psql(port, &format!("SELECT count(*) FROM transactions WHERE {condition}"))?;
            ensure!(count == ["1"], "{count:?} rows where {condition}");
            Ok(())
        })?;
    }
    let all = psql(port, "SELECT request_id FROM transactions")?;
    let unique: BTreeSet<String> = all.iter().cloned().collect();
    ensure!(unique.len() == all.len(), "SQL answers {} rows with {} ids", all.len(), unique.len());
    ensure!(all.len() == cases.len() + 3, "{} transactions were sent, SQL has {}", cases.len() + 3, all.len());
    Ok(unique)
}

/// The request ids in the table, as the deltalake wheel reads it.
fn ids_in_table(stack: &Stack) -> anyhow::Result<BTreeSet<String>> {
    let program = "
import json, sys
from deltalake import DeltaTable
rows = DeltaTable(sys.argv[1]).to_pyarrow_table(columns=['time', 'producer', 'seq', 'kind'])
print(json.dumps([[t.value if hasattr(t, 'value') else int(t.timestamp() * 1_000_000), p, s] for t, p, s in
    zip(rows['time'].to_pylist(), rows['producer'].to_pylist(), rows['seq'].to_pylist())]))
";
    let table = stack.dir.join("data/table").display().to_string();
    let rows = python(program, &[&table])?;
    let rows = rows.as_array().context("not a list")?;
    let ids: BTreeSet<String> = rows
        .iter()
        .map(|row| {
            let time = row[0].as_i64().context("time")?;
            let producer = row[1].as_str().context("producer")?;
            let seq = row[2].as_i64().context("seq")?;
            Ok(RequestId::from_parts(time, producer_tag(producer), seq).to_string())
        })
        .collect::<anyhow::Result<_>>()?;
    ensure!(ids.len() == rows.len(), "the table holds {} rows with {} ids", rows.len(), ids.len());
    Ok(ids)
}

fn ids_in_kafka(port: u16) -> anyhow::Result<BTreeSet<String>> {
    let messages = kafka_messages(port, TOPIC)?;
    messages
        .iter()
        .map(|message| {
            let id = message["http.request.id"].as_str();
            id.map(str::to_owned).with_context(|| format!("a message without http.request.id: {message}"))
        })
        .collect()
}

/// Prometheus counts by service and status class as SQL does.
fn check_counters(stack: &Stack, prometheus: u16) -> anyhow::Result<()> {
    let rows = psql(
        stack.ports.postgres,
        "SELECT coalesce(service, '_none'), CAST(status / 100 AS BIGINT) || 'xx', count(*) FROM transactions
         WHERE kind = 'transaction' GROUP BY 1, 2",
    )?;
    let counted: BTreeMap<String, f64> = rows
        .iter()
        .map(|row| {
            let (labels, count) = row.rsplit_once('|').context("a row without count")?;
            Ok((labels.to_owned(), count.parse()?))
        })
        .collect::<anyhow::Result<_>>()?;
    for metric in ["tollgate_transactions_total", "tollgate_proxy_transactions_total"] {
        wait_for(&format!("{metric} to agree with SQL"), || {
            let series = promql(prometheus, &format!("sum by (service, status_class) ({metric}) > 0"))?;
            let seen: BTreeMap<String, f64> = series
                .into_iter()
                .map(|(l, value)| (format!("{}|{}", l["service"], l["status_class"]), value))
                .collect();
            ensure!(seen == counted, "{metric} says {seen:?}, SQL says {counted:?}");
            Ok(())
        })?;
    }
    let failed = promql(prometheus, "sum(tollgate_handshake_failures_total)")?;
    ensure!(failed.first().is_some_and(|(_, value)| (value - 2.0).abs() < 0.5), "handshake failures: {failed:?}");
    Ok(())
}

/// Kills an upstream, goes on calling it, and follows the page's link.
fn check_page(stack: &mut Stack, pages: &Pages) -> anyhow::Result<()> {
    stack.upstreams.kill("orders");
    let alert = wait_for("a page about the dead upstream", || {
        for _ in 0..5 {
            let got = curl(&[&stack.http("/orders/1")])?;
            ensure!(got.status == 502, "a dead upstream: {}", brief(&got));
        }
        sleep(Duration::from_millis(400));
        let pages = pages.firing();
        let about = |alert: &&Value| alert["labels"]["service"] == "orders" && alert["labels"]["severity"] == "page";
        pages.iter().find(about).cloned().with_context(|| format!("{} other alerts", pages.len()))
    })?;
    let annotations = &alert["annotations"];
    let link = annotations["evidence_url"].as_str().context("the page has no link to its evidence")?;
    let got = curl(&[link])?;
    ensure!(got.status == 200, "{link}: {}", brief(&got));
    let evidence = String::from_utf8(got.body)?;
    let failed = psql(
        stack.ports.postgres,
        "SELECT request_id FROM transactions WHERE service = 'orders' AND status = 502 ORDER BY time DESC LIMIT 5",
    )?;
    ensure!(
        !failed.is_empty() && failed.iter().any(|id| evidence.contains(id)),
        "{link} answers {evidence}, failed were {failed:?}"
    );
    let runbook = annotations["runbook_url"].as_str().context("the page has no runbook")?;
    let (_, file) = runbook.rsplit_once('/').context("a runbook without path")?;
    let file = file.split('#').next().unwrap_or(file);
    ensure!(project_root().join("dashboards/runbooks").join(file).exists(), "no such runbook: {runbook}");
    Ok(())
}

#[test]
fn one_record_from_socket_to_page() -> anyhow::Result<()> {
    let dir = tempfile::tempdir()?;
    let (kafka, prometheus, alertmanager) = (free_port()?, free_port()?, free_port()?);
    let _kafka = Scripted::start("kafka.sh", &dir.path().join("kafka"), &["--port", &kafka.to_string()])?;
    let mut stack = Stack::start(dir.path(), Options { kafka: Some(kafka), ..Options::default() })?;
    let pages = Pages::listen()?;
    let webhook = format!("http://{}/", pages.addr);
    let _alertmanager = Scripted::start(
        "alertmanager.sh",
        &dir.path().join("alertmanager"),
        &["--port", &alertmanager.to_string(), "--webhook", &webhook, "--pager", &webhook],
    )?;
    let local = |port: u16| format!("127.0.0.1:{port}");
    let _prometheus = Scripted::start(
        "prometheus.sh",
        &dir.path().join("prometheus"),
        &[
            "--port",
            &prometheus.to_string(),
            "--proxy",
            &local(stack.ports.proxy_admin),
            "--collector",
            &local(stack.ports.collector_admin),
            "--alertmanager",
            &local(alertmanager),
            "--query-url",
            &format!("http://{}", local(stack.ports.query)),
            "--interval",
            "1s",
        ],
    )?;

    let cases = cases(&stack)?;
    let ids = send(&cases)?;
    send_broken(&stack)?;
    let in_sql = check_sql(&stack, &cases, &ids)?;
    wait_for("Kafka to hold the same transactions as SQL", || {
        let in_kafka = ids_in_kafka(kafka)?;
        ensure!(in_kafka == in_sql, "Kafka holds {in_kafka:?}, SQL {in_sql:?}");
        Ok(())
    })?;
    wait_for("the table to hold the same transactions as SQL", || {
        let in_table = ids_in_table(&stack)?;
        ensure!(in_table == in_sql, "the table holds {in_table:?}, SQL {in_sql:?}");
        Ok(())
    })?;
    check_counters(&stack, prometheus)?;
    check_page(&mut stack, &pages)?;

    let check = project_root().join("dashboards/check.py");
    run(std::process::Command::new("python3").arg(check).args([
        "--prometheus",
        &format!("http://{}", local(prometheus)),
        "--psql-port",
        &stack.ports.postgres.to_string(),
    ]))?;
    ensure!(stack.proxy.stop()?.success(), "the proxy's end: {}", stack.proxy.output());
    ensure!(stack.collector.stop()?.success(), "the collector's end: {}", stack.collector.output());
    Ok(())
}
