//! From a file to a typed value, and back to text.

use std::fs::File;
use std::io::{ErrorKind, Read};
use std::path::{Path, PathBuf};

use serde::Serialize;
use serde::de::DeserializeOwned;
use sha2::{Digest, Sha256};

use crate::outline::Outline;
use crate::path::BaseFolder;
use crate::{At, ConfigError, Problem, explain};

/// Largest configuration file, in bytes. 11,000 services at 400 bytes each are about 4 MiB.
pub const FILE_BYTES_MAX: u64 = 32 * 1024 * 1024;

/// Most keys, values and items of a configuration. 11,000 services of 60 are 660,000.
pub const NODES_MAX: usize = 4_000_000;

/// Hexadecimal digits of the SHA-256 that name a revision.
const REVISION_DIGITS: usize = 12;

/// A configuration with the text that it came from.
#[derive(Debug, Clone)]
pub struct Loaded<T> {
    /// The typed configuration.
    pub value: T,
    /// The text of the file.
    pub text: String,
    /// The file, as it was named.
    pub path: PathBuf,
    /// First 12 hexadecimal digits of the SHA-256 of the file's bytes. Every record carries it.
    pub revision: String,
}

/// Reads and types the configuration file at `path`.
///
/// # Errors
/// A file that cannot be read, is too large, or is not UTF-8; a YAML error; an unknown, duplicate or missing key;
/// a value of the wrong type. The error names file, line, column and key.
pub fn load<T: DeserializeOwned>(path: &Path) -> Result<Loaded<T>, ConfigError> {
    let bytes = read(path)?;
    let text = String::from_utf8(bytes).map_err(|error| {
        let valid = &error.as_bytes()[..error.utf8_error().valid_up_to()];
        let line = 1 + valid.iter().filter(|byte| **byte == b'\n').count() as u64;
        let start = valid.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
        let column = 1 + String::from_utf8_lossy(&valid[start..]).chars().count() as u64;
        ConfigError::at(path, line, column, "", "this byte is not UTF-8; save the file as UTF-8")
    })?;
    parse(path, text)
}

/// Types a configuration that is already in memory. `path` is its name in errors, and the base of relative paths in it.
///
/// # Errors
/// As for [`load`], without those of reading.
pub fn parse<T: DeserializeOwned>(path: &Path, text: String) -> Result<Loaded<T>, ConfigError> {
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
    let value = {
        let _base = BaseFolder::enter(folder);
        serde_saphyr::from_str_with_options::<T>(&text, options)
    };
    match value {
        Ok(value) => {
            let revision = revision(text.as_bytes());
            Ok(Loaded { value, text, path: path.to_owned(), revision })
        }
        Err(error) => Err(explain::explain(path, &text, &error)),
    }
}

/// An effective configuration as YAML that [`load`] accepts.
///
/// # Errors
/// A value that YAML cannot express, such as a map with structured keys.
pub fn to_yaml(value: &impl Serialize) -> Result<String, PrintError> {
    serde_saphyr::to_string(value).map_err(|error| PrintError(error.to_string()))
}

/// A configuration that cannot be written as YAML.
#[derive(Debug, thiserror::Error)]
#[error("the configuration cannot be printed as YAML: {0}")]
pub struct PrintError(String);

impl<T> Loaded<T> {
    /// Runs the checks that types cannot express, and fails with everything they found.
    ///
    /// # Errors
    /// All problems that `check` noted.
    pub fn checked(self, check: impl FnOnce(&T, &mut Problems<'_>)) -> Result<Self, ConfigError> {
        let mut problems = Problems { file: &self.path, text: &self.text, outline: None, found: Vec::new() };
        check(&self.value, &mut problems);
        let found = problems.found;
        if found.is_empty() { Ok(self) } else { Err(ConfigError::many(found)) }
    }

    /// One problem with a value, as an error that names the value's place and key.
    pub fn error_at<V>(&self, value: &At<V>, problem: impl Into<String>) -> ConfigError {
        let mut problems = Problems { file: &self.path, text: &self.text, outline: None, found: Vec::new() };
        problems.at(value, problem);
        ConfigError::many(problems.found)
    }

    /// The same file with its value turned into another.
    pub fn map<U>(self, turn: impl FnOnce(T) -> U) -> Loaded<U> {
        Loaded { value: turn(self.value), text: self.text, path: self.path, revision: self.revision }
    }
}

/// Collects what semantic checks find in one file.
#[derive(Debug)]
pub struct Problems<'a> {
    file: &'a Path,
    text: &'a str,
    outline: Option<Outline>,
    found: Vec<Problem>,
}

impl Problems<'_> {
    /// Notes a problem with a value, at the value's place; its key is found by that place.
    pub fn at<V>(&mut self, value: &At<V>, problem: impl Into<String>) {
        let outline = self.outline.get_or_insert_with(|| Outline::of(self.text));
        let key = outline.key_at(value.line, value.column).unwrap_or_default();
        self.push(value.line, value.column, key, problem.into());
    }

    /// Notes a problem with the key of this full name (`services[3].upstream.url`), at the place of the key if it is
    /// written in the file, else of its nearest ancestor that is.
    pub fn key(&mut self, key: &str, problem: impl Into<String>) {
        let outline = self.outline.get_or_insert_with(|| Outline::of(self.text));
        let (line, column) = outline.place_of(key);
        self.push(line, column, key.to_owned(), problem.into());
    }

    /// Whether nothing was found so far.
    pub fn is_empty(&self) -> bool {
        self.found.is_empty()
    }

    fn push(&mut self, line: u64, column: u64, key: String, problem: String) {
        self.found.push(Problem { file: self.file.to_owned(), line, column, key, problem });
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

fn revision(bytes: &[u8]) -> String {
    let mut hex: String = Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect();
    hex.truncate(REVISION_DIGITS);
    hex
}
