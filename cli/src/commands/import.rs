//! `tollgate import`: the configuration of another gateway, and what became of it.

use std::io::Write;
use std::process::ExitCode;

use tollgate_import::{Fate, Imported, kong_file};

use crate::args::{ImportArgs, ImportFrom, ImportKongArgs};
use crate::exit;

/// Runs the command.
pub fn main(args: &ImportArgs) -> anyhow::Result<ExitCode> {
    let ImportFrom::Kong(args) = &args.from;
    exit::or_usage(kong(args))
}

fn kong(args: &ImportKongArgs) -> anyhow::Result<ExitCode> {
    // A variable that is no text cannot be meant in a file that is.
    let environment =
        std::env::vars_os().filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)));
    let imported = kong_file(&args.file, args.out.as_deref(), environment.collect())?;
    let mut out = std::io::stdout().lock();
    match &args.out {
        None => out.write_all(imported.markdown().as_bytes())?,
        Some(dir) => writeln!(out, "{}", summary(&imported, &dir.display().to_string()))?,
    }
    Ok(if imported.is_complete() { ExitCode::SUCCESS } else { ExitCode::from(exit::FAILED) })
}

fn summary(imported: &Imported, dir: &str) -> String {
    let count = |fate| imported.report.list(fate).len();
    format!(
        "{dir}: {} files; {} mapped, {} with a difference, {} not mapped: see {dir}/IMPORT.md",
        imported.files.len(),
        count(Fate::Mapped),
        count(Fate::Differs),
        count(Fate::Missing)
    )
}
