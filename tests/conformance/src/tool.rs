//! Programs of others that a test needs.

use std::path::PathBuf;
use std::process::Command;

/// The program's path, or `None` where it is not installed: the test is then skipped, loudly, and fails under `CI=true`.
///
/// # Panics
/// Under `CI=true` when it is missing.
#[must_use]
pub fn find(name: &str, install: &str) -> Option<PathBuf> {
    let folders = std::env::var_os("PATH").unwrap_or_default();
    let folders = std::env::split_paths(&folders).chain(["/usr/sbin", "/sbin"].map(PathBuf::from));
    let found = folders.map(|folder| folder.join(name)).find(|path| path.is_file());
    if found.is_none() {
        missing(name, install);
    }
    found
}

/// A program that a script of the project installs and prints the path of.
///
/// # Panics
/// Under `CI=true` when the script fails.
#[must_use]
pub fn installed_by(script: &str) -> Option<PathBuf> {
    match tollgate_tests::process::script(script, &[]) {
        Ok(path) => Some(PathBuf::from(path)),
        Err(error) => {
            missing(&format!("what scripts/{script} installs ({error:#})"), "look at what it printed");
            None
        }
    }
}

fn missing(what: &str, install: &str) {
    assert!(std::env::var("CI").as_deref() != Ok("true"), "{what} is missing: {install}");
    eprintln!("SKIPPED: {what} is missing: {install}");
}

/// The first line that `program --version` prints.
///
/// # Errors
/// When it cannot be run.
pub fn version(command: &mut Command) -> anyhow::Result<String> {
    let output = command.output()?;
    let text = [output.stdout, output.stderr].concat();
    Ok(String::from_utf8_lossy(&text).lines().next().unwrap_or_default().to_owned())
}
