//! Lists, shows and replays the batches in the quarantine folder, with or without a running proxy.
//!
//! The records of a refused batch were reported as shed. A replay delivers them all the same.

use std::io::{self, Write};

use tollgate_proxy_ship::{BatchName, Link, PostOutcome, Quarantine, QuarantinedBatch, ShipOptions};
use tollgate_record::{DecodeLimits, decode, json};
use tollgate_retry::Backoff;

/// Tries for one batch, while the collector asks to wait or cannot be reached.
const TRIES_MAX: u32 = 5;

/// Why a batch is not listed, shown or replayed.
#[derive(Debug, thiserror::Error)]
pub enum QuarantineError {
    /// The configuration names no quarantine folder.
    #[error("the configuration names no quarantine folder; set records.quarantine_dir")]
    NoFolder,
    /// The configuration names no collector.
    #[error("the configuration names no collector; set records.collectors")]
    NoCollector,
    /// The folder or the output failed.
    #[error(
        "the quarantine folder fails; check that records.quarantine_dir is there, and that this user may read and write it"
    )]
    Io(#[from] io::Error),
    /// No batch has this name.
    #[error("{0}: no batch in the quarantine folder has this name; `tollgate-proxy quarantine ls` shows them")]
    Unknown(String),
    /// A batch cannot be read.
    #[error("{name}: {reason}")]
    Unreadable {
        /// The batch.
        name: String,
        /// Why.
        reason: String,
    },
    /// Some batches were not accepted.
    #[error("{left} batches stay in the quarantine folder")]
    Left {
        /// Their number.
        left: usize,
    },
    /// The collector cannot be reached, or asked to wait too often.
    #[error("{name}: the collector did not take it ({cause}); try again later")]
    NotNow {
        /// The batch.
        name: String,
        /// The last failure.
        cause: String,
    },
}

fn open(options: &ShipOptions) -> Result<Quarantine, QuarantineError> {
    let (dir, limits) = options.quarantine.as_ref().ok_or(QuarantineError::NoFolder)?;
    Ok(Quarantine::existing(dir, *limits))
}

fn find(quarantine: &Quarantine, name: &str) -> Result<QuarantinedBatch, QuarantineError> {
    let wanted = |kept: &QuarantinedBatch| kept.name.to_string() == name;
    quarantine.list()?.into_iter().find(wanted).ok_or_else(|| QuarantineError::Unknown(name.to_owned()))
}

/// Writes a line for each batch: name, records, bytes, status, when it was refused, and why.
///
/// # Errors
/// There is no folder, or it cannot be read.
pub fn list(options: &ShipOptions, out: &mut dyn Write) -> Result<(), QuarantineError> {
    for QuarantinedBatch { name, bytes, refusal } in open(options)?.list()? {
        let why = match refusal {
            // The reason is the collector's text: control characters go, so that a batch has one line.
            Some(why) => format!("{}\t{}\t{}", why.status, why.time_us, why.reason.replace(char::is_control, " ")),
            None => "?\t?\tthe reason cannot be read".into(),
        };
        writeln!(out, "{name}\t{}\t{bytes}\t{why}", name.records)?;
    }
    Ok(())
}

/// Writes the records of a batch as JSON, one a line.
///
/// # Errors
/// There is no such batch, or it cannot be read.
pub fn show(options: &ShipOptions, name: &str, out: &mut dyn Write) -> Result<(), QuarantineError> {
    let quarantine = open(options)?;
    let kept = find(&quarantine, name)?;
    let unreadable = |reason: String| QuarantineError::Unreadable { name: name.to_owned(), reason };
    let bytes = quarantine.read(&kept.name).map_err(|error| unreadable(error.to_string()))?;
    let batch = decode(&bytes, &DecodeLimits::default()).map_err(|error| unreadable(error.to_string()))?;
    let mut rows = json::Rows::of(&batch.records, &batch.meta);
    let mut line = Vec::new();
    for row in 0..batch.records.num_rows() {
        line.clear();
        rows.write(row, &mut line);
        line.push(b'\n');
        out.write_all(&line)?;
    }
    Ok(())
}

/// Sends batches again, oldest first; all of them without `names`. Deletes the accepted ones, and reports the others.
///
/// # Errors
/// There is no folder, collector or batch of a name; the collector cannot be reached; or it refused some batches again.
/// Batches that were not accepted stay.
pub async fn replay(
    options: &ShipOptions,
    names: Option<&[String]>,
    out: &mut dyn Write,
) -> Result<(), QuarantineError> {
    let quarantine = open(options)?;
    let link = Link::new(options.link.clone().ok_or(QuarantineError::NoCollector)?);
    let batches = match names {
        Some(names) => names.iter().map(|name| find(&quarantine, name)).collect::<Result<Vec<_>, _>>()?,
        None => quarantine.list()?,
    };
    let mut left = 0;
    for QuarantinedBatch { name, .. } in batches {
        let bytes = match quarantine.read(&name) {
            Ok(bytes) => bytes,
            Err(error) => {
                left += 1;
                writeln!(out, "{name}\tcannot be read: {error}")?;
                continue;
            }
        };
        let mut tries = 1;
        let mut backoff = Backoff::new(options.backoff_min, options.backoff_max);
        let answer = loop {
            match link.post(bytes.clone()).await {
                PostOutcome::Again { cause, .. } if tries == TRIES_MAX => {
                    return Err(QuarantineError::NotNow { name: name.to_string(), cause: cause.into() });
                }
                PostOutcome::Again { after, .. } => {
                    tokio::time::sleep(after.unwrap_or_else(|| backoff.next_wait())).await
                }
                answer => break answer,
            }
            tries += 1;
        };
        left += usize::from(!settle(&quarantine, &name, answer, out)?);
    }
    if left == 0 { Ok(()) } else { Err(QuarantineError::Left { left }) }
}

/// Reports the collector's answer. Returns whether it accepted the batch, which is deleted then.
fn settle(
    quarantine: &Quarantine,
    name: &BatchName,
    answer: PostOutcome,
    out: &mut dyn Write,
) -> Result<bool, QuarantineError> {
    match answer {
        PostOutcome::Acknowledged => {
            quarantine.remove(name)?;
            writeln!(out, "{name}\ttaken")?;
            return Ok(true);
        }
        PostOutcome::Refused { status, reason } => {
            writeln!(out, "{name}\trefused again: {} {reason}", status.as_u16())?
        }
        PostOutcome::Forbidden { reason } => writeln!(out, "{name}\tthe certificate does not speak for it: {reason}")?,
        PostOutcome::Again { cause, .. } => writeln!(out, "{name}\tnot taken: {cause}")?,
    }
    Ok(false)
}
