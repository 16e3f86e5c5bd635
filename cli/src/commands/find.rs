//! `tollgate find`: what happened to one transaction, stage by stage.

use std::io::Write;
use std::process::ExitCode;

use anyhow::bail;

use crate::args::FindArgs;
use crate::client::HttpClient;
use crate::exit::FAILED;
use crate::output::EscapingWriter;

/// Runs the command.
pub fn main(args: &FindArgs) -> anyhow::Result<ExitCode> {
    if !args.id.bytes().all(|b| b.is_ascii_graphic()) || args.id.contains(['/', '?', '#', '%']) {
        bail!("`{}` is no id: give a request id (UUID), a trace id (32 hex digits) or a correlation id", args.id);
    }
    let format = if args.json { "json" } else { "text" };
    let (story, found) =
        HttpClient::new(&args.server).get_or_not_found(&format!("/v1/find/{}?format={format}", args.id))?;
    writeln!(EscapingWriter(std::io::stdout().lock()), "{}", story.trim_end())?;
    Ok(if found { ExitCode::SUCCESS } else { ExitCode::from(FAILED) })
}
