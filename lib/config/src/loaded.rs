//! From a file to a typed value.

use std::fs::File;
use std::io::{ErrorKind, Read};
use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;
use sha2::{Digest, Sha256};

use crate::context;
use crate::diagnostic::{ConfigError, Diagnostic};
use crate::diagnostics::Diagnostics;
use crate::explain::explain;
use crate::limits::{FILE_BYTES_MAX, FILES_BYTES_MAX, FILES_MAX, NODES_MAX};
use crate::source::{FileId, Source, relative};
use crate::spanned::Spanned;

/// Hexadecimal digits of the SHA-256 that name a revision.
const REVISION_DIGITS: usize = 12;

/// A configuration with the text that it came from.
#[derive(Debug, Clone)]
pub struct Loaded<T> {
    /// The typed configuration.
    pub value: T,
    /// The text of the (first) file.
    pub text: String,
    /// The file, as it was named.
    pub path: PathBuf,
    /// First 12 hexadecimal digits of the SHA-256 of the file's bytes, or of all files'. Every record carries it.
    pub revision: String,
    /// Further files; the first of them is file 1.
    others: Vec<Source>,
    /// Bytes of all files.
    bytes: usize,
}

/// Reads and types the configuration file at `path`.
///
/// # Errors
/// A file that cannot be read, is too large, or is not UTF-8; a YAML error; an unknown, duplicate or missing key;
/// a value of the wrong type. The error names file, line, column and key.
pub fn load<T: DeserializeOwned>(path: &Path) -> Result<Loaded<T>, ConfigError> {
    parse(path, text_of(path)?)
}

fn text_of(path: &Path) -> Result<String, ConfigError> {
    String::from_utf8(read(path)?).map_err(|error| {
        let valid = &error.as_bytes()[..error.utf8_error().valid_up_to()];
        let line = 1 + valid.iter().filter(|byte| **byte == b'\n').count() as u64;
        let start = valid.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
        let column = 1 + String::from_utf8_lossy(&valid[start..]).chars().count() as u64;
        ConfigError::at(path, line, column, "", "this byte is not UTF-8; save the file as UTF-8")
    })
}

/// Types a configuration that is already in memory. `path` is its name in errors, and the base of relative paths in it.
///
/// # Errors
/// As for [`load`], without those of reading.
pub fn parse<T: DeserializeOwned>(path: &Path, text: String) -> Result<Loaded<T>, ConfigError> {
    let value = typed(path, &text, FileId::default())?;
    let revision = digits(&Sha256::digest(text.as_bytes()));
    let bytes = text.len();
    Ok(Loaded { value, text, path: path.to_owned(), revision, others: Vec::new(), bytes })
}

fn typed<T: DeserializeOwned>(path: &Path, text: &str, file: FileId) -> Result<T, ConfigError> {
    let folder = path.parent().unwrap_or(Path::new(""));
    let options = serde_saphyr::options! {
        budget: serde_saphyr::budget! {
            max_nodes: NODES_MAX,
            max_events: 2 * NODES_MAX,
            // One anchor that thousands of services refer to is what anchors are for; replays are bounded all the same.
            max_aliases: NODES_MAX,
            enforce_alias_anchor_ratio: false,
        },
        with_snippet: false,
        strict_booleans: true,
        merge_keys: serde_saphyr::options::MergeKeyPolicy::Error,
    };
    let _loading = context::enter(file, folder);
    serde_saphyr::from_str_with_options::<T>(text, options).map_err(|error| explain(path, text, &error))
}

impl<T> Loaded<T> {
    /// Reads and types a further file of the same configuration. The caller puts what it says into `value`.
    ///
    /// # Errors
    /// As for [`load`]; also too many files, or too large ones together.
    pub fn also<P: DeserializeOwned>(&mut self, path: &Path) -> Result<P, ConfigError> {
        if self.others.len() + 1 >= FILES_MAX {
            return Err(ConfigError::of_file(
                path,
                format!("the configuration has more than {FILES_MAX} files; write several APIs into one"),
            ));
        }
        let text = text_of(path)?;
        let bytes = self.bytes + text.len();
        if bytes > FILES_BYTES_MAX {
            let problem = format!(
                "with this file the configuration is larger than {} MiB; are these the right files?",
                FILES_BYTES_MAX >> 20
            );
            return Err(ConfigError::of_file(path, problem));
        }
        let value = typed(path, &text, FileId::of_other(self.others.len()))?;
        let name = relative(path, &self.path).to_string_lossy();
        let mut all = Sha256::new();
        for part in [self.revision.as_bytes(), b"\0", name.as_bytes(), b"\0", text.as_bytes()] {
            all.update(part);
        }
        self.revision = digits(&all.finalize());
        self.others.push(Source { path: path.to_owned(), text });
        self.bytes = bytes;
        Ok(value)
    }

    /// Runs the checks that types cannot express, and fails with everything they found.
    ///
    /// # Errors
    /// All problems that `check` notes, in the order of the file.
    pub fn checked(self, check: impl FnOnce(&T, &mut Diagnostics<'_>)) -> Result<Self, ConfigError> {
        let found = self.remarks(check);
        if found.is_empty() { Ok(self) } else { Err(ConfigError::many(found)) }
    }

    /// Runs a further check, and returns its remarks on a configuration that is right.
    pub fn remarks(&self, check: impl FnOnce(&T, &mut Diagnostics<'_>)) -> Vec<Diagnostic> {
        let mut diagnostics = self.diagnostics();
        check(&self.value, &mut diagnostics);
        diagnostics.into_found()
    }

    /// Makes an error of one problem with a value; it names the value's place and key.
    pub fn error_at<V>(&self, value: &Spanned<V>, problem: impl Into<String>) -> ConfigError {
        let mut diagnostics = self.diagnostics();
        diagnostics.at(value, problem);
        ConfigError::many(diagnostics.into_found())
    }

    fn diagnostics(&self) -> Diagnostics<'_> {
        Diagnostics::of(&self.path, &self.text, &self.others)
    }

    /// Turns the value into another, and keeps its files.
    pub fn map<U>(self, turn: impl FnOnce(T) -> U) -> Loaded<U> {
        let Self { value, text, path, revision, others, bytes } = self;
        Loaded { value: turn(value), text, path, revision, others, bytes }
    }
}

fn read(path: &Path) -> Result<Vec<u8>, ConfigError> {
    let refuse = |error: std::io::Error| {
        let problem = match error.kind() {
            ErrorKind::NotFound => "there is no such file; name the configuration file with --config".to_owned(),
            ErrorKind::PermissionDenied => {
                "permission denied; make the file readable for the user that runs this process".to_owned()
            }
            ErrorKind::IsADirectory => "this is a folder; name the configuration file in it".to_owned(),
            _ => format!("the file cannot be read: {error}"),
        };
        ConfigError::of_file(path, problem)
    };
    let mut bytes = Vec::new();
    let file = File::open(path).map_err(refuse)?;
    file.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes).map_err(refuse)?;
    if bytes.len() as u64 > FILE_BYTES_MAX {
        let problem = format!("the file is larger than {} MiB; is this the right file?", FILE_BYTES_MAX >> 20);
        return Err(ConfigError::of_file(path, problem));
    }
    Ok(bytes)
}

/// Returns the name of a revision from the digest of its bytes.
fn digits(digest: &[u8]) -> String {
    let mut hex: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
    hex.truncate(REVISION_DIGITS);
    hex
}
