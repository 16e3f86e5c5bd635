//! The command: reads a file, writes a folder or only tells, and says how it went.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;
use std::path::Path;

use tollgate_config::ConfigError;

use crate::{FILE_BYTES_MAX, Imported, Options, WriteError, earlier, kong};

/// Why nothing was imported.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    /// The file cannot be read or understood.
    #[error(transparent)]
    Refused(#[from] ConfigError),
    /// The folder cannot be written.
    #[error(transparent)]
    Write(#[from] WriteError),
}

/// Imports a file of Kong into a folder; without one, nothing is written.
///
/// # Errors
/// A file that cannot be understood, and a folder that cannot be written.
pub fn kong_file(
    file: &Path,
    out: Option<&Path>,
    environment: BTreeMap<String, String>,
) -> Result<Imported, ImportError> {
    let text = read(file)?;
    let earlier = out.map(earlier).unwrap_or_default();
    let imported = kong::import(&text, &Options { file: file.to_owned(), environment, earlier })?;
    if let Some(out) = out {
        imported.write(out)?;
    }
    Ok(imported)
}

fn read(file: &Path) -> Result<String, ConfigError> {
    let refuse = |error: std::io::Error| ConfigError::of_file(file, format!("the file cannot be read: {error}"));
    let mut bytes = Vec::new();
    File::open(file).and_then(|open| open.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes)).map_err(refuse)?;
    if bytes.len() as u64 > FILE_BYTES_MAX {
        let problem = format!("the file is larger than {} MiB; is this the right file?", FILE_BYTES_MAX >> 20);
        return Err(ConfigError::of_file(file, problem));
    }
    String::from_utf8(bytes).map_err(|_| ConfigError::of_file(file, "the file is not UTF-8; save it as UTF-8"))
}
