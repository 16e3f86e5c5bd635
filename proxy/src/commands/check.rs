//! `check`: reads a configuration with every file that it names, and binds nothing.
//!
//! Exit status: 0 without errors; 1 for `--deny-warnings` with warnings; 2 with errors.

use std::path::Path;
use std::process::ExitCode;

use serde_json::{Value, json};
use tollgate_config::Diagnostic;
use tollgate_proxy::plan::RuntimeConfig;

use super::{EXIT_CONFIG, Format};

/// Checks a configuration with every file it names.
pub fn run(path: &Path, format: Format, deny_warnings: bool) -> ExitCode {
    let (revision, errors, warnings) = match RuntimeConfig::check(path) {
        Ok((config, warnings)) => (Some(config.revision), Vec::new(), warnings),
        Err(error) => (None, error.diagnostics().to_vec(), Vec::new()),
    };
    match (format, &revision) {
        (Format::Json, _) => {
            let list = |diagnostics: &[Diagnostic]| diagnostics.iter().map(as_json).collect::<Vec<_>>();
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

fn as_json(diagnostic: &Diagnostic) -> Value {
    json!({
        "file": diagnostic.file, "line": diagnostic.line, "column": diagnostic.column, "key": diagnostic.key,
        "problem": diagnostic.problem,
    })
}
