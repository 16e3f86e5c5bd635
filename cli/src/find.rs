//! `tollgate find`: what happened to one transaction, stage by stage.

use std::process::ExitCode;

use anyhow::{Context, bail};
use serde_json::Value;

use crate::FAILED;
use crate::args::FindArgs;
use crate::door::Door;

/// Runs the command.
pub fn main(args: &FindArgs) -> anyhow::Result<ExitCode> {
    if !args.id.bytes().all(|b| b.is_ascii_graphic()) || args.id.contains(['/', '?', '#', '%']) {
        bail!("`{}` is no id: give a request id (UUID), a trace id (32 hex digits) or a correlation id", args.id);
    }
    let answer = Door::new(&args.door).get(&format!("/v1/find/{}", args.id))?;
    let story: Value = serde_json::from_slice(&answer.body).context("reading the answer")?;
    if args.json {
        println!("{}", serde_json::to_string_pretty(&story)?);
    } else {
        println!("{}", story["text"].as_str().context("the answer has no text")?);
    }
    let found = story["found"].as_bool().unwrap_or(true);
    Ok(if found { ExitCode::SUCCESS } else { ExitCode::from(FAILED) })
}
