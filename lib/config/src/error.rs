//! What is wrong with a configuration, and where.

use std::fmt;
use std::path::{Path, PathBuf};

/// One thing that is wrong in a configuration file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// The file, as it was named on the command line.
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

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
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

/// Why a configuration is refused: one or more [`Problem`]s, in the order of the file.
///
/// Displayed, it is one line a problem, in the form `FILE:LINE:COLUMN: key ...` that editors can jump to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigError {
    problems: Vec<Problem>,
}

impl ConfigError {
    /// One problem at a place.
    pub fn at(path: &Path, line: u64, column: u64, key: &str, problem: impl Into<String>) -> Self {
        let (file, key) = (path.to_owned(), key.to_owned());
        Self { problems: vec![Problem { file, line, column, key, problem: problem.into() }] }
    }

    /// One problem of the file as a whole.
    pub fn of_file(path: &Path, problem: impl Into<String>) -> Self {
        Self::at(path, 0, 0, "", problem)
    }

    /// Several problems; they are put into the order of the file.
    pub fn many(mut problems: Vec<Problem>) -> Self {
        problems.sort_by(|a, b| (&a.file, a.line, a.column).cmp(&(&b.file, b.line, b.column)));
        Self { problems }
    }

    /// The problems, in the order of the file.
    pub fn problems(&self) -> &[Problem] {
        &self.problems
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, problem) in self.problems.iter().enumerate() {
            if index > 0 {
                writeln!(f)?;
            }
            problem.fmt(f)?;
        }
        Ok(())
    }
}

impl std::error::Error for ConfigError {}
