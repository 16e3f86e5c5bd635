//! What an auditor sees: seeded losses, doubles and gaps, a live and a killed proxy, told by the real command from what the
//! real collector stored; the journal and the dead letters read beside it.

use std::path::Path;
use std::process::{Command, Output};

use anyhow::{Context, ensure};
use serde_json::Value;
use tollgate_clock::now_us;
use tollgate_tests::batches::{NODE, Producer, post};
use tollgate_tests::client::{curl, python};
use tollgate_tests::net::{free_port, wait_for};
use tollgate_tests::process::{Scripted, binary, run_any};
use tollgate_tests::stack::{Options, Stack, TOPIC, start_collector, start_proxy};

const MINUTE_US: i64 = 60_000_000;
const HOUR_US: i64 = 60 * MINUTE_US;

/// Runs `tollgate` against the stack, and accepts any exit status.
fn tollgate(stack: &Stack, args: &[&str]) -> anyhow::Result<Output> {
    let local = |port: u16| format!("http://127.0.0.1:{port}");
    run_any(
        Command::new(binary("tollgate")?)
            .args(args)
            .current_dir(&stack.dir)
            .env("TOLLGATE_URL", local(stack.ports.query))
            .env("TOLLGATE_COLLECTOR_URL", local(stack.ports.collector_admin)),
    )
}

fn text(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

/// An audit of everything, as JSON; the exit status must agree with it.
fn audit(stack: &Stack, args: &[&str]) -> anyhow::Result<Value> {
    let output = tollgate(stack, &[&["audit", "--since", "all", "--format", "json"], args].concat())?;
    let report: Value = serde_json::from_slice(&output.stdout).with_context(|| text(&output))?;
    let whole = report["whole"].as_bool().context("whole")?;
    ensure!(output.status.code() == Some(i32::from(!whole)), "{} with whole = {whole}", output.status);
    for told in report["producers"].as_array().context("producers")? {
        let aside: u64 = told["set_aside"]
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(|aside| aside["numbers"]["count"].as_u64())
            .sum();
        let shed: u64 = told["shed"].as_object().into_iter().flatten().filter_map(|(_, count)| count.as_u64()).sum();
        let count = |name: &str| told[name]["count"].as_u64().unwrap_or(u64::MAX);
        let sum = told["in_table"].as_u64().unwrap_or(0) + shed + aside + count("open") + count("missing");
        ensure!(told["issued"] == sum, "it does not add up: {told:#}");
    }
    Ok(report)
}

fn of<'r>(report: &'r Value, producer: &Producer) -> anyhow::Result<&'r Value> {
    let producers = report["producers"].as_array().context("producers")?;
    producers
        .iter()
        .find(|told| told["producer"] == producer.name)
        .with_context(|| format!("no {} in {report:#}", producer.name))
}

/// Sends requests through the proxy and waits until their records can be asked for.
fn serve(stack: &Stack, requests: i64) -> anyhow::Result<()> {
    let before = rows(stack)?;
    for _ in 0..requests {
        ensure!(curl(&[&stack.http("/members/1")])?.status == 200);
    }
    wait_for("the records to arrive", || {
        let now = rows(stack)?;
        ensure!(now == before + requests, "{now} of {} rows", before + requests);
        Ok(())
    })
}

fn rows(stack: &Stack) -> anyhow::Result<i64> {
    let answer = stack.tollgate(&["sql", "--format", "json", "SELECT count(*) AS n FROM transactions"])?;
    serde_json::from_str::<Value>(&answer)?["rows"][0]["n"].as_i64().context("a count")
}

/// Producers of an hour and a day ago: one whole with a gap, one with a loss, one with a double, one without its beginning,
/// one that is in the middle of its work, and two with a loss around a cut in time.
struct Seeded {
    whole: Producer,
    lossy: Producer,
    doubled: Producer,
    headless: Producer,
    older: Producer,
    working: Producer,
    /// They lost three numbers around an hour ago, when one worked and the other had been idle for an hour.
    crossing: [Producer; 2],
}

fn seed(stack: &Stack) -> anyhow::Result<Seeded> {
    let now = now_us();
    let start = now - 2 * HOUR_US;
    let mut seeded = Seeded {
        whole: Producer::new(start, 0),
        lossy: Producer::new(start, 1),
        doubled: Producer::new(start, 2),
        headless: Producer::new(start, 3),
        older: Producer::new(start - 400 * 24 * HOUR_US, 0),
        working: Producer::new(start, 4),
        crossing: [Producer::new(start, 5), Producer::new(start, 6)],
    };
    let post = |batch| post(&stack.dir.join("tls"), stack.ports.ingest, &batch);
    let then = now - HOUR_US;
    // Out of order, as records are written when requests end.
    post(seeded.whole.batch([2, 1, 5, 3, 4, 8], then)?)?;
    post(seeded.whole.gap(9, 6, then + 1_000_000)?)?;
    post(seeded.whole.batch([15, 6, 7], then + 2_000_000)?)?;
    post(seeded.lossy.batch(1..=10, then)?)?;
    // It lies in a folder of the proxy's, where it was set aside.
    let aside = stack.dir.join("aside/deeper");
    std::fs::create_dir_all(&aside)?;
    std::fs::write(aside.join("2.arrows.zst"), &seeded.lossy.batch(11..=20, then)?.bytes)?;
    std::fs::write(aside.join("notes.txt"), "no batch")?;
    post(seeded.lossy.batch(21..=30, then)?)?;
    post(seeded.doubled.batch(1..=10, then)?)?;
    post(seeded.doubled.batch(9..=12, then)?)?;
    post(seeded.headless.batch(4..=10, then)?)?;
    // The day on which the others started is one that is kept.
    post(seeded.older.batch(1_000..=1_010, start)?)?;
    post(seeded.working.batch([1, 2, 3, 5, 8], now)?)?;
    for (producer, before) in seeded.crossing.iter_mut().zip([then - 5 * MINUTE_US, start + 5 * MINUTE_US]) {
        post(producer.batch(1..=10, before)?)?;
        post(producer.batch(14..=20, then + 5 * MINUTE_US)?)?;
    }
    wait_for("the rows to be in the table's files", || {
        let table = curl(&[&format!("http://127.0.0.1:{}/v1/table", stack.ports.query)])?;
        let table: Value = serde_json::from_slice(&table.body)?;
        ensure!(table["hot_rows"] == 0 && table["file_rows"].as_i64() == Some(rows(stack)?), "{table}");
        Ok(())
    })?;
    Ok(seeded)
}

fn check_seeded(stack: &Stack, seeded: &Seeded) -> anyhow::Result<()> {
    let report = audit(stack, &[])?;
    ensure!(report["whole"] == false);
    let whole = of(&report, &seeded.whole)?;
    ensure!(whole["shed"]["spool_full"] == 6 && whole["missing"]["count"] == 0 && whole["issued"] == 15, "{whole:#}");
    let lossy = of(&report, &seeded.lossy)?;
    ensure!(lossy["missing"]["runs"] == serde_json::json!([[11, 20]]), "{lossy:#}");
    let doubled = of(&report, &seeded.doubled)?;
    ensure!(doubled["doubled"]["runs"] == serde_json::json!([[9, 10]]) && doubled["copies"] == 2, "{doubled:#}");
    let example = doubled["doubled_example"].as_str().context("an example")?;
    ensure!(stack.tollgate(&["sql", "--format", "csv", example])?.lines().count() == 3, "the example shows both rows");
    let headless = of(&report, &seeded.headless)?;
    ensure!(headless["missing"]["runs"] == serde_json::json!([[1, 3]]), "{headless:#}");
    let older = of(&report, &seeded.older)?;
    ensure!(older["missing"]["count"] == 0 && older["first_seq"] == 1_000, "it began before what is kept: {older:#}");
    let working = of(&report, &seeded.working)?;
    ensure!(
        working["open"]["runs"] == serde_json::json!([[4, 4], [6, 7]]) && working["state"] == "live",
        "{working:#}"
    );
    let found = audit(stack, &["--set-aside", "aside"])?;
    let lossy = of(&found, &seeded.lossy)?;
    ensure!(lossy["missing"]["count"] == 0 && lossy["set_aside"][0]["numbers"]["count"] == 10, "{lossy:#}");
    let settled = audit(stack, &["--settle", "0s"])?;
    ensure!(of(&settled, &seeded.working)?["missing"]["count"] == 3, "with no time to settle, they are missing");
    // A cut in time: what was before it is not asked for.
    let output = tollgate(stack, &["audit", "--since", "5m", "--format", "json"])?;
    let recent: Value = serde_json::from_slice(&output.stdout)?;
    ensure!(of(&recent, &seeded.lossy).is_err() && of(&recent, &seeded.working).is_ok(), "{recent:#}");
    ensure!(output.status.success(), "nothing of the last five minutes is missing for sure: {}", text(&output));
    let hour = tollgate(stack, &["audit", "--since", "1h", "--format", "json"])?;
    let hour: Value = serde_json::from_slice(&hour.stdout)?;
    for producer in &seeded.crossing {
        let told = of(&hour, producer)?;
        ensure!(told["first_seq"] == 11 && told["missing"]["runs"] == serde_json::json!([[11, 13]]), "{told:#}");
    }
    one_of_many(stack, seeded)?;
    are_refused(
        stack,
        &[
            (&["audit", "--producer", "nobody"], "`nobody` has no record in that time"),
            (&["audit", "--journal", "data"], "no segment of a journal here"),
            (&["audit", "--set-aside", "nowhere"], "nowhere cannot be read"),
        ],
    )?;
    question_agrees(stack, &report)
}

/// One producer, in the forms for people and for spreadsheets.
fn one_of_many(stack: &Stack, seeded: &Seeded) -> anyhow::Result<()> {
    let name = &seeded.lossy.name;
    let told = tollgate(stack, &["audit", "--since", "3h", "--producer", name])?;
    let said = text(&told);
    ensure!(told.status.code() == Some(1), "{said}");
    for words in [
        "missing: 10 in 1 ranges: 11..20",
        "NOT all accounted for: 10 missing.",
        "30 issued by 1 producers = 20 in the table",
    ] {
        ensure!(said.contains(words), "no `{words}` in\n{said}");
    }
    ensure!(!said.contains(&seeded.whole.name), "{said}");
    let csv = tollgate(stack, &["audit", "--since", "3h", "--producer", NODE, "--format", "csv"])?;
    let line = text(&csv).lines().find(|line| line.starts_with(name)).map(str::to_owned).context("no line")?;
    ensure!(line.starts_with(&format!("{name},ended,1,30,30,20,0,0,0,10,11..20,0,")), "{line}");
    Ok(())
}

/// The saved question counts the same.
fn question_agrees(stack: &Stack, report: &Value) -> anyhow::Result<()> {
    let answer = stack.tollgate(&["ask", "--format", "json", "missing-records", "--since", "300d"])?;
    let answer: Value = serde_json::from_str(&answer)?;
    let rows = answer["rows"].as_array().context("rows")?;
    ensure!(rows.len() == report["producers"].as_array().map_or(0, Vec::len), "{answer:#}");
    for told in report["producers"].as_array().into_iter().flatten() {
        let row = rows.iter().find(|row| row["producer"] == told["producer"]).context("no row")?;
        let shed: u64 = told["shed"].as_object().into_iter().flatten().filter_map(|(_, count)| count.as_u64()).sum();
        for (column, number) in [
            ("missing", &told["missing"]["count"]),
            ("open", &told["open"]["count"]),
            ("doubles", &told["copies"]),
            ("shed", &Value::from(shed)),
            ("to_seq", &told["last_seq"]),
        ] {
            ensure!(&row[column] == number, "{column}: the question says {row}, the audit {told}");
        }
    }
    Ok(())
}

#[test]
fn an_audit_tells_losses_doubles_gaps_and_who_lives() -> anyhow::Result<()> {
    let dir = tempfile::tempdir()?;
    let mut stack = Stack::start(dir.path(), Options::default())?;
    serve(&stack, 20)?;
    let report = audit(&stack, &["--settle", "0s"])?;
    ensure!(report["whole"] == true && report["totals"]["issued"] == 20, "{report:#}");
    let live = audit(&stack, &[])?;
    ensure!(live["producers"].as_array().into_iter().flatten().all(|told| told["state"] == "live"), "{live:#}");

    let seeded = seed(&stack)?;
    check_seeded(&stack, &seeded)?;

    stack.proxy.kill()?;
    stack.proxy = start_proxy(&stack.dir)?;
    stack.wait_ready()?;
    serve(&stack, 10)?;
    let report = audit(&stack, &["--settle", "0s"])?;
    let states: Vec<_> =
        report["producers"].as_array().into_iter().flatten().map(|told| told["state"].as_str()).collect();
    ensure!(states.contains(&Some("ended")) && states.contains(&Some("silent")), "{states:?}");
    ensure!(report["notes"].to_string().contains("cannot be known"), "the tail of a killed one is told: {report:#}");

    journal_is_read_from_outside(&mut stack)?;
    cannot_be_told(&stack)
}

/// `tollgate journal`, beside the running collector and after it.
fn journal_is_read_from_outside(stack: &mut Stack) -> anyhow::Result<()> {
    let journal = "data/journal";
    let listed = tollgate(stack, &["journal", "ls", "--json", journal])?;
    let listed: Value = serde_json::from_slice(&listed.stdout).with_context(|| text(&listed))?;
    let frames: u64 =
        listed["segments"].as_array().into_iter().flatten().filter_map(|segment| segment["frames"].as_u64()).sum();
    let end = listed["next_position"].as_u64().context("end")?;
    ensure!(frames == end && frames > 0, "{listed:#}");
    ensure!(listed["sinks"].as_array().map_or(0, Vec::len) == 2, "{listed:#}");
    let verified = tollgate(stack, &["journal", "verify", journal])?;
    ensure!(verified.status.success() && text(&verified).contains("every checksum holds"), "{}", text(&verified));
    let records = tollgate(stack, &["journal", "cat", "--records", journal])?;
    ensure!(records.status.success());
    let lines = String::from_utf8(records.stdout)?;
    let lines: Vec<Value> = lines.lines().map(serde_json::from_str).collect::<Result<_, _>>()?;
    ensure!(
        lines.len() as i64 == rows(stack)?,
        "{} records in the journal, {} rows in the table",
        lines.len(),
        rows(stack)?
    );
    let one = tollgate(stack, &["journal", "cat", journal, "--from", "1", "--to", "1", "--raw", "raw"])?;
    let file = String::from_utf8(one.stdout)?;
    let read = "
import json, sys, pyarrow as pa
print(json.dumps(pa.ipc.open_stream(pa.input_stream(sys.argv[1])).read_all().num_rows))
";
    let count = python(read, &[&stack.dir.join(file.trim()).display().to_string()])?;
    let frame = tollgate(stack, &["journal", "cat", journal, "--from", "1", "--to", "1"])?;
    ensure!(serde_json::from_slice::<Value>(&frame.stdout)?["records"] == count, "pyarrow reads {count} rows");

    stack.collector.stop()?;
    damage(&stack.dir.join(journal))?;
    let verified = tollgate(stack, &["journal", "verify", journal])?;
    ensure!(
        verified.status.code() == Some(1) && text(&verified).contains("positions 0..1 are lost"),
        "{}",
        text(&verified)
    );
    Ok(())
}

/// Bends a byte of the journal's first frame.
fn damage(journal: &Path) -> anyhow::Result<()> {
    let segment = journal.join(format!("{:020}.seg", 0));
    let mut bytes = std::fs::read(&segment)?;
    bytes[64 + 70] ^= 1;
    std::fs::write(&segment, bytes)?;
    Ok(())
}

/// A command that cannot be done ends with status 2 and a cure.
fn cannot_be_told(stack: &Stack) -> anyhow::Result<()> {
    let nobody = format!("http://127.0.0.1:{}", stack.ports.nobody);
    let cases: &[(&[&str], &str)] = &[
        (&["audit", "--url", &nobody, "--collector", &nobody], "is this the admin address of a running collector?"),
        (&["audit", "--since", "yesterday"], "neither a length of time"),
        (&["audit", "--since", "1h", "--until", "2h"], "--until is not after --since"),
        (&["audit", "--settle", "soon"], "no length of time"),
        (&["audit", "--producer", "edge' OR 1=1"], "neither a node"),
        (&["audit", "--nonsense"], "unexpected argument"),
        (&["journal", "verify", "data"], "no segment of a journal here"),
        (&["journal", "ls", "nowhere"], "cannot be read; give the folder of `journal.dir`"),
        (&["journal", "cat", "data/journal", "--from", "99999"], "no such frame"),
        (&["dlq", "show", "data/journal", "--sink", "kafka", "--position", "7"], "no dead letter of position 7"),
        (&["dlq", "replay", "data/journal", "--sink", "kafka", "--all"], "has no dead letters"),
        (&["dlq", "replay", "data/journal", "--sink", "kafka"], "--position <POSITION>|--all"),
    ];
    are_refused(stack, cases)
}

fn are_refused(stack: &Stack, cases: &[(&[&str], &str)]) -> anyhow::Result<()> {
    for (args, words) in cases {
        let output = tollgate(stack, args)?;
        let said = text(&output);
        ensure!(
            output.status.code() == Some(2) && said.contains(words),
            "{args:?} ends with {}:\n{said}",
            output.status
        );
    }
    Ok(())
}

/// Lets Kafka refuse large messages, or not.
fn limit_messages(stack: &mut Stack, bytes: Option<u64>) -> anyhow::Result<()> {
    stack.collector.stop()?;
    let file = stack.dir.join("collector.yaml");
    let yaml = std::fs::read_to_string(&file)?;
    let kept: Vec<&str> = yaml.lines().filter(|line| !line.contains("message_bytes_max")).collect();
    let mut lines: Vec<String> = kept.into_iter().map(str::to_owned).collect();
    if let Some(bytes) = bytes {
        let at = lines.iter().position(|line| line.contains("topic:")).context("no topic")?;
        lines.insert(at + 1, format!("    message_bytes_max: {bytes}"));
    }
    std::fs::write(&file, lines.join("\n") + "\n")?;
    stack.collector = start_collector(&stack.dir)?;
    stack.wait_ready()
}

#[test]
fn kafka_is_held_against_the_table_and_dead_letters_are_replayed() -> anyhow::Result<()> {
    let dir = tempfile::tempdir()?;
    let port = free_port()?;
    let _kafka = Scripted::start("kafka.sh", &dir.path().join("kafka"), &["--port", &port.to_string()])?;
    let mut stack = Stack::start(dir.path(), Options { kafka: Some(port), ..Options::default() })?;
    let mut producer = Producer::new(now_us() - 2 * HOUR_US, 7);
    let then = now_us() - HOUR_US;
    let tls = stack.dir.join("tls");
    post(&tls, stack.ports.ingest, &producer.batch(1..=20, then)?)?;
    post(&tls, stack.ports.ingest, &producer.gap(21, 4, then)?)?;
    let brokers = format!("127.0.0.1:{port}");
    let with_kafka = ["--kafka", brokers.as_str(), "--kafka-topic", TOPIC, "--journal", "data/journal"];
    let kafka_of = |stack: &Stack, producer: &Producer| -> anyhow::Result<Value> {
        Ok(of(&audit(stack, &with_kafka)?, producer)?["kafka"].clone())
    };
    wait_for("Kafka to have what the table has", || {
        let kafka = kafka_of(&stack, &producer)?;
        ensure!(
            kafka["present"] == 21 && kafka["missing"]["count"] == 0 && kafka["pending"]["count"] == 0,
            "{kafka:#}"
        );
        Ok(())
    })?;

    // A message cannot be smaller than its record: from here on, the sink refuses whatever comes.
    limit_messages(&mut stack, Some(1_000))?;
    post(&tls, stack.ports.ingest, &wide(&mut producer, 25..=30, then)?)?;
    wait_for("a dead letter", || {
        let listed = tollgate(&stack, &["dlq", "ls", "data/journal", "--json"])?;
        let listed: Value = serde_json::from_slice(&listed.stdout)?;
        ensure!(listed["letters"].as_array().is_some_and(|letters| letters.len() == 1), "{listed:#}");
        Ok(())
    })?;
    let kafka = wait_for("the audit to tell of it", || {
        let kafka = kafka_of(&stack, &producer)?;
        ensure!(kafka["dead_lettered"] == 6, "{kafka:#}");
        Ok(kafka)
    })?;
    ensure!(kafka["missing"]["count"] == 0, "a dead letter is no loss: {kafka:#}");
    let without = audit(&stack, &with_kafka[..4])?;
    ensure!(without["whole"] == false, "without the letters, they are not in Kafka and nobody says why: {without:#}");
    let told = text(&tollgate(&stack, &["dlq", "ls", "data/journal"])?);
    ensure!(told.contains("25..30") && told.contains("waiting") && told.contains(&producer.name), "{told}");

    let refused = tollgate(&stack, &["dlq", "replay", "data/journal", "--sink", "kafka", "--all"])?;
    ensure!(refused.status.code() == Some(1) && text(&refused).contains("refused again"), "{}", text(&refused));
    limit_messages(&mut stack, None)?;
    let position = text(&refused).split([' ', ':']).nth(1).context("a position")?.to_owned();
    let shown = tollgate(&stack, &["dlq", "show", "data/journal", "--sink", "kafka", "--position", &position])?;
    let shown: Value = serde_json::from_slice(&shown.stdout).with_context(|| text(&shown))?;
    ensure!(shown["records"].as_array().is_some_and(|records| records.len() == 6), "{shown:#}");
    ensure!(shown["letter"]["replay_refused"].is_string(), "{shown:#}");
    let delivered = tollgate(&stack, &["dlq", "replay", "data/journal", "--sink", "kafka", "--position", &position])?;
    ensure!(delivered.status.success() && text(&delivered).contains("delivered"), "{}", text(&delivered));
    let kafka = kafka_of(&stack, &producer)?;
    ensure!(kafka["present"] == 27 && kafka["dead_lettered"] == 0 && kafka["missing"]["count"] == 0, "{kafka:#}");
    ensure!(text(&tollgate(&stack, &["dlq", "ls", "data/journal"])?).contains("no dead letters"));
    lost_to_the_table(&stack, &producer, &brokers)?;
    Ok(())
}

/// A batch whose records do not fit into a message of 1,000 bytes.
/// What Kafka has and the table has not was lost: also beyond the highest number of a producer, also of an unknown one.
fn lost_to_the_table(stack: &Stack, producer: &Producer, brokers: &str) -> anyhow::Result<()> {
    let unknown = format!("{NODE}/{:x}/9", now_us());
    for (name, seq) in [(&producer.name, 31), (&unknown, 1)] {
        let message = stack.dir.join("message");
        std::fs::write(&message, "{}")?;
        let headers = [format!("tollgate.producer={name}"), format!("tollgate.seq={seq}")];
        let mut kcat = Command::new("kcat");
        kcat.args(["-P", "-b", brokers, "-t", TOPIC, "-H", &headers[0], "-H", &headers[1]]).arg(&message);
        let sent = run_any(&mut kcat)?;
        ensure!(sent.status.success(), "{}", text(&sent));
    }
    let kafka = ["--kafka", brokers, "--kafka-topic", TOPIC];
    let young = audit(stack, &kafka)?;
    ensure!(young["whole"] == true, "they are too young to say: {young:#}");
    let told = audit(stack, &[&kafka[..], &["--settle", "0s"]].concat())?;
    ensure!(told["whole"] == false && told["totals"]["only_in_kafka"] == 2, "{told:#}");
    let of_known = &of(&told, producer)?["kafka"]["not_in_table"]["runs"];
    ensure!(of_known == &serde_json::json!([[31, 31]]), "{told:#}");
    ensure!(told["kafka"]["only_in_kafka"][&unknown]["count"] == 1, "{told:#}");
    let said = text(&tollgate(stack, &[&["audit", "--settle", "0s"], &kafka[..]].concat())?);
    ensure!(said.contains("2 in Kafka and not in the table") && said.contains(&unknown), "{said}");
    Ok(())
}

fn wide(
    producer: &mut Producer,
    seqs: std::ops::RangeInclusive<i64>,
    time_us: i64,
) -> anyhow::Result<tollgate_record::SealedBatch> {
    producer.batch_with(seqs, time_us, &"x".repeat(2_000))
}
