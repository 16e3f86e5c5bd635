//! `diff`: shows what one configuration changes against another.
//!
//! Exit status: 0 without differences; 1 with differences; 2 with errors.

use std::path::Path;
use std::process::ExitCode;

use serde_json::json;
use tollgate_config::ConfigError;
use tollgate_proxy::plan::diff::{Change, changes};
use tollgate_proxy_config::load;

use super::{EXIT_CONFIG, Format};

/// Shows what `new` changes against `old`. The files that they name are not read.
pub fn run(old: &Path, new: &Path, format: Format) -> ExitCode {
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
    let (before, after) = (load(old)?.value, load(new)?.value);
    let folder = |path: &'_ Path| if path.is_dir() { path.to_owned() } else { path.with_file_name("") };
    changes((&before, &folder(old)), (&after, &folder(new)))
        .map_err(|error| ConfigError::of_file(new, error.to_string()))
}
