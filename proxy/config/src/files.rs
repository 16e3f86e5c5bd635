//! Loads one file, or several as one configuration. With several, each team can own the file of its API.
//!
//! `include:` of the main file names files and folders. A folder in place of the main file means its `proxy.yaml`, with
//! every other file in it. Names are unique over all files, each problem names its file, and the revision covers all.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use tollgate_config::{ConfigError, Diagnostic, FILES_MAX, Loaded};

use crate::{Consumer, ProxyConfig, Route, Service};

/// Name of the main file in a folder.
const MAIN: &str = "proxy.yaml";
/// Depth of folders.
const DEPTH_MAX: usize = 8;

/// A further file, which has the services and routes of one API or more, or the callers of a team.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct ApiFile {
    services: Vec<Service>,
    routes: Vec<Route>,
    consumers: Vec<Consumer>,
}

/// Loads the file at `path`, or the folder with its `proxy.yaml`, with everything that is included.
///
/// # Errors
/// Files that cannot be read or understood.
pub fn load(path: &Path) -> Result<Loaded<ProxyConfig>, ConfigError> {
    if !path.is_dir() {
        return included(tollgate_config::load(path)?, None);
    }
    included(tollgate_config::load(&path.join(MAIN))?, Some(path))
}

/// Loads a main file whose text is in memory already; relative paths are resolved against the folder of `path`.
///
/// # Errors
/// As for [`load`].
pub fn parse(path: &Path, text: String) -> Result<Loaded<ProxyConfig>, ConfigError> {
    included(tollgate_config::parse(path, text)?, None)
}

/// Adds what a main file includes, and what is beside it in `folder`. Reports what is wrong in all of these files.
fn included(mut loaded: Loaded<ProxyConfig>, folder: Option<&Path>) -> Result<Loaded<ProxyConfig>, ConfigError> {
    let mut files = BTreeSet::new();
    let mut problems: Vec<Diagnostic> = Vec::new();
    for entry in &loaded.value.include {
        let found = match entry.is_dir() {
            true => list(entry, 0, &mut files),
            false => {
                files.insert(entry.to_path_buf());
                Ok(())
            }
        };
        if let Err(problem) = found {
            problems.extend_from_slice(loaded.error_at(entry, problem).diagnostics());
        }
    }
    if let Some(folder) = folder
        && let Err(problem) = list(folder, 0, &mut files)
    {
        problems.extend_from_slice(ConfigError::of_file(folder, problem).diagnostics());
    }
    files.remove(&loaded.path);
    for file in files {
        match loaded.also::<ApiFile>(&file) {
            Ok(mut api) => {
                loaded.value.services.append(&mut api.services);
                loaded.value.routes.append(&mut api.routes);
                loaded.value.consumers.append(&mut api.consumers);
            }
            Err(error) => problems.extend_from_slice(error.diagnostics()),
        }
    }
    // The configuration is whole now: printed, it needs no other file.
    loaded.value.include.clear();
    if problems.is_empty() { Ok(loaded) } else { Err(ConfigError::many(problems)) }
}

/// Lists the `.yaml` and `.yml` files below a folder, in order. Names that begin with a dot are skipped.
fn list(folder: &Path, depth: usize, files: &mut BTreeSet<PathBuf>) -> Result<(), String> {
    if depth > DEPTH_MAX {
        return Err(format!("{} is more than {DEPTH_MAX} folders deep; move its files up", folder.display()));
    }
    let wrong = |error: std::io::Error| format!("{}: {error}; name a folder that can be read", folder.display());
    for entry in std::fs::read_dir(folder).map_err(wrong)? {
        let path = entry.map_err(wrong)?.path();
        let hidden = path.file_name().is_some_and(|name| name.to_string_lossy().starts_with('.'));
        if hidden {
            continue;
        }
        if path.is_dir() {
            list(&path, depth + 1, files)?;
        } else if path.extension().is_some_and(|ending| ending == "yaml" || ending == "yml") {
            files.insert(path);
        }
        if files.len() > FILES_MAX {
            return Err(format!("there are more than {FILES_MAX} files; write several APIs into one"));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use tollgate_config::to_yaml;

    use super::*;

    const MINIMAL: &str = "\
node_id: gate-1
listeners: [{name: plain, address: \"127.0.0.1:8080\"}]
services: [{name: api, targets: [\"http://127.0.0.1:9000\"]}]
routes: [{name: all, service: api}]
records: {spool: {dir: spool}}
";

    #[test]
    fn what_is_printed_with_every_default_is_read_the_same_again() {
        let path = Path::new("/etc/gate.yaml");
        let printed = to_yaml(&parse(path, MINIMAL.to_owned()).unwrap().value).unwrap();
        let again = to_yaml(&parse(path, printed.clone()).unwrap().value).unwrap();
        assert_eq!(printed, again);
        for default in ["header_read: 30s", "streams_max: 100", "attempts_max: 3", "ring_bytes_max: 64 MiB"] {
            assert!(printed.contains(default), "{default} in {printed}");
        }
    }

    #[test]
    fn an_unknown_key_of_any_section_is_an_error_at_its_place() {
        for section in ["timeouts", "limits", "retries", "http2", "forwarding", "trace", "admin"] {
            let text = format!("{MINIMAL}{section}: {{nonsense: 1}}\n");
            let error = parse(Path::new("gate.yaml"), text).unwrap_err().to_string();
            assert!(error.starts_with("gate.yaml:6:"), "{error}");
            assert!(error.contains(&format!("{section}.nonsense")), "{error}");
        }
    }
}
