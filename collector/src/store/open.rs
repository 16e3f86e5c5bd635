//! Opens the data folder, before the first post is answered.

use std::fs;
use std::io;
use std::path::Path;
use std::sync::Arc;

use tollgate_journal::{Journal, Options, Recovery};
use tollgate_record::decode;
use tollgate_sink::{Delivery, LiveObserver, Position};

use crate::config::{CollectorConfig, JournalConfig};
use crate::error::StartError;
use crate::metrics::Metrics;
use crate::store::READ_LIMITS;
use crate::store::checkpoint;
use crate::store::cursor_file::{CURSOR_DIR, CursorFile, Found};
use crate::store::durable_file;
use crate::store::journal_id::{self, holds_segments};
use crate::store::ledger::Ledger;
use crate::store::recent::Recent;
use crate::store::restart_report::RestartReport;

/// File that tries out the data folder.
const PROBE_FILE: &str = "probe";

/// A data folder that is open.
pub(crate) struct Store {
    pub journal: Arc<Journal>,
    pub ledger: Ledger,
    pub cursors: Vec<(CursorFile, Position)>,
    pub report: RestartReport,
}

/// Writes, syncs and deletes a file: better to fail here than at the first post. A full disk is an error only where there
/// is no journal yet: one that is there can be drained, and that makes room.
pub(crate) fn probe(config: &JournalConfig) -> Result<(), StartError> {
    let dir = config.dir.as_path();
    let refuse = |source: io::Error| match source.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => full(config, 0),
        _ => StartError::Unwritable { dir: dir.to_owned(), source },
    };
    fs::create_dir_all(dir).map_err(refuse)?;
    match try_out(config).map_err(refuse).flatten() {
        Err(error @ StartError::Full { .. }) if holds_segments(dir).map_err(refuse)? => {
            tracing::warn!(%error, "starting nonetheless, as sinks make room; posts are answered 503 until there is");
            Ok(())
        }
        tried => tried,
    }
}

fn try_out(config: &JournalConfig) -> io::Result<Result<(), StartError>> {
    let dir = config.dir.as_path();
    let file = dir.join(PROBE_FILE);
    durable_file::replace(&file, &[0x5a; 4096])?;
    fs::remove_file(&file)?;
    durable_file::ensure_dir(&dir.join(CURSOR_DIR))?;
    let stat = rustix::fs::statvfs(dir)?;
    let free_bytes = stat.f_bavail.saturating_mul(stat.f_frsize);
    if free_bytes < config.disk_free_min_bytes.bytes() {
        return Ok(Err(full(config, free_bytes)));
    }
    Ok(Ok(()))
}

fn full(config: &JournalConfig, free_bytes: u64) -> StartError {
    let wanted_bytes = config.disk_free_min_bytes.bytes();
    StartError::Full { dir: config.dir.as_path().to_owned(), free_bytes, wanted_bytes }
}

/// Opens the journal, the cursors and the ledger. Blocks.
pub(crate) fn store(
    config: &CollectorConfig,
    sinks: &[&str],
    needs_from: Option<Position>,
    metrics: &Metrics,
) -> Result<Store, StartError> {
    let data = config.journal.dir.as_path();
    let mut lost_state = Vec::new();
    let mut cursors = Vec::new();
    for sink in sinks {
        let file = CursorFile::of(data, sink);
        let found = file.read().map_err(|source| StartError::State { file: file.path().to_owned(), source })?;
        cursors.push((file, found));
    }
    let floor = cursors.iter().filter_map(|(_, found)| if let Found::At(at) = found { Some(*at) } else { None });
    let floor = floor.chain(needs_from).max().unwrap_or(0);
    let (journal, recovery) = Journal::open(data, &options(&config.journal, floor, metrics))?;
    let ledger = ledger(data, &journal, &mut lost_state)?;
    let first = journal.first_position();
    let cursors = cursors.into_iter().map(|(file, found)| match found {
        Found::At(at) => (file, at),
        Found::Absent => (file, first),
        Found::Damaged => {
            let path = file.path().display().to_string();
            lost_state.push(format!("{path} was damaged: its sink starts again from position {first}"));
            (file, first)
        }
    });
    let cursors = cursors.collect();
    let mut report = report(&recovery, &ledger);
    report.lost_state = lost_state;
    Ok(Store { journal: Arc::new(journal), ledger, cursors, report })
}

fn report(recovery: &Recovery, ledger: &Ledger) -> RestartReport {
    RestartReport { producers: ledger.producers.len() as u64, ..RestartReport::of(recovery) }
}

fn options(config: &JournalConfig, position_floor: u64, metrics: &Metrics) -> Options {
    Options {
        segment_bytes: config.segment_bytes.bytes(),
        bytes_max: config.bytes_max.bytes(),
        high_water_bytes: config.high_water_bytes.bytes(),
        disk_free_min_bytes: config.disk_free_min_bytes.bytes(),
        queue_frames_max: config.queue_frames_max,
        accept_missing: config.accept_missing,
        position_floor,
        companions: &[journal_id::FILE],
        observer: Arc::new(metrics.clone()),
        ..Options::default()
    }
}

/// The checkpoint, and what the journal holds after it.
fn ledger(data: &Path, journal: &Journal, lost_state: &mut Vec<String>) -> Result<Ledger, StartError> {
    let file = checkpoint::path(data);
    let read = checkpoint::read(data).map_err(|source| StartError::State { file: file.clone(), source })?;
    let mut ledger = read.unwrap_or_else(|()| {
        let path = file.display();
        lost_state.push(format!("{path} was damaged: a resend of a batch before the journal's start is stored again"));
        Ledger::default()
    });
    let mut reader = journal.reader(ledger.next_position.max(journal.first_position()));
    while let Some(frame) = reader.next()? {
        ledger.insert(frame.position, &frame.producer, frame.batch_seq, frame.received_us);
    }
    Ok(ledger)
}

/// Gives the hot rows every frame that they need again, and returns how many. Blocks.
pub(crate) fn replay(journal: &Journal, tail: &dyn LiveObserver, recent: &Recent) -> Result<u64, StartError> {
    let mut reader = journal.reader(tail.needs_from().max(journal.first_position()));
    let mut frames = 0;
    while let Some(frame) = reader.next()? {
        let batch = match decode(&frame.payload, &READ_LIMITS) {
            Ok(batch) => batch,
            Err(error) => {
                // Each sink puts it into its dead letters; here it must not hide the frames after it.
                tracing::error!(position = frame.position, %error, "a stored frame cannot be decoded");
                continue;
            }
        };
        let delivery = Delivery { position: frame.position, received_us: frame.received_us, batch: Arc::new(batch) };
        tail.append(delivery.clone());
        recent.insert(delivery);
        frames += 1;
    }
    Ok(frames)
}
