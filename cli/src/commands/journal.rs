//! `tollgate journal ls | verify | cat`: a journal read from its folder. Nothing is written there and no lock is taken.

use std::io::{self, Write};
use std::ops::ControlFlow;
use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context, ensure};
use serde_json::{Value, json};
use tollgate_audit::time_text;
use tollgate_collector::{CURSOR_DIR, decode_cursor, journal_folder};
use tollgate_journal::{Frame, offline};
use tollgate_record::json::Rows;
use tollgate_record::{DecodeLimits, decode};

use crate::args::{JournalArgs, JournalCatArgs, JournalCommand, JournalDirArgs, JournalLsArgs};
use crate::exit::{self, FAILED};
use crate::output::{Columns, EscapingWriter, bytes_text, count_text};

/// Producers that a segment's line names.
const PRODUCERS_SHOWN: usize = 2;

/// Runs the command. Damage is an answer (exit status 1); a folder that cannot be read is not (2).
pub fn main(args: &JournalArgs) -> anyhow::Result<ExitCode> {
    let done = match &args.command {
        JournalCommand::Ls(args) => ls(args),
        JournalCommand::Verify(args) => verify(args),
        JournalCommand::Cat(args) => cat(args),
    };
    exit::or_usage(done)
}

/// How far a sink has got.
struct Cursor {
    sink: String,
    /// Next position to deliver; `None` if the file is damaged.
    next: Option<u64>,
}

fn cursors(dir: &Path) -> anyhow::Result<Vec<Cursor>> {
    let entries = match std::fs::read_dir(dir.join(CURSOR_DIR)) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.with_context(|| format!("{}/{CURSOR_DIR} cannot be read", dir.display()))?,
    };
    let mut cursors = Vec::new();
    for entry in entries {
        let path = entry?.path();
        let Some(sink) = path.file_name().and_then(|name| name.to_str()?.strip_suffix(".cursor")) else { continue };
        // The collector replaces the file by a rename: a reader finds the old or the new one, never a part.
        let bytes = std::fs::read(&path).with_context(|| format!("{} cannot be read", path.display()))?;
        cursors.push(Cursor { sink: sink.to_owned(), next: decode_cursor(&bytes) });
    }
    cursors.sort_by(|a, b| a.sink.cmp(&b.sink));
    Ok(cursors)
}

fn ls(args: &JournalLsArgs) -> anyhow::Result<ExitCode> {
    let dir = args.journal.dir.as_path();
    journal_folder(dir)?;
    // The cursors first: frames appended meanwhile then show as lag, never as a cursor past the end.
    let cursors = cursors(dir)?;
    let segments = offline::ls(dir)?;
    let end = segments.last().map_or(0, |segment| segment.positions.end);
    let frames_after = |next: u64| end.saturating_sub(next);
    let mut out = io::stdout().lock();
    if args.json {
        let cursors: Vec<Value> = cursors
            .iter()
            .map(|cursor| json!({ "sink": cursor.sink, "next_position": cursor.next, "lag_frames": cursor.next.map(frames_after) }))
            .collect();
        let segments: Vec<Value> = segments.iter().map(segment_json).collect();
        let document = json!({ "segments": segments, "next_position": end, "sinks": cursors });
        writeln!(out, "{}", serde_json::to_string_pretty(&document)?)?;
        return Ok(ExitCode::SUCCESS);
    }
    let mut out = EscapingWriter(out);
    let mut columns = Columns::new(&[
        "SEGMENT",
        "FROM",
        "TO",
        "FRAMES",
        "RECORDS",
        "BYTES",
        "RECEIVED",
        "UNTIL",
        "PRODUCERS",
        "STATE",
    ]);
    for segment in &segments {
        let (received, until) =
            segment.received_us.map_or_else(Default::default, |(first, last)| (time_text(first), time_text(last)));
        let last = if segment.frames == 0 { String::new() } else { (segment.positions.end - 1).to_string() };
        columns.row(vec![
            segment.name.clone(),
            segment.positions.start.to_string(),
            last,
            count_text(segment.frames),
            count_text(segment.rows),
            bytes_text(segment.used_bytes),
            received,
            until,
            producers_text(&segment.producers),
            state_text(segment),
        ]);
    }
    columns.print(&mut out)?;
    writeln!(out)?;
    let mut columns = Columns::new(&["SINK", "NEXT POSITION", "FRAMES BEHIND"]);
    for cursor in &cursors {
        let cells = match cursor.next {
            Some(next) => [next.to_string(), frames_after(next).to_string()],
            None => ["damaged".to_owned(), "-".to_owned()],
        };
        columns.row([vec![cursor.sink.clone()], cells.to_vec()].concat());
    }
    columns.print(&mut out)?;
    Ok(ExitCode::SUCCESS)
}

fn segment_json(segment: &offline::SegmentSummary) -> Value {
    json!({
        "name": segment.name,
        "first_position": segment.positions.start,
        "next_position": segment.positions.end,
        "frames": segment.frames,
        "records": segment.rows,
        "used_bytes": segment.used_bytes,
        "file_bytes": segment.file_bytes,
        "first_received_us": segment.received_us.map(|(first, _)| first),
        "last_received_us": segment.received_us.map(|(_, last)| last),
        "producers": segment.producers,
        "unfinished_bytes": segment.unfinished.as_ref().map(|bytes| [bytes.start, bytes.end]),
        "problems": segment.problems,
    })
}

fn producers_text(producers: &[String]) -> String {
    let shown = producers.iter().take(PRODUCERS_SHOWN).map(String::as_str).collect::<Vec<_>>().join(" ");
    match producers.len().saturating_sub(PRODUCERS_SHOWN) {
        0 => shown,
        more => format!("{shown} +{more}"),
    }
}

fn state_text(segment: &offline::SegmentSummary) -> String {
    match (segment.problems.len(), &segment.unfinished) {
        (0, None) => "fine".to_owned(),
        (0, Some(_)) => "fine, a write is unfinished".to_owned(),
        (problems, _) => format!("DAMAGED in {problems} places: tollgate journal verify"),
    }
}

fn verify(args: &JournalDirArgs) -> anyhow::Result<ExitCode> {
    let dir = args.dir.as_path();
    journal_folder(dir)?;
    let verdict = offline::verify(dir)?;
    let mut out = EscapingWriter(io::stdout().lock());
    for problem in &verdict.problems {
        writeln!(out, "DAMAGED {problem}")?;
    }
    if let Some((segment, bytes)) = &verdict.unfinished {
        writeln!(
            out,
            "note: {segment}: bytes {}..{} at its end are no whole frame: a write that is under way, or was when its collector was killed; \
             nothing that was acknowledged is in them",
            bytes.start, bytes.end
        )?;
    }
    for (name, bytes) in &verdict.quarantine {
        writeln!(out, "note: quarantine/{name} holds {bytes} bytes that were set aside")?;
    }
    writeln!(
        out,
        "{} frames with {} records, {}: {}",
        count_text(verdict.frames),
        count_text(verdict.rows),
        bytes_text(verdict.used_bytes),
        if verdict.problems.is_empty() {
            "every checksum holds and no position is missing"
        } else {
            "DAMAGED, keep the folder as it is"
        }
    )?;
    Ok(if verdict.problems.is_empty() { ExitCode::SUCCESS } else { ExitCode::from(FAILED) })
}

fn cat(args: &JournalCatArgs) -> anyhow::Result<ExitCode> {
    let dir = args.journal.dir.as_path();
    journal_folder(dir)?;
    let end = args.to.map_or(u64::MAX, |last| last.saturating_add(1));
    ensure!(args.from < end, "--to is before --from: there is nothing between them");
    if let Some(raw) = &args.raw {
        std::fs::create_dir_all(raw).with_context(|| format!("--raw: {} cannot be created", raw.display()))?;
    }
    let mut out = io::BufWriter::new(io::stdout().lock());
    let mut failed = None;
    let mut found = 0_u64;
    let wanted = |frame: &Frame| args.producer.as_ref().is_none_or(|name| frame.producer.starts_with(name.as_str()));
    offline::frames(dir, args.from..end, |frame| {
        if !wanted(&frame) {
            return ControlFlow::Continue(());
        }
        found += 1;
        match print(&frame, args, &mut out) {
            Ok(()) => ControlFlow::Continue(()),
            Err(error) => {
                failed = Some(error);
                ControlFlow::Break(())
            }
        }
    })?;
    if let Some(error) = failed {
        return Err(error);
    }
    out.flush()?;
    ensure!(found > 0, "no such frame is in the journal; `tollgate journal ls {}` lists the positions", dir.display());
    Ok(ExitCode::SUCCESS)
}

fn print(frame: &Frame, args: &JournalCatArgs, out: &mut impl Write) -> anyhow::Result<()> {
    if let Some(dir) = &args.raw {
        let file = dir.join(format!("{:020}.arrows.zst", frame.position));
        std::fs::write(&file, &frame.payload).with_context(|| format!("writing {}", file.display()))?;
        writeln!(out, "{}", file.display())?;
        return Ok(());
    }
    if args.records {
        return records(&frame.payload, out)
            .with_context(|| format!("position {}: the batch cannot be decoded; --raw writes it out", frame.position));
    }
    let line = json!({
        "position": frame.position,
        "producer": &*frame.producer,
        "batch_seq": frame.batch_seq,
        "first_seq": frame.first_seq,
        "last_seq": frame.last_seq,
        "records": frame.rows,
        "bytes": frame.payload.len(),
        "received": time_text(frame.received_us),
        "received_us": frame.received_us,
    });
    writeln!(out, "{line}")?;
    Ok(())
}

/// A batch's records as the Kafka sink writes them: one JSON object a line.
pub fn records(payload: &[u8], out: &mut impl Write) -> anyhow::Result<()> {
    let batch = decode(payload, &DecodeLimits::default())?;
    let mut rows = Rows::of(&batch.records, &batch.meta);
    let mut line = Vec::new();
    for row in 0..batch.records.num_rows() {
        line.clear();
        rows.write(row, &mut line);
        line.push(b'\n');
        out.write_all(&line)?;
    }
    Ok(())
}
