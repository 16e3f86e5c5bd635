//! Writes what is made from the registry, `docs/record.md` and the table of error classes in a runbook:
//! `cargo run -p tollgate-record --example generate-docs`.

use std::io::{Error, Result};
use std::path::Path;

use tollgate_record::document;

fn main() -> Result<()> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    std::fs::write(root.join("docs/record.md"), document::markdown())?;
    let runbook = root.join("dashboards/runbooks/ErrorClassSpike.md");
    let page = document::with_error_classes(&std::fs::read_to_string(&runbook)?);
    std::fs::write(&runbook, page.ok_or_else(|| Error::other("ErrorClassSpike.md has no marks for the table"))?)
}
