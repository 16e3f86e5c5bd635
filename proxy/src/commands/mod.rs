//! The commands that only read: `check` and `diff`.
//!
//! Exit status: 0 without errors and differences; 1 for `check --deny-warnings` with warnings and for `diff` with
//! differences; 2 with errors.

pub mod top;

use std::path::Path;
use std::process::ExitCode;

use clap::ValueEnum;
use serde_json::{Value, json};
use tollgate_config::{ConfigError, Diagnostic};
use tollgate_proxy::config::{Plan, ProxyConfig};
use tollgate_proxy::plan::diff::{Change, changes};

use crate::EXIT_CONFIG;

/// How results are written to standard output.
#[derive(Debug, Clone, Copy, Default, ValueEnum)]
pub enum Format {
    /// One line each, as editors can jump to.
    #[default]
    Text,
    /// One JSON object.
    Json,
}

/// Checks a configuration with every file it names.
pub fn check(path: &Path, format: Format, deny_warnings: bool) -> ExitCode {
    let (revision, errors, warnings) = match Plan::check(path) {
        Ok((plan, warnings)) => (Some(plan.revision), Vec::new(), warnings),
        Err(error) => (None, error.diagnostics().to_vec(), Vec::new()),
    };
    match (format, &revision) {
        (Format::Json, _) => {
            let list = |problems: &[Diagnostic]| problems.iter().map(as_json).collect::<Vec<_>>();
            let (errors, warnings) = (list(&errors), list(&warnings));
            let all = json!({"path": path, "revision": revision, "errors": errors, "warnings": warnings});
            println!("{all:#}");
        }
        (Format::Text, _) => {
            warnings.iter().for_each(|warning| println!("warning: {warning}"));
            errors.iter().for_each(|error| eprintln!("{error}"));
            if let Some(revision) = &revision {
                println!("{}: ok, revision {revision}", path.display());
            }
        }
    }
    match (revision.is_some(), deny_warnings && !warnings.is_empty()) {
        (false, _) => ExitCode::from(EXIT_CONFIG),
        (true, true) => ExitCode::FAILURE,
        (true, false) => ExitCode::SUCCESS,
    }
}

fn as_json(problem: &Diagnostic) -> Value {
    json!({
        "file": problem.file, "line": problem.line, "column": problem.column, "key": problem.key,
        "problem": problem.problem,
    })
}

/// Shows what `new` changes against `old`. The files that they name are not read.
pub fn diff(old: &Path, new: &Path, format: Format) -> ExitCode {
    match read_both(old, new) {
        Ok(changes) => {
            match format {
                Format::Json => println!("{:#}", json!({ "changes": changes })),
                Format::Text => changes.iter().for_each(|change| println!("{change}")),
            }
            if changes.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
        }
        Err(error) => {
            eprintln!("{error}");
            ExitCode::from(EXIT_CONFIG)
        }
    }
}

fn read_both(old: &Path, new: &Path) -> Result<Vec<Change>, ConfigError> {
    let (before, after) = (ProxyConfig::load(old)?, ProxyConfig::load(new)?);
    let folder = |path: &'_ Path| if path.is_dir() { path.to_owned() } else { path.with_file_name("") };
    changes((&before, &folder(old)), (&after, &folder(new)))
        .map_err(|error| ConfigError::of_file(new, error.to_string()))
}
