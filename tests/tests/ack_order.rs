//! An acknowledgement never precedes the fdatasync that covers it: seen from outside, by strace on the real collector.
//!
//! Answers are encrypted, so strace cannot tell them from other bytes on the socket. Three observations make up for it:
//!
//! 1. One batch at a time: between the entry of the write of its frame and the return of a good fdatasync of the same file that
//!    was entered after the write, *no byte at all* leaves on a connection to the ingest port. strace holds each fdatasync back
//!    for a while before it lets it begin, so that an answer which did not wait for it would certainly be seen in between.
//! 2. Many at a time: for each acknowledged position, its frame's place in the segment is looked up with `tollgate journal`'s own
//!    reader, and a good fdatasync that was entered after the write of that place had returned must have returned before the client
//!    had the answer. strace takes the time of a return before it lets the process go on, from the clock that the client reads.
//! 3. When every fdatasync fails, nothing is acknowledged.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context, ensure};
use bytes::Bytes;
use tollgate_clock::now_us;
use tollgate_record::{BatchBuilder, Record, SealLimits};
use tollgate_tests::certificates;
use tollgate_tests::http::page;
use tollgate_tests::net::{free_port, wait_for};
use tollgate_tests::plausible::Facts;
use tollgate_tests::post::{Answer, Poster, client_tls};
use tollgate_tests::prober::header;
use tollgate_tests::process::{Process, binary, run, run_any};
use tollgate_tests::trace::{self, Call};

const CALLS: &str = "fdatasync,fsync,pwrite64,pwritev,pwritev2,write,writev,sendto,sendmsg,sendmmsg";
/// How long strace holds an fdatasync back before it begins.
const HELD_BACK: Duration = Duration::from_millis(30);
const ONE_BY_ONE: usize = 15;
const AT_ONCE: usize = 40;
const PATIENCE: Duration = Duration::from_secs(60);

/// A collector under strace, without sinks: only the journal is of interest.
struct Traced {
    dir: PathBuf,
    ingest: SocketAddr,
    trace: PathBuf,
    strace: Process,
}

impl Traced {
    fn start(dir: &Path, rules: &[&str]) -> anyhow::Result<Self> {
        certificates::write(&dir.join("tls"))?;
        let (ingest, admin) = (free_port()?, free_port()?);
        let yaml = format!(
            "ingest:
  address: 127.0.0.1:{ingest}
  tls: {{certificate: tls/collector.pem, key: tls/collector.key, client_ca: tls/ca.pem}}
  posts_max: 64
journal: {{dir: journal, segment_bytes: 16 MiB}}
admin: {{address: 127.0.0.1:{admin}}}
"
        );
        std::fs::write(dir.join("collector.yaml"), yaml)?;
        let trace = dir.join("trace");
        let mut command = trace::strace(&trace, CALLS, rules, &binary("tollgate")?);
        let strace =
            Process::start("strace", dir, command.args(["collector", "--config"]).arg(dir.join("collector.yaml")))?;
        wait_for("the collector to be ready", || page(admin, "/readyz")).with_context(|| strace.output())?;
        Ok(Self { dir: dir.to_path_buf(), ingest: ([127, 0, 0, 1], ingest).into(), trace, strace })
    }

    /// Stops the collector, and answers the calls when strace has ended with it.
    fn stop(mut self) -> anyhow::Result<Vec<Call>> {
        self.signal_collector("TERM")?;
        self.strace.wait()?;
        trace::read(&std::fs::read_to_string(&self.trace)?)
    }

    /// strace itself is no collector: what it hears, it keeps.
    fn signal_collector(&self, signal: &str) -> anyhow::Result<()> {
        let children = std::fs::read_to_string(format!("/proc/{0}/task/{0}/children", self.strace.id()))?;
        let collector = children.split_whitespace().next().context("strace has no child")?;
        run(Command::new("kill").args([&format!("-{signal}"), collector])).map(drop)
    }
}

impl Drop for Traced {
    fn drop(&mut self) {
        // A strace that is killed lets its program go on.
        let _ = self.signal_collector("KILL");
    }
}

/// Whether this is about a segment of the journal.
fn is_segment(call: &Call) -> bool {
    call.args.contains("/journal/") && call.args.contains(".seg")
}

/// For each frame, in order of positions from 0 on: where its payload begins in the only segment.
fn places(journal: &Path) -> anyhow::Result<Vec<u64>> {
    let segments = tollgate_journal::offline::ls(journal)?;
    ensure!(segments.len() == 1 && segments[0].positions.start == 0, "not one segment: {segments:?}");
    let bytes = std::fs::read(journal.join(&segments[0].name))?;
    let mut places = Vec::new();
    let mut from = 0;
    tollgate_journal::offline::cat(journal, 0..u64::MAX, |frame| {
        let payload = &frame.payload;
        let found = bytes[from..].windows(payload.len()).position(|window| window == payload.as_ref());
        from += found.unwrap_or_default();
        places.push(from as u64);
    })?;
    Ok(places)
}

fn batches(count: usize) -> anyhow::Result<Vec<Bytes>> {
    let producer = format!("edge-1/{:x}/0", now_us());
    let mut builder = BatchBuilder::new(header(producer), SealLimits::default());
    (0..count)
        .map(|number| {
            for seq in (number * 20 + 1)..=(number * 20 + 20) {
                builder.append(&Record { time_us: now_us(), ..Facts::of(seq as i64).record() });
            }
            Ok(builder.seal(1)?.bytes)
        })
        .collect()
}

fn now() -> anyhow::Result<f64> {
    Ok(SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs_f64())
}

fn has_strace() -> bool {
    let usable = run_any(Command::new("strace").args(["-o", "/dev/null", "true"]));
    let usable = usable.is_ok_and(|output| output.status.success());
    assert!(usable || std::env::var("CI").is_err(), "strace is missing or may not trace");
    if !usable {
        eprintln!("SKIPPED: strace is missing or may not trace; scripts/install-deps.sh test installs it");
    }
    usable
}

/// (entry of the write, return of the first good fdatasync that was entered after the write returned) of each group of frames.
fn groups(calls: &[Call]) -> Vec<(&Call, Option<f64>)> {
    let writes = calls.iter().filter(|call| call.name.starts_with("pwrite") && call.result > 0 && is_segment(call));
    let covering = |write: &Call| {
        let syncs = calls.iter().filter(|call| {
            let is_sync = matches!(call.name.as_str(), "fdatasync" | "fsync") && call.result == 0;
            is_sync && file(call) == file(write) && call.entered >= write.returned - 1e-6
        });
        syncs.map(|sync| sync.returned).min_by(f64::total_cmp)
    };
    writes.map(|write| (write, covering(write))).collect()
}

/// The first argument: a descriptor and the file's name.
fn file(call: &Call) -> &str {
    let first = call.args.split(',').next().unwrap_or_default();
    // A segment gets its name only after its header is written; descriptors are not reused while it is open.
    first.split('<').next().unwrap_or_default()
}

#[test]
fn one_by_one_no_byte_leaves_before_the_sync_returns() -> anyhow::Result<()> {
    if !has_strace() {
        return Ok(());
    }
    let dir = tempfile::tempdir()?;
    let traced =
        Traced::start(dir.path(), &["-e", &format!("inject=fdatasync:delay_enter={}", HELD_BACK.as_micros())])?;
    let tls = client_tls(&dir.path().join("tls"), "edge-1")?;
    let began = now()?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let (ingest, all) = (traced.ingest, batches(ONE_BY_ONE)?);
    runtime.block_on(async {
        let poster = Poster::connect(tls, ingest, PATIENCE).await?;
        for batch in all {
            let answer = poster.post(batch, PATIENCE).await?;
            ensure!(matches!(answer, Answer::Acknowledged { duplicate: false, .. }), "{answer:?}");
        }
        anyhow::Ok(())
    })?;
    let ended = now()?;
    let calls = traced.stop()?;
    let groups: Vec<_> =
        groups(&calls).into_iter().filter(|(write, _)| (began..ended).contains(&write.entered)).collect();
    ensure!(groups.len() == ONE_BY_ONE, "{} groups were written for {ONE_BY_ONE} batches", groups.len());
    let port = format!("127.0.0.1:{}->", ingest.port());
    let sends: Vec<&Call> = calls.iter().filter(|call| call.args.contains(&port)).collect();
    ensure!(sends.len() >= ONE_BY_ONE, "only {} writes to the clients were seen", sends.len());
    for (write, synced) in groups {
        let synced = synced.with_context(|| format!("no fdatasync covers {write:?}"))?;
        ensure!(synced - write.returned >= HELD_BACK.as_secs_f64() * 0.9, "the fdatasync was not held back: {write:?}");
        let early = sends.iter().find(|send| send.entered > write.entered && send.entered < synced);
        ensure!(early.is_none(), "{early:?} left before the fdatasync of {write:?} returned at {synced}");
    }
    Ok(())
}

#[test]
fn many_at_once_each_answer_follows_a_sync_of_its_frame() -> anyhow::Result<()> {
    if !has_strace() {
        return Ok(());
    }
    let dir = tempfile::tempdir()?;
    let traced =
        Traced::start(dir.path(), &["-e", &format!("inject=fdatasync:delay_enter={}", HELD_BACK.as_micros())])?;
    let tls = client_tls(&dir.path().join("tls"), "edge-1")?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let (ingest, all) = (traced.ingest, batches(AT_ONCE)?);
    // Position, and when the client had the answer.
    let acks: Vec<(u64, f64)> = runtime.block_on(async {
        let poster = Poster::connect(tls, ingest, PATIENCE).await?;
        let posts = all.into_iter().map(|batch| {
            let poster = poster.clone();
            tokio::spawn(async move {
                let answer = poster.post(batch, PATIENCE).await?;
                let Answer::Acknowledged { position: Some(position), .. } = answer else {
                    anyhow::bail!("{answer:?}");
                };
                Ok((position, now()?))
            })
        });
        let mut acks = Vec::new();
        for post in posts.collect::<Vec<_>>() {
            acks.push(post.await??);
        }
        anyhow::Ok(acks)
    })?;
    let places = places(&traced.dir.join("journal"))?;
    let calls = traced.stop()?;
    let groups = groups(&calls);
    ensure!(groups.len() < AT_ONCE, "the journal formed no groups: {} writes", groups.len());
    for (position, answered) in acks {
        let place = *places.get(position as usize).with_context(|| format!("no frame {position}"))?;
        let (write, synced) = groups
            .iter()
            .find(|(write, _)| covers(write, place))
            .with_context(|| format!("nobody wrote position {position} at byte {place}"))?;
        let synced = synced.with_context(|| format!("no fdatasync covers {write:?}"))?;
        ensure!(
            synced <= answered,
            "position {position} was answered at {answered}, its fdatasync returned at {synced}"
        );
    }
    Ok(())
}

/// Whether a write of `(fd, data, bytes, offset)` reaches over this byte of the file.
fn covers(write: &Call, byte: u64) -> bool {
    let mut numbers = write.args.rsplit(", ").map(|number| number.trim().parse::<u64>());
    let (Some(Ok(offset)), Some(Ok(_))) = (numbers.next(), numbers.next()) else { return false };
    (offset..offset + write.result.max(0) as u64).contains(&byte)
}

#[test]
fn nothing_is_acknowledged_while_syncs_fail() -> anyhow::Result<()> {
    if !has_strace() {
        return Ok(());
    }
    let dir = tempfile::tempdir()?;
    // Those of the first segment alone, once it has its name: the collector could not start otherwise.
    let segment = dir.path().join("journal/00000000000000000000.seg").display().to_string();
    let traced = Traced::start(dir.path(), &["-e", "inject=fdatasync:error=EIO", "-P", &segment])?;
    let tls = client_tls(&dir.path().join("tls"), "edge-1")?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let (ingest, all) = (traced.ingest, batches(3)?);
    runtime.block_on(async {
        let poster = Poster::connect(tls, ingest, PATIENCE).await?;
        for batch in all {
            match poster.post(batch, PATIENCE).await? {
                Answer::Refused { status: 503, retry_after: Some(_), .. } => {}
                other => anyhow::bail!("answered {other:?} although no fdatasync succeeds"),
            }
        }
        anyhow::Ok(())
    })?;
    let injected = std::fs::read_to_string(&traced.trace)?.matches("(INJECTED)").count();
    ensure!(injected > 0, "no fdatasync was made to fail");
    Ok(())
}
