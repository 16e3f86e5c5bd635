//! The files of an import: made in memory, then written into a folder.
//!
//! ```text
//! DIR/proxy.yaml        the main file: written if there is none; never written over once its first line is changed
//! DIR/SERVICE.yaml      a service with its routes
//! DIR/IMPORT.md         what became of everything
//! ```
//! Each file begins with [`MARK`]. A file without it was written by somebody, and is never written over; one with it
//! that this import does not have any more is removed.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use tollgate_config::{ConfigError, to_yaml};

use crate::out::{ApiFile, Route, Service};
use crate::{Fate, Options, Report};

/// How each file begins.
pub const MARK: &str = "# Written by `tollgate import`, which writes it again; remove this line to keep it as it is.";
/// The same, for Markdown.
const MARK_MARKDOWN: &str = "<!-- Written by `tollgate import`, which writes it again. -->";
/// The main file.
const MAIN: &str = "proxy.yaml";
/// The report.
const REPORT: &str = "IMPORT.md";

/// One file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OutFile {
    /// Name in the folder.
    pub name: String,
    /// What it holds.
    pub text: String,
    /// Whether only its owner may read it.
    pub is_secret: bool,
}

/// What an import writes, and what became of everything.
#[derive(Debug, Clone)]
pub struct Imported {
    /// Its files, the report among them.
    pub files: Vec<OutFile>,
    /// What became of everything.
    pub report: Report,
}

/// Why files could not be written.
#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    /// A file of somebody else's is in the way.
    #[error("{0} was not written by an import, and is kept; name another folder, or move the file away")]
    NotOurs(PathBuf),
    /// The disk refused.
    #[error("{path} cannot be written: {source}")]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
}

/// Sorts services into files, one each.
pub(crate) fn by_service(services: Vec<(Service, Vec<Route>)>) -> Vec<(String, ApiFile)> {
    let mut names: BTreeSet<String> = BTreeSet::new();
    let file = |(service, routes): (Service, Vec<Route>)| {
        let base = file_name(&service.name);
        let mut name = format!("{base}.yaml");
        let mut nth = 2;
        while !names.insert(name.clone()) {
            name = format!("{base}-{nth}.yaml");
            nth += 1;
        }
        (name, ApiFile { services: vec![service], routes })
    };
    services.into_iter().map(file).collect()
}

/// A name that is safe as a file's, and is no other file's of an import.
fn file_name(name: &str) -> String {
    let safe = |c: char| if c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.') { c } else { '-' };
    let name: String = name.chars().take(100).map(safe).collect();
    let name = name.trim_start_matches('.');
    match name {
        "" | "proxy" | "consumers" => format!("service-{name}"),
        _ => name.to_owned(),
    }
}

/// Puts everything together.
pub(crate) fn imported(
    apis: Vec<(String, ApiFile)>,
    report: Report,
    options: &Options,
    format: &str,
) -> Result<Imported, ConfigError> {
    let refused = |error: &dyn std::fmt::Display| ConfigError::of_file(&options.file, error.to_string());
    let file = |name: &str, text: String| OutFile { name: name.to_owned(), text, is_secret: false };
    let mut files = vec![file(MAIN, main_file())];
    let (services, routes) = (apis.len(), apis.iter().map(|(_, api)| api.routes.len()).sum::<usize>());
    for (name, api) in &apis {
        let text = to_yaml(api).map_err(|error| refused(&error))?;
        files.push(file(name, format!("{MARK}\n{text}")));
    }
    let head = format!(
        "Format {format}: {services} services and {routes} routes were written. `tollgate-proxy check` reads the folder.\n\n\
         What differs of every Kong: the gateway's own answers have another body; of two routes that fit, the order is host, \
         path, method, headers, where Kong counts first how many of them a route names; the path, with dot segments or `%2F`, \
         that two servers could read differently is refused with 400; connecting may take 5 seconds unless a service says more."
    );
    let name = options.file.file_name().unwrap_or_default().to_string_lossy();
    files.push(file(REPORT, format!("{MARK_MARKDOWN}\n{}", report.markdown(&name, &head))));
    Ok(Imported { files, report })
}

fn main_file() -> String {
    format!(
        "{MARK}\nnode_id: gate-1\nlisteners:\n  - name: plain\n    address: 0.0.0.0:8000\nrecords:\n  spool:\n    dir: spool\n"
    )
}

impl Imported {
    /// Returns whether everything was mapped, if also with differences.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.report.list(Fate::Missing).is_empty()
    }

    /// Returns the report's text.
    #[must_use]
    pub fn markdown(&self) -> &str {
        self.files.iter().find(|file| file.name == REPORT).map_or("", |file| &file.text)
    }

    /// Writes every file into a folder, which is made if it is not there. Nothing is written if a file of somebody
    /// else's is in the way.
    ///
    /// # Errors
    /// A file that no import wrote, and what the disk refuses.
    pub fn write(&self, dir: &Path) -> Result<(), WriteError> {
        fs::create_dir_all(dir).map_err(|source| WriteError::Io { path: dir.to_owned(), source })?;
        let mut written = Vec::new();
        for file in &self.files {
            let path = dir.join(&file.name);
            match (is_ours(&path, file.is_secret), file.name == MAIN) {
                (Some(false), true) => {}
                (Some(false), false) => return Err(WriteError::NotOurs(path)),
                _ => written.push((path, file)),
            }
        }
        for (path, file) in written {
            replace(&path, file).map_err(|source| WriteError::Io { path, source })?;
        }
        self.remove_stale(dir)
    }

    /// Removes what an earlier import wrote and this one did not.
    fn remove_stale(&self, dir: &Path) -> Result<(), WriteError> {
        let refused = |source| WriteError::Io { path: dir.to_owned(), source };
        for entry in fs::read_dir(dir).map_err(refused)? {
            let path = entry.map_err(refused)?.path();
            let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
            let is_known = self.files.iter().any(|file| file.name == name);
            if !is_known && name.ends_with(".yaml") && is_ours(&path, false) == Some(true) {
                fs::remove_file(&path).map_err(|source| WriteError::Io { path, source })?;
            }
        }
        Ok(())
    }
}

/// Returns whether an import wrote the file; none = there is no file.
fn is_ours(path: &Path, is_secret: bool) -> Option<bool> {
    let text = fs::read(path).ok()?;
    Some(is_secret || text.starts_with(MARK.as_bytes()) || text.starts_with(MARK_MARKDOWN.as_bytes()))
}

/// Replaces a file as a whole.
fn replace(path: &Path, file: &OutFile) -> std::io::Result<()> {
    let mut beside = path.as_os_str().to_owned();
    beside.push(".new");
    let _left_by_a_killed_import = fs::remove_file(&beside);
    let mode = if file.is_secret { 0o600 } else { 0o644 };
    let mut new = fs::OpenOptions::new().write(true).create_new(true).mode(mode).open(&beside)?;
    new.write_all(file.text.as_bytes())?;
    new.sync_all()?;
    fs::rename(&beside, path)
}

/// Reads what an earlier import wrote into a folder.
#[must_use]
pub fn earlier(dir: &Path) -> BTreeMap<String, String> {
    let entries = fs::read_dir(dir).into_iter().flatten().flatten();
    let read = |entry: fs::DirEntry| {
        let path = entry.path();
        let name = entry.file_name().into_string().ok().filter(|name| name.ends_with(".yaml"))?;
        is_ours(&path, false).filter(|ours| *ours)?;
        Some((name, fs::read_to_string(&path).ok()?))
    };
    entries.filter_map(read).collect()
}
