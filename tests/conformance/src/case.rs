//! A case: the bytes that are sent, and the outcome that must follow.

use std::path::{Path, PathBuf};

use anyhow::{Context, ensure};
use serde::Deserialize;

use crate::bytes;

/// One file of cases.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Group {
    /// The subject of the group.
    pub about: String,
    /// The cases.
    pub cases: Vec<Case>,
}

/// One payload and its outcome.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Case {
    /// Unique over all files; the lists of differences name it.
    pub name: String,
    /// Where the rule stands: an RFC with its section, or an advisory.
    pub source: String,
    /// Why the outcome is right, where the source alone does not say.
    #[serde(default)]
    pub why: Option<String>,
    /// The bytes sent on one connection, see [`bytes::of_text`].
    pub send: String,
    /// Bytes that are sent once the answers to `send` have arrived.
    #[serde(default)]
    pub then_send: Option<String>,
    /// The upstream's behaviour; by default it reads the request, answers `200` with `ok` and closes.
    #[serde(default)]
    pub upstream: Upstream,
    /// Statuses of the answers, in order, and how it goes on: `keep` = the connection serves another request,
    /// `close` = it does not, `tunnel` = bytes pass both ways.
    pub answer: String,
    /// Texts that the answers must contain, in order.
    #[serde(default)]
    pub answer_has: Vec<String>,
    /// Texts that must not be in the answers.
    #[serde(default)]
    pub answer_lacks: Vec<String>,
    /// The exact bytes of each request that reaches the upstream; `{id}` stands for the gateway's request id.
    #[serde(default)]
    pub reaches_upstream: Vec<String>,
    /// For a request that breaks off within its body: what of it may have reached the upstream by then, or a part of
    /// that, or nothing. Which of these is a matter of timing.
    #[serde(default)]
    pub reaches_upstream_at_most: Option<String>,
    /// Status and error class of each record; by default one record for each final answer, with its status.
    #[serde(default)]
    pub records: Option<Vec<String>>,
}

/// The upstream's behaviour towards the requests of a case.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Upstream {
    /// The bytes that it answers with.
    pub answers: Option<String>,
    /// Answers after the head, without waiting for the body.
    pub early: bool,
    /// Keeps the connection open after its answer.
    pub keeps: bool,
}

/// Every case of the folder, in the order of files and lines.
///
/// # Errors
/// A file that cannot be read, a key that is unknown, a name that is given twice.
pub fn load_all() -> anyhow::Result<Vec<Case>> {
    let mut files: Vec<PathBuf> =
        std::fs::read_dir(folder("cases"))?.map(|entry| Ok(entry?.path())).collect::<std::io::Result<_>>()?;
    files.retain(|file| file.extension().is_some_and(|extension| extension == "yaml"));
    files.sort();
    let mut cases: Vec<Case> = Vec::new();
    for file in files {
        let group = tollgate_config::load::<Group>(&file)?.value;
        ensure!(!group.about.is_empty() && !group.cases.is_empty(), "{}: about or cases is empty", file.display());
        cases.extend(group.cases);
    }
    for (at, case) in cases.iter().enumerate() {
        ensure!(!cases[..at].iter().any(|earlier| earlier.name == case.name), "two cases are named `{}`", case.name);
        bytes::of_text(&case.send).with_context(|| format!("send of `{}`", case.name))?;
    }
    Ok(cases)
}

/// A folder of this crate.
#[must_use]
pub fn folder(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(name)
}

impl Case {
    /// The expected statuses, and how the connection goes on.
    #[must_use]
    pub fn expected(&self) -> (Vec<&str>, &str) {
        let mut words: Vec<&str> = self.answer.split_whitespace().collect();
        let end = words.pop().unwrap_or_default();
        (words, end)
    }

    /// The expected records: those that are written down, or one for each final answer.
    #[must_use]
    pub fn expected_records(&self) -> Vec<String> {
        let (statuses, _) = self.expected();
        let finals = statuses.iter().filter(|status| **status == "101" || !status.starts_with('1'));
        self.records.clone().unwrap_or_else(|| finals.map(|status| (*status).to_owned()).collect())
    }
}
