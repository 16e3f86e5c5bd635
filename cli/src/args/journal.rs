//! Arguments of `tollgate journal`.

use std::path::PathBuf;

use clap::{Args as ClapArgs, Subcommand};

/// Arguments of `tollgate journal`.
#[derive(Debug, ClapArgs)]
pub struct JournalArgs {
    /// What to do
    #[command(subcommand)]
    pub command: JournalCommand,
}

/// What to do with a journal.
#[derive(Debug, Subcommand)]
pub enum JournalCommand {
    /// List the segments, and how far each sink is
    Ls(JournalLsArgs),
    /// Check every frame and that no position is missing: exit status 1 if something is damaged
    Verify(JournalDirArgs),
    /// Print frames, or the records in them, as lines of JSON
    Cat(JournalCatArgs),
}

/// Which journal.
#[derive(Debug, ClapArgs)]
pub struct JournalDirArgs {
    /// The journal's folder (`journal.dir`); it is only read, and not locked
    #[arg(value_name = "DIR")]
    pub dir: PathBuf,
}

/// Arguments of `tollgate journal ls`.
#[derive(Debug, ClapArgs)]
pub struct JournalLsArgs {
    /// Which journal
    #[command(flatten)]
    pub journal: JournalDirArgs,
    /// Print JSON instead of a table
    #[arg(long)]
    pub json: bool,
}

/// Arguments of `tollgate journal cat`.
#[derive(Debug, ClapArgs)]
#[command(after_help = "A batch that --raw wrote opens with pyarrow:
  python3 -c 'import pyarrow as pa, sys; print(pa.ipc.open_stream(pa.input_stream(sys.argv[1])).read_all())' 00000000000000000713.arrows.zst")]
pub struct JournalCatArgs {
    /// Which journal
    #[command(flatten)]
    pub journal: JournalDirArgs,
    /// First position
    #[arg(long, value_name = "POSITION", default_value_t = 0)]
    pub from: u64,
    /// Last position
    #[arg(long, value_name = "POSITION")]
    pub to: Option<u64>,
    /// Only frames of this producer, or of the producers whose name begins so (edge-1/)
    #[arg(long, value_name = "NAME")]
    pub producer: Option<String>,
    /// Print each record instead of each frame
    #[arg(long, conflicts_with = "raw")]
    pub records: bool,
    /// Write each batch as it was posted to DIR/POSITION.arrows.zst
    #[arg(long, value_name = "DIR")]
    pub raw: Option<PathBuf>,
}
