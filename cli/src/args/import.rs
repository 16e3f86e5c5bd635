//! Arguments of `tollgate import`.

use std::path::PathBuf;

use clap::{Args as ClapArgs, Subcommand};

/// Arguments of `tollgate import`.
#[derive(Debug, ClapArgs)]
pub struct ImportArgs {
    /// The gateway that the file is for.
    #[command(subcommand)]
    pub from: ImportFrom,
}

/// The gateway that a file is for.
#[derive(Debug, Subcommand)]
pub enum ImportFrom {
    /// Kong's declarative configuration, formats 1.1, 2.1 and 3.0
    Kong(ImportKongArgs),
}

/// Arguments of `tollgate import kong`.
#[derive(Debug, ClapArgs)]
#[command(
    after_help = "Exit status: 0 = everything was mapped, if also with differences; 1 = something was not; 2 = the file was refused, or the folder could not be written.

  tollgate import kong kong.yml                  # only tells what would become of everything
  tollgate import kong kong.yml --out gate && tollgate-proxy check gate"
)]
pub struct ImportKongArgs {
    /// The file, as `deck gateway dump` or KONG_DECLARATIVE_CONFIG has it
    pub file: PathBuf,
    /// Folder for the files of the proxy and IMPORT.md; without it only the report is printed
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,
}
