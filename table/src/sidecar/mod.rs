//! What stands beside a data file: roll-ups of its rows and filters of its ids.
//!
//! ```text
//!   TABLE/_tollgate/v1/date=2026-11-23/NAME/ids                    beside TABLE/date=2026-11-23/NAME.parquet
//!                                          /service_5m.parquet     and the other roll-ups
//! ```
//! Parts are written and synced before the commit that names them: the tag of a data file says length and checksum of each
//! ([`crate::SidecarPart`]). They never change. A part that is absent, missing or damaged costs a scan and never a wrong answer:
//! [`verified`] compares a roll-up with the tag before it is trusted, and the blocks of the filters have checksums of their own.
//!
//! A data file is written column by column, and [`SidecarBuilder`] sees the columns as they pass: the rows are never read again
//! for it. [`concatenate`] makes the parts of a concatenation out of those of its inputs. A data file's folder goes after the
//! data file (`garbage`).

mod build;
mod check;
mod concatenate;
mod garbage;
#[cfg(test)]
mod tests;
mod verify;

use std::path::{Path, PathBuf};

pub(crate) use build::SidecarBuilder;
pub use build::sidecar_parts;
pub(crate) use check::differences;
#[cfg(test)]
pub(crate) use check::rebuilt;
pub(crate) use concatenate::concatenate;
pub(crate) use garbage::collect;
pub use verify::verified;

use crate::rollup::Rollup;
use crate::snapshot::SIDECARS;

/// The folder of a data file's parts, relative to the table's root.
pub(crate) fn folder(data_path: &str) -> String {
    format!("{SIDECARS}/{}", data_path.strip_suffix(".parquet").unwrap_or(data_path))
}

/// Where a part of a data file is.
fn part_path(root: &Path, data_path: &str, part: &str) -> PathBuf {
    let ending = if Rollup::named(part).is_some() { ".parquet" } else { "" };
    root.join(folder(data_path)).join(format!("{part}{ending}"))
}

/// Deletes what stands beside a data file that no commit names. What cannot be deleted is collected later.
pub(crate) fn discard(root: &Path, data_path: &str) {
    let _ = std::fs::remove_dir_all(root.join(folder(data_path)));
}
