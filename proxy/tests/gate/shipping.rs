//! Delivery of records: acknowledged, spooled, shed, or quarantined. The sum is always the number issued.

use std::time::Duration;

use serde_json::json;
use tollgate_demo_ca::DemoCa;
use tollgate_proxy::plan::RuntimeConfig;
use tollgate_proxy::quarantine::{self, QuarantineError};

use crate::rig::{Gate, PATIENCE, Setup, Upstream, assert_row};
use crate::upstream_rig::{Nobody, eventually};

const OK: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello";

fn gate_with(records: &str) -> Gate {
    let upstream = Upstream::answering(OK);
    Gate::with(&Setup { targets: &[format!("http://{}", upstream.addr)], records, ..Setup::default() })
}

/// Sends requests, each in a batch of its own.
fn send(gate: &Gate, count: usize) {
    for _ in 0..count {
        assert!(gate.get("/api").starts_with("HTTP/1.1 200"));
        std::thread::sleep(Duration::from_millis(30));
    }
}

#[test]
fn what_the_collector_cannot_take_now_is_sent_again() {
    let gate = gate_with("");
    gate.collector.state.lock().unwrap().script = vec![503, 429, 0, 500];
    send(&gate, 2);
    gate.rows(2);
    assert!(gate.metric("tollgate_proxy_ship_errors_total") >= 4.0);
    eventually("acks are counted", || gate.metric("tollgate_proxy_records_acked_total") == 2.0);
    assert_eq!(gate.finish().len(), 2);
}

#[test]
fn a_retry_after_of_nothing_does_not_bypass_the_backoff() {
    for asked in ["0", "Thu, 01 Jan 1970 00:00:10 GMT"] {
        let gate = gate_with("  backoff_min: 1h\n  backoff_max: 1h");
        {
            let mut state = gate.collector.state.lock().unwrap();
            (state.always, state.retry_after) = (Some(503), Some(asked));
        }
        send(&gate, 1);
        eventually("it was refused", || gate.metric("tollgate_proxy_ship_errors_total") >= 1.0);
        std::thread::sleep(Duration::from_millis(200));
        assert_eq!(gate.collector.state.lock().unwrap().answers, [503], "{asked}");
        gate.collector.state.lock().unwrap().always = None;
        assert_eq!(gate.finish().len(), 1);
    }
}

#[test]
fn a_proxy_that_stops_tries_at_once_what_waits_for_its_next_try() {
    // The next try would be long after the end, and there is no spool to keep the batch.
    let mut gate = gate_with("  backoff_min: 1h\n  backoff_max: 1h");
    gate.collector.state.lock().unwrap().always = Some(503);
    send(&gate, 1);
    eventually("it was refused", || gate.metric("tollgate_proxy_ship_errors_total") >= 1.0);
    gate.collector.state.lock().unwrap().always = None;
    gate.stop(PATIENCE);
    let rows = gate.collector.rows();
    assert_eq!(rows.len(), 1);
    assert_row(&rows[0], json!({"tollgate.seq": 1, "tollgate.kind": "transaction"}));
}

#[test]
fn what_is_left_is_shipped_for_a_bounded_time() {
    let mut gate = gate_with("  stop_timeout: 1ms\n  spool: {dir: spool}");
    gate.collector.state.lock().unwrap().always = Some(503);
    send(&gate, 1);
    eventually("it was refused", || gate.metric("tollgate_proxy_ship_errors_total") >= 1.0);
    let tries = gate.collector.state.lock().unwrap().answers.len();
    gate.stop(PATIENCE);
    // Without the backoff, five seconds would have some hundred tries.
    assert!(gate.collector.state.lock().unwrap().answers.len() <= tries + 10);
    let spooled = std::fs::read_dir(gate.dir.path().join("spool")).unwrap().flatten();
    let names = spooled.map(|entry| entry.file_name().into_string().unwrap());
    assert_eq!(names.filter(|name| name.ends_with(".arrows.zst")).count(), 1);
}

#[test]
fn what_the_collector_refuses_is_set_aside_and_reported() {
    let gate = gate_with("  quarantine_dir: quarantine");
    gate.collector.state.lock().unwrap().script = vec![400];
    send(&gate, 2);
    let rows = gate.rows(2);
    let gap = rows.iter().find(|row| row["tollgate.kind"] == "gap").unwrap();
    assert_row(gap, json!({"tollgate.seq": 1, "tollgate.gap_count": 1, "tollgate.gap_reason": "quarantined"}));
    assert_eq!(gate.metric("tollgate_proxy_batches_refused_total"), 1.0);
    assert_eq!(gate.metric("tollgate_proxy_records_shed_total"), 1.0);
    let plan = RuntimeConfig::load(&gate.dir.path().join("gate.yaml")).unwrap();
    let mut listed = Vec::new();
    quarantine::list(&plan.records, &mut listed).unwrap();
    let listed = String::from_utf8(listed).unwrap();
    let fields: Vec<&str> = listed.trim_end().split('\t').collect();
    assert_eq!((fields.len(), fields[1], fields[3], fields[5]), (6, "1", "400", "told to"), "{listed}");
    let mut shown = Vec::new();
    quarantine::show(&plan.records, fields[0], &mut shown).unwrap();
    assert_row(&serde_json::from_slice(&shown).unwrap(), json!({"tollgate.seq": 1, "http.route": "/api/{rest}"}));
    // A batch that is refused again stays; a batch that is accepted goes.
    let replay = || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(quarantine::replay(&plan.records, None, &mut Vec::new()))
    };
    gate.collector.state.lock().unwrap().script = vec![413];
    assert!(matches!(replay(), Err(QuarantineError::Left { left: 1 })));
    gate.collector.state.lock().unwrap().script = vec![503];
    replay().unwrap();
    assert_eq!(std::fs::read_dir(gate.dir.path().join("quarantine")).unwrap().count(), 0);
    let rows = gate.finish();
    let transactions = rows.iter().filter(|row| row["tollgate.kind"] == "transaction").count();
    assert_eq!((rows.len(), transactions), (3, 2));
}

#[test]
fn what_the_collector_forbids_waits_is_told_and_holds_up_nobody_else() {
    let mut gate = gate_with("  spool: {dir: spool}\n  quarantine_dir: quarantine");
    gate.collector.state.lock().unwrap().always = Some(403);
    send(&gate, 3);
    let told = || crate::rig::get_text(gate.admin, "/readyz");
    eventually("it is told", || told().contains("does not let this proxy speak for node gate-1: told to"));
    assert!(told().starts_with("HTTP/1.1 200"));
    assert_eq!(gate.metric("tollgate_proxy_batches_refused_total"), 0.0);
    assert_eq!(gate.metric("tollgate_proxy_records_shed_total"), 0.0);
    gate.collector.state.lock().unwrap().always = None;
    eventually("all arrive", || gate.collector.rows().len() == 3);
    eventually("it is told no more", || !told().contains("records:"));
    // One node leaves a batch in the spool; another node may not post for it.
    gate.collector.state.lock().unwrap().always = Some(403);
    send(&gate, 1);
    eventually("counts are added up", || gate.metric("tollgate_proxy_records_issued_total") == 4.0);
    gate.stop(Duration::from_millis(100));
    gate.collector.state.lock().unwrap().forbidden = Some("gate-1/".into());
    gate.collector.state.lock().unwrap().always = None;
    let later = succeed(gate, "  spool: {dir: spool}\n  quarantine_dir: quarantine", "gate-2");
    send(&later, 1);
    eventually("its own arrives", || later.collector.rows().len() == 4);
    assert!(later.metric("tollgate_proxy_spool_bytes") > 0.0);
    later.collector.state.lock().unwrap().forbidden = None;
    eventually("the other's too", || later.collector.rows().len() == 5);
}

#[test]
fn without_room_the_newest_are_shed_counted_and_reported() {
    // Room for a few batches of one record each.
    let gate = gate_with("  ring_bytes_max: 16 KiB");
    gate.collector.state.lock().unwrap().always = Some(503);
    send(&gate, 20);
    eventually("some are shed", || gate.metric("tollgate_proxy_records_shed_total") > 0.0);
    eventually("counts are added up", || gate.metric("tollgate_proxy_records_issued_total") == 20.0);
    let ring = gate.metric("tollgate_proxy_ring_bytes");
    assert!(ring > 0.0 && ring <= 16_384.0, "{ring}");
    gate.collector.state.lock().unwrap().always = None;
    let shed = gate.metric("tollgate_proxy_records_shed_total");
    eventually("the rest arrives", || gate.metric("tollgate_proxy_records_acked_total") + shed == 20.0);
    eventually("the gap arrives", || {
        let rows = gate.collector.rows();
        let gaps = rows.iter().filter_map(|row| row["tollgate.gap_count"].as_i64()).sum::<i64>();
        gaps as f64 == shed
    });
    let rows = gate.finish();
    let mut covered: Vec<i64> = Vec::new();
    for row in &rows {
        let seq = row["tollgate.seq"].as_i64().unwrap();
        let count = row["tollgate.gap_count"].as_i64().unwrap_or(1);
        covered.extend(seq..seq + count);
        if row["tollgate.kind"] == "gap" {
            assert_row(row, json!({"tollgate.gap_reason": "buffer_full"}));
        }
    }
    covered.sort_unstable();
    assert_eq!(covered, (1..=20).collect::<Vec<_>>(), "every number is a record or in a gap, once");
}

#[test]
fn the_spool_takes_over_and_a_later_process_replays_it() {
    let mut gate = gate_with("  ring_bytes_max: 32 KiB\n  spool: {dir: spool, bytes_max: 1 MiB}");
    gate.collector.state.lock().unwrap().always = Some(503);
    send(&gate, 10);
    eventually("counts are added up", || gate.metric("tollgate_proxy_records_issued_total") == 10.0);
    eventually("some are spooled", || gate.metric("tollgate_proxy_spool_bytes") > 0.0);
    assert_eq!(gate.metric("tollgate_proxy_records_shed_total"), 0.0);
    gate.stop(Duration::from_millis(500));
    assert!(gate.collector.rows().is_empty());
    let spool = gate.dir.path().join("spool");
    let files = || std::fs::read_dir(&spool).unwrap().flatten().map(|entry| entry.path());
    let batches = || files().filter(|path| path.to_str().unwrap().ends_with(".arrows.zst"));
    assert_eq!(batches().count(), 10, "all of it is on disk");
    // One file is damaged in the meantime.
    let damaged = batches().next().unwrap();
    let mut bytes = std::fs::read(&damaged).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    std::fs::write(&damaged, bytes).unwrap();
    gate.collector.state.lock().unwrap().always = None;
    let (dir, collector) = (tempfile::tempdir().unwrap(), gate.collector.clone());
    std::fs::rename(&spool, dir.path().join("spool")).unwrap();
    std::fs::rename(gate.dir.path().join("tls"), dir.path().join("tls")).unwrap();
    let ca = DemoCa::open(&dir.path().join("tls")).unwrap();
    let targets = [format!("http://{}", Upstream::answering(OK).addr)];
    let setup = Setup { targets: &targets, records: "  spool: {dir: spool}", ..Setup::default() };
    let later = Gate::around(dir, ca, collector, &setup);
    let rows = later.rows(9);
    eventually("the spool is empty", || later.metric("tollgate_proxy_spool_bytes") == 0.0);
    assert_eq!(later.metric("tollgate_proxy_records_shed_total"), 1.0, "the damaged one is counted");
    assert_eq!(std::fs::read_dir(later.dir.path().join("spool/bad")).unwrap().count(), 1);
    assert!(rows.iter().all(|row| row["tollgate.kind"] == "transaction"));
    assert_eq!(later.finish().len(), 9);
}

#[test]
fn a_full_spool_sheds() {
    let gate = gate_with("  ring_bytes_max: 32 KiB\n  spool: {dir: spool, bytes_max: 8 KiB}");
    gate.collector.state.lock().unwrap().always = Some(503);
    send(&gate, 20);
    eventually("some are shed", || gate.metric("tollgate_proxy_records_shed_total") > 0.0);
    let exposition = crate::rig::get_text(gate.admin, "/metrics");
    assert!(exposition.contains("records_shed_total{reason=\"spool_full\"}"), "{exposition}");
    gate.collector.state.lock().unwrap().always = None;
    eventually("issued = acknowledged + shed", || {
        gate.metric("tollgate_proxy_records_acked_total") + gate.metric("tollgate_proxy_records_shed_total") == 20.0
    });
}

/// Starts a later process on the folder and the collector of an earlier one.
fn succeed(gate: Gate, records: &str, node: &str) -> Gate {
    let (dir, collector) = (tempfile::tempdir().unwrap(), gate.collector.clone());
    for name in ["spool", "tls"] {
        std::fs::rename(gate.dir.path().join(name), dir.path().join(name)).unwrap();
    }
    let ca = DemoCa::open(&dir.path().join("tls")).unwrap();
    let targets = [format!("http://{}", Upstream::answering(OK).addr)];
    Gate::around(dir, ca, collector, &Setup { targets: &targets, records, node, ..Setup::default() })
}

#[test]
fn what_is_shed_at_the_end_is_reported_by_the_next_process() {
    // Two files of a block each fit. The ring holds the rest, which is lost at the end.
    let records = "  ring_bytes_max: 256 KiB\n  spool: {dir: spool, bytes_max: 8 KiB}";
    let mut gate = gate_with(records);
    gate.collector.state.lock().unwrap().always = Some(503);
    send(&gate, 8);
    eventually("counts are added up", || gate.metric("tollgate_proxy_records_issued_total") == 8.0);
    assert_eq!(gate.metric("tollgate_proxy_records_shed_total"), 0.0);
    gate.stop(Duration::from_millis(200));
    assert!(gate.collector.rows().is_empty());
    gate.collector.state.lock().unwrap().always = None;
    let later = succeed(gate, records, "gate-1");
    eventually("the spool is empty", || later.metric("tollgate_proxy_spool_bytes") == 0.0);
    assert_covered(&later.finish(), 8, "spool_full");
}

#[test]
fn a_spool_that_cannot_be_written_sheds_for_its_own_reason_and_recovers() {
    let gate = gate_with("  ring_bytes_max: 32 KiB\n  spool: {dir: spool, bytes_max: 1 MiB}");
    gate.collector.state.lock().unwrap().always = Some(503);
    let (spool, away) = (gate.dir.path().join("spool"), gate.dir.path().join("away"));
    std::fs::rename(&spool, &away).unwrap();
    send(&gate, 20);
    eventually("some are shed", || gate.metric("tollgate_proxy_records_shed_total") > 0.0);
    let exposition = crate::rig::get_text(gate.admin, "/metrics");
    assert!(exposition.contains("records_shed_total{reason=\"spool_failed\"}"), "{exposition}");
    let ready = crate::rig::get_text(gate.admin, "/readyz");
    assert!(ready.starts_with("HTTP/1.1 200") && ready.contains("the spool cannot be written"), "{ready}");
    std::fs::rename(&away, &spool).unwrap();
    eventually("the spool is used again", || gate.metric("tollgate_proxy_spool_bytes") > 0.0);
    gate.collector.state.lock().unwrap().always = None;
    eventually("issued = acknowledged + shed", || {
        gate.metric("tollgate_proxy_records_acked_total") + gate.metric("tollgate_proxy_records_shed_total") == 20.0
    });
    assert_covered(&gate.finish(), 20, "spool_failed");
}

/// Asserts that every number is in one record or one gap.
fn assert_covered(rows: &[serde_json::Value], issued: i64, reason: &str) {
    let mut covered: Vec<i64> = Vec::new();
    let mut gaps = 0;
    for row in rows {
        let seq = row["tollgate.seq"].as_i64().unwrap();
        covered.extend(seq..seq + row["tollgate.gap_count"].as_i64().unwrap_or(1));
        if row["tollgate.kind"] == "gap" {
            gaps += 1;
            assert_row(row, json!({"tollgate.gap_reason": reason}));
        }
    }
    covered.sort_unstable();
    assert_eq!(covered, (1..=issued).collect::<Vec<_>>());
    assert!(gaps > 0, "some were shed");
}

#[test]
fn block_makes_requests_wait_instead() {
    let gate = gate_with("  ring_bytes_max: 12 KiB\n  overflow: block");
    gate.collector.state.lock().unwrap().always = Some(503);
    std::thread::scope(|scope| {
        let sending = scope.spawn(|| send(&gate, 12));
        std::thread::sleep(Duration::from_millis(900));
        assert!(!sending.is_finished(), "requests wait");
        let ready = crate::rig::get_text(gate.admin, "/readyz");
        assert!(ready.starts_with("HTTP/1.1 503") && ready.contains("requests wait"), "{ready}");
        gate.collector.state.lock().unwrap().always = None;
        sending.join().unwrap();
    });
    assert_eq!(gate.finish().iter().filter(|row| row["tollgate.kind"] == "transaction").count(), 12);
}

#[test]
fn the_next_collector_is_used_when_one_is_away() {
    let away = Nobody::there();
    let targets = [format!("http://{}", Upstream::answering(OK).addr)];
    let gate = Gate::with(&Setup { targets: &targets, first_collector: Some(away.addr), ..Setup::default() });
    send(&gate, 2);
    gate.rows(2);
    assert!(gate.metric("tollgate_proxy_ship_errors_total") >= 1.0);
    assert_eq!(gate.finish().len(), 2);
}

#[test]
fn batches_sealed_on_another_thread_keep_their_numbers() {
    use std::io::Write;
    let gate = gate_with("  batch_records_max: 300");
    let mut stream = gate.connect();
    for _ in 0..2_000 {
        stream.write_all(b"GET /api HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
        crate::rig::read_until(&mut stream, "hello").unwrap();
    }
    drop(stream);
    // A stopping proxy ships for a bounded time only.
    eventually("all are acknowledged", || gate.metric("tollgate_proxy_records_acked_total") == 2_000.0);
    // The double drops a batch whose number it has seen, so a number used twice would lose rows here.
    let rows = gate.finish();
    let mut seqs: Vec<i64> = rows.iter().map(|row| row["tollgate.seq"].as_i64().unwrap()).collect();
    seqs.sort_unstable();
    assert_eq!(seqs, (1..=2_000).collect::<Vec<_>>());
}
