//! What is wrong with a configuration, and where.

use std::fmt;
use std::path::{Path, PathBuf};

/// One thing that is wrong with a configuration.
///
/// Displayed, it is `FILE:LINE:COLUMN: key `KEY`: PROBLEM`, or `KEY: PROBLEM` where no file is known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Diagnostic {
    /// The file, as it was named on the command line; empty where the values came from no file.
    pub file: PathBuf,
    /// Line, from 1; 0 when the problem has no place in the text.
    pub line: u64,
    /// Column in characters, from 1; 0 when the problem has no place in the text.
    pub column: u64,
    /// Full name of the key, such as `services[3].upstream.url`; empty when no key is concerned.
    pub key: String,
    /// What is wrong and what to do about it: lower case, no full stop, the cure after a semicolon.
    pub problem: String,
}

impl Diagnostic {
    /// Makes a diagnostic of a key alone, for values whose file the checker does not know.
    ///
    /// [`Diagnostics::section`](crate::Diagnostics::section) finds the file and the place.
    pub fn of_key(key: impl Into<String>, problem: impl Into<String>) -> Self {
        Self { file: PathBuf::new(), line: 0, column: 0, key: key.into(), problem: problem.into() }
    }
}

impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.file.as_os_str().is_empty() {
            return write!(f, "{}: {}", self.key, self.problem);
        }
        write!(f, "{}:", self.file.display())?;
        if self.line > 0 {
            write!(f, "{}:{}:", self.line, self.column)?;
        }
        if !self.key.is_empty() {
            write!(f, " key `{}`:", self.key)?;
        }
        write!(f, " {}", self.problem)
    }
}

impl std::error::Error for Diagnostic {}

/// Why a configuration is refused: one or more [`Diagnostic`]s, in the order of the file.
///
/// Displayed, it is one line a problem, in the form `FILE:LINE:COLUMN: key ...` that editors can jump to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigError {
    diagnostics: Vec<Diagnostic>,
}

impl ConfigError {
    /// Makes an error of one problem at a place.
    pub fn at(path: &Path, line: u64, column: u64, key: &str, problem: impl Into<String>) -> Self {
        let (file, key) = (path.to_owned(), key.to_owned());
        Self { diagnostics: vec![Diagnostic { file, line, column, key, problem: problem.into() }] }
    }

    /// Makes an error of one problem that concerns the file as a whole.
    pub fn of_file(path: &Path, problem: impl Into<String>) -> Self {
        Self::at(path, 0, 0, "", problem)
    }

    /// Makes an error of several problems; they are sorted by file, line and column.
    pub fn many(mut diagnostics: Vec<Diagnostic>) -> Self {
        diagnostics.sort_by(|a, b| (&a.file, a.line, a.column).cmp(&(&b.file, b.line, b.column)));
        Self { diagnostics }
    }

    /// Returns the problems, in the order of the file.
    pub fn diagnostics(&self) -> &[Diagnostic] {
        &self.diagnostics
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, diagnostic) in self.diagnostics.iter().enumerate() {
            if index > 0 {
                writeln!(f)?;
            }
            diagnostic.fmt(f)?;
        }
        Ok(())
    }
}

impl std::error::Error for ConfigError {}
