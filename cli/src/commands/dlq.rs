//! `tollgate dlq ls | show | replay`: what a sink refused for good.

use std::io::{self, Write};
use std::path::Path;
use std::process::ExitCode;
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use serde_json::{Value, json};
use tollgate_audit::time_text;
use tollgate_collector::dlq::{self, DeadLetter, Place};

use crate::args::{DlqArgs, DlqCommand, DlqLsArgs, DlqReplayArgs, DlqShowArgs};
use crate::exit::{self, FAILED};
use crate::output::{Columns, EscapingWriter, bytes_text};

/// How often a replayed letter is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// Runs the command.
pub fn main(args: &DlqArgs) -> anyhow::Result<ExitCode> {
    let done = match &args.command {
        DlqCommand::Ls(args) => ls(args),
        DlqCommand::Show(args) => show(args),
        DlqCommand::Replay(args) => replay(args),
    };
    exit::or_usage(done)
}

fn list(dir: &Path) -> anyhow::Result<Vec<DeadLetter>> {
    dlq::list(dir).with_context(|| {
        format!("{}: the dead letters cannot be read; give the folder of `journal.dir`", dir.display())
    })
}

fn ls(args: &DlqLsArgs) -> anyhow::Result<ExitCode> {
    let is_asked = |sink: &str| args.sink.as_ref().is_none_or(|asked| asked == sink);
    let mut letters = list(&args.dir)?;
    letters.retain(|letter| is_asked(&letter.sink));
    let mut skipped =
        dlq::skipped(&args.dir).with_context(|| format!("{}: reading what was skipped", args.dir.display()))?;
    skipped.retain(|range| is_asked(&range.sink));
    let mut out = io::stdout().lock();
    if args.json {
        writeln!(out, "{}", serde_json::to_string_pretty(&json!({ "letters": letters, "skipped": skipped }))?)?;
        return Ok(ExitCode::SUCCESS);
    }
    let mut out = EscapingWriter(out);
    if letters.is_empty() {
        writeln!(out, "no dead letters")?;
    } else {
        let mut columns =
            Columns::new(&["SINK", "POSITION", "BYTES", "RECORDS", "PRODUCER", "SEQ", "REFUSED", "STATE", "REASON"]);
        for letter in &letters {
            columns.row(cells(letter));
        }
        columns.print(&mut out)?;
    }
    for range in &skipped {
        writeln!(
            out,
            "{} passed over positions {}..{} ({} frames, {} records) at {}: {}",
            range.sink,
            range.from,
            range.to,
            range.frames,
            range.rows,
            time_text(range.at_us),
            range.reason
        )?;
    }
    Ok(ExitCode::SUCCESS)
}

fn cells(letter: &DeadLetter) -> Vec<String> {
    let state = if letter.place == Place::Waiting { "waiting" } else { "replaying" };
    let told = letter.letter.as_ref();
    let text = |of: fn(&dlq::Letter) -> String| told.map_or_else(|| "-".to_owned(), of);
    vec![
        letter.sink.clone(),
        letter.position.to_string(),
        bytes_text(letter.bytes),
        text(|told| told.rows.to_string()),
        text(|told| told.producer.clone()),
        text(|told| format!("{}..{}", told.first_seq, told.last_seq)),
        text(|told| time_text(told.rejected_us)),
        state.to_owned(),
        told.map_or_else(|| "its letter is lost".to_owned(), reason),
    ]
}

fn reason(letter: &dlq::Letter) -> String {
    match &letter.replay_refused {
        Some(again) if *again != letter.reason => format!("{}; replayed, and refused: {again}", letter.reason),
        Some(_) => format!("{}; replayed, and refused again", letter.reason),
        None => letter.reason.clone(),
    }
}

fn show(args: &DlqShowArgs) -> anyhow::Result<ExitCode> {
    let letter = find(&args.dir, &args.sink, args.position)?;
    let payload = std::fs::read(&letter.payload)
        .with_context(|| format!("{} cannot be read; run this as the collector's user", letter.payload.display()))?;
    let mut lines = Vec::new();
    let records = match super::journal::records(&payload, &mut lines) {
        Ok(()) => {
            lines.split(|byte| *byte == b'\n').filter_map(|line| serde_json::from_slice::<Value>(line).ok()).collect()
        }
        Err(error) => Value::String(format!("cannot be decoded: {error:#}")),
    };
    let mut document = serde_json::to_value(&letter)?;
    document["records"] = records;
    writeln!(io::stdout().lock(), "{}", serde_json::to_string_pretty(&document)?)?;
    Ok(ExitCode::SUCCESS)
}

fn find(dir: &Path, sink: &str, position: u64) -> anyhow::Result<DeadLetter> {
    let found =
        dlq::place(dir, sink, position).with_context(|| format!("{}: reading the dead letters", dir.display()))?;
    found.with_context(|| {
        format!(
            "the {sink} sink has no dead letter of position {position}; `tollgate dlq ls {}` lists them",
            dir.display()
        )
    })
}

fn replay(args: &DlqReplayArgs) -> anyhow::Result<ExitCode> {
    let chosen: Vec<DeadLetter> = if args.all {
        list(&args.dir)?.into_iter().filter(|letter| letter.sink == args.sink).collect()
    } else {
        args.position.iter().map(|position| find(&args.dir, &args.sink, *position)).collect::<anyhow::Result<_>>()?
    };
    ensure!(
        !chosen.is_empty(),
        "the {} sink has no dead letters; `tollgate dlq ls {}` lists those of all sinks",
        args.sink,
        args.dir.display()
    );
    for letter in &chosen {
        dlq::replay(letter, &args.dir).with_context(|| {
            format!("{} cannot be moved; run this as the collector's user", letter.payload.display())
        })?;
    }
    let mut out = EscapingWriter(io::stdout().lock());
    if args.wait == 0 {
        writeln!(out, "{} letters wait in replay/ for the collector", chosen.len())?;
        return Ok(ExitCode::SUCCESS);
    }
    let refused = wait(args, &chosen, &mut out)?;
    Ok(if refused == 0 { ExitCode::SUCCESS } else { ExitCode::from(FAILED) })
}

/// Waits for the sink's answers, and tells them; how many it refused again.
fn wait(args: &DlqReplayArgs, chosen: &[DeadLetter], out: &mut impl Write) -> anyhow::Result<usize> {
    let deadline = Instant::now() + Duration::from_secs(args.wait);
    let mut left: Vec<u64> = chosen.iter().map(|letter| letter.position).collect();
    let mut refused = 0;
    while !left.is_empty() {
        let mut still = Vec::new();
        for position in left {
            match dlq::place(&args.dir, &args.sink, position)? {
                None => writeln!(out, "position {position}: delivered")?,
                Some(letter) if letter.place == Place::Waiting => {
                    refused += 1;
                    let why = letter.letter.and_then(|letter| letter.replay_refused);
                    writeln!(
                        out,
                        "position {position}: refused again: {}",
                        why.unwrap_or_else(|| "no reason is written".to_owned())
                    )?;
                }
                Some(_) => still.push(position),
            }
        }
        left = still;
        if !left.is_empty() {
            if Instant::now() >= deadline {
                bail!(
                    "{} letters had no answer within {} s: they stay in replay/, and a running collector with this sink delivers them \
                     (its /status says what keeps it; `tollgate dlq ls {}` shows where they are)",
                    left.len(),
                    args.wait,
                    args.dir.display()
                );
            }
            sleep(LOOK_EVERY);
        }
    }
    Ok(refused)
}
