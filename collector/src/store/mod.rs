//! The data folder: the files beside the journal, and how all of it is opened.

pub(crate) mod checkpoint;
pub(crate) mod committed;
pub(crate) mod cursor_file;
pub(crate) mod durable_file;
pub(crate) mod journal_id;
pub(crate) mod ledger;
pub(crate) mod open;
pub(crate) mod recent;
pub(crate) mod restart_report;

use tollgate_journal::FRAME_BYTES_MAX;
use tollgate_record::DecodeLimits;

use crate::config::{RAW_BYTES_MAX, ROWS_MAX};

/// What is read back may be as large as any configuration lets in: a frame that was acknowledged under a limit stays
/// readable after the limit is lowered.
pub(crate) const READ_LIMITS: DecodeLimits =
    DecodeLimits { compressed_bytes_max: FRAME_BYTES_MAX, raw_bytes_max: RAW_BYTES_MAX, rows_max: ROWS_MAX };
