//! What the checks of a configuration find, with the place of each problem.

use std::collections::HashMap;
use std::path::Path;

use crate::diagnostic::Diagnostic;
use crate::outline::Outline;
use crate::source::{FileId, Source};
use crate::spanned::Spanned;

/// Collects what semantic checks find in the files of a configuration.
///
/// A check notes a problem with a [`Spanned`] value ([`at`](Self::at)), with a key by its full name
/// ([`key`](Self::key)), or takes over what a part of the program found in its own section
/// ([`section`](Self::section)).
#[derive(Debug)]
pub struct Diagnostics<'a> {
    path: &'a Path,
    text: &'a str,
    others: &'a [Source],
    /// Made when the first problem of a file is noted: most files have none.
    outlines: HashMap<FileId, Outline>,
    found: Vec<Diagnostic>,
}

impl<'a> Diagnostics<'a> {
    pub(crate) fn of(path: &'a Path, text: &'a str, others: &'a [Source]) -> Self {
        Self { path, text, others, outlines: HashMap::new(), found: Vec::new() }
    }

    /// Notes a problem with a value, at the value's place; its key is found by that place.
    pub fn at<V>(&mut self, value: &Spanned<V>, problem: impl Into<String>) {
        let (file, text) = self.source(value.file);
        let outline = self.outlines.entry(value.file).or_insert_with(|| Outline::of(text));
        let key = outline.key_at(value.line, value.column).unwrap_or_default();
        self.push(file, value.line, value.column, key, problem.into());
    }

    /// Notes a problem with the key of this full name (`services[3].upstream.url`) in the main file, at the place of
    /// the key if it is written in the file, else of its nearest ancestor that is.
    pub fn key(&mut self, key: &str, problem: impl Into<String>) {
        let text = self.text;
        let outline = self.outlines.entry(FileId::default()).or_insert_with(|| Outline::of(text));
        let (line, column) = outline.place_of(key);
        self.push(self.path, line, column, key.to_owned(), problem.into());
    }

    /// Notes what a part of the program found in its section of the main file: each key is a key below `section`, or of
    /// the whole file where `section` is empty.
    pub fn section(&mut self, section: &str, found: impl IntoIterator<Item = Diagnostic>) {
        for Diagnostic { key, problem, .. } in found {
            match (section, key.as_str()) {
                ("", key) | (key, "") => self.key(key, problem),
                (section, key) => self.key(&format!("{section}.{key}"), problem),
            }
        }
    }

    /// Returns where a value is written, for a message about another: `line 7`, or with several files `line 7 of FILE`.
    pub fn place<V>(&self, value: &Spanned<V>) -> String {
        let line = value.line;
        match self.others {
            [] => format!("line {line}"),
            _ => format!("line {line} of {}", self.source(value.file).0.display()),
        }
    }

    /// Returns whether nothing was found so far.
    pub fn is_empty(&self) -> bool {
        self.found.is_empty()
    }

    pub(crate) fn into_found(self) -> Vec<Diagnostic> {
        self.found
    }

    /// Returns the path and the text of a file.
    fn source(&self, file: FileId) -> (&'a Path, &'a str) {
        match file.other().and_then(|index| self.others.get(index)) {
            Some(source) => (&source.path, &source.text),
            None => (self.path, self.text),
        }
    }

    fn push(&mut self, file: &Path, line: u64, column: u64, key: String, problem: String) {
        self.found.push(Diagnostic { file: file.to_owned(), line, column, key, problem });
    }
}
