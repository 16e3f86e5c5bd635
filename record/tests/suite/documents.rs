//! The document for users says what the code does.

use std::path::Path;

use tollgate_record::columns::{COLUMNS, COMPUTED, index_of};
use tollgate_record::{document, schema};

#[test]
fn the_document_is_fresh() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/record.md");
    let written = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        written == document::markdown(),
        "docs/record.md is stale; run `cargo run -p tollgate-record --example generate-docs` and commit the result"
    );
}

#[test]
fn names_are_unique_and_found() {
    for (index, column) in COLUMNS.iter().enumerate() {
        assert_eq!(index_of(column.name), Some(index));
        assert!(!column.meaning.is_empty());
        assert_eq!(schema::wire().field(index).name(), column.name);
        assert_eq!(schema::table().field(index).name(), column.name);
    }
    assert_eq!(index_of(COMPUTED[0].name), None);
    assert_eq!(index_of("no_such_column"), None);
}
