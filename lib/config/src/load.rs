//! From a file to a typed value, and back to text.

use std::collections::HashMap;
use std::fs::File;
use std::io::{ErrorKind, Read};
use std::path::{Path, PathBuf};

use serde::Serialize;
use serde::de::DeserializeOwned;
use sha2::{Digest, Sha256};

use crate::outline::Outline;
use crate::path::BaseFolder;
use crate::source::{CountingFrom, Source, lines_of, relative};
use crate::{At, ConfigError, Problem, explain};

/// Largest configuration file, in bytes. 11,000 services at 400 bytes each are about 4 MiB.
pub const FILE_BYTES_MAX: u64 = 32 * 1024 * 1024;

/// Most keys, values and items of a configuration. 11,000 services of 60 are 660,000.
pub const NODES_MAX: usize = 4_000_000;

/// Most files of one configuration.
pub const FILES_MAX: usize = 50_000;

/// Most bytes of all files of one configuration.
pub const FILES_BYTES_MAX: usize = 128 * 1024 * 1024;

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
    /// Further files.
    others: Vec<Source>,
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
    let value = typed(path, &text, 0)?;
    let revision = revision(text.as_bytes());
    Ok(Loaded { value, text, path: path.to_owned(), revision, others: Vec::new() })
}

fn typed<T: DeserializeOwned>(path: &Path, text: &str, lines_before: u64) -> Result<T, ConfigError> {
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
        let _lines = CountingFrom::enter(lines_before);
        serde_saphyr::from_str_with_options::<T>(text, options)
    };
    value.map_err(|error| explain::explain(path, text, &error))
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
    /// Reads and types a further file of the same configuration. What it says is for the caller to put into `value`.
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
        let (bytes, lines_before) = match self.others.last() {
            Some(last) => (last.bytes, last.lines()),
            None => (self.text.len(), lines_of(&self.text)),
        };
        let bytes = bytes + text.len();
        if bytes > FILES_BYTES_MAX {
            let problem = format!(
                "with this file the configuration is larger than {} MiB; are these the right files?",
                FILES_BYTES_MAX >> 20
            );
            return Err(ConfigError::of_file(path, problem));
        }
        let value = typed(path, &text, lines_before)?;
        let name = relative(path, &self.path).to_string_lossy();
        let mut all = Sha256::new();
        for part in [self.revision.as_bytes(), b"\0", name.as_bytes(), b"\0", text.as_bytes()] {
            all.update(part);
        }
        self.revision = digits(&all.finalize());
        self.others.push(Source { path: path.to_owned(), text, lines_before, bytes });
        Ok(value)
    }

    fn problems(&self) -> Problems<'_> {
        let (file, text, others) = (&self.path, &self.text, &self.others);
        Problems { file, text, others, outlines: HashMap::new(), found: Vec::new() }
    }

    /// Runs the checks that types cannot express, and fails with everything they found.
    ///
    /// # Errors
    /// All problems that `check` noted.
    pub fn checked(self, check: impl FnOnce(&T, &mut Problems<'_>)) -> Result<Self, ConfigError> {
        let mut problems = self.problems();
        check(&self.value, &mut problems);
        let found = problems.found;
        if found.is_empty() { Ok(self) } else { Err(ConfigError::many(found)) }
    }

    /// What a further check notes: remarks on a configuration that is right.
    pub fn remarks(&self, check: impl FnOnce(&T, &mut Problems<'_>)) -> Vec<Problem> {
        let mut problems = self.problems();
        check(&self.value, &mut problems);
        problems.found
    }

    /// One problem with a value, as an error that names the value's place and key.
    pub fn error_at<V>(&self, value: &At<V>, problem: impl Into<String>) -> ConfigError {
        let mut problems = self.problems();
        problems.at(value, problem);
        ConfigError::many(problems.found)
    }

    /// The same file with its value turned into another.
    pub fn map<U>(self, turn: impl FnOnce(T) -> U) -> Loaded<U> {
        let Self { value, text, path, revision, others } = self;
        Loaded { value: turn(value), text, path, revision, others }
    }
}

/// Collects what semantic checks find in the files of a configuration.
#[derive(Debug)]
pub struct Problems<'a> {
    file: &'a Path,
    text: &'a str,
    others: &'a [Source],
    /// By the lines before the file.
    outlines: HashMap<u64, Outline>,
    found: Vec<Problem>,
}

impl Problems<'_> {
    /// Notes a problem with a value, at the value's place; its key is found by that place.
    pub fn at<V>(&mut self, value: &At<V>, problem: impl Into<String>) {
        let (file, text, before) = source_of(self.file, self.text, self.others, value.line);
        let line = value.line.saturating_sub(before);
        let outline = self.outlines.entry(before).or_insert_with(|| Outline::of(text));
        let key = outline.key_at(line, value.column).unwrap_or_default();
        self.push(file, line, value.column, key, problem.into());
    }

    /// Where a value is written, for a message about another: `line 7`, or with several files `line 7 of FILE`.
    pub fn place<V>(&self, value: &At<V>) -> String {
        let (file, _, before) = source_of(self.file, self.text, self.others, value.line);
        let line = value.line.saturating_sub(before);
        if self.others.is_empty() { format!("line {line}") } else { format!("line {line} of {}", file.display()) }
    }

    /// Notes a problem with the key of this full name (`services[3].upstream.url`) in the first file, at the place of the key if it is
    /// written in the file, else of its nearest ancestor that is.
    pub fn key(&mut self, key: &str, problem: impl Into<String>) {
        let text = self.text;
        let outline = self.outlines.entry(0).or_insert_with(|| Outline::of(text));
        let (line, column) = outline.place_of(key);
        self.push(self.file, line, column, key.to_owned(), problem.into());
    }

    /// Whether nothing was found so far.
    pub fn is_empty(&self) -> bool {
        self.found.is_empty()
    }

    fn push(&mut self, file: &Path, line: u64, column: u64, key: String, problem: String) {
        self.found.push(Problem { file: file.to_owned(), line, column, key, problem });
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

/// The file of a line that is counted through, its text, and the lines before it.
fn source_of<'a>(first: &'a Path, text: &'a str, others: &'a [Source], line: u64) -> (&'a Path, &'a str, u64) {
    let after = others.partition_point(|source| source.lines_before < line);
    match after.checked_sub(1).map(|index| &others[index]) {
        Some(source) => (&source.path, &source.text, source.lines_before),
        None => (first, text, 0),
    }
}

fn revision(bytes: &[u8]) -> String {
    digits(&Sha256::digest(bytes))
}

fn digits(digest: &[u8]) -> String {
    let mut hex: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
    hex.truncate(REVISION_DIGITS);
    hex
}
