//! Writes `docs/record.md` from the registry: `cargo run -p tollgate-record --example generate-docs`.

use std::path::Path;

fn main() -> std::io::Result<()> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/record.md");
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder)?;
    }
    std::fs::write(&path, tollgate_record::document::markdown())
}
