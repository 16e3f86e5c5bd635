//! What users read of the registry: `docs/record.md`, and the table of error classes in a runbook.
//!
//! `cargo run -p tollgate-record --example generate-docs` writes both; a test compares them.

use std::fmt::Write as _;

use crate::columns::{COLUMNS, COMPUTED, Column, ColumnType, RESERVED, record_columns};
use crate::vocabulary::{Actor, ErrorClass, Vocabulary};
use crate::{RECORD_VERSION, key};

/// The text of `docs/record.md`.
pub fn markdown() -> String {
    let mut text = String::new();
    // Writing into a string does not fail.
    let _ = write_document(&mut text);
    text
}

fn write_document(out: &mut String) -> std::fmt::Result {
    writeln!(out, "# The transaction record, version {RECORD_VERSION}\n")?;
    writeln!(out, "<!-- Made from the registry in record/src/columns.rs. Do not edit: run")?;
    writeln!(out, "     cargo run -p tollgate-record --example generate-docs -->\n")?;
    writeln!(out, "{INTRODUCTION}")?;
    writeln!(out, "| column | type | D | OpenTelemetry | ECS | meaning |")?;
    writeln!(out, "|---|---|--|---|---|---|")?;
    for column in COLUMNS {
        write_row(out, column, "")?;
        if column.name == "kind" {
            for column in COMPUTED {
                write_row(out, column, ", computed")?;
            }
        }
    }
    writeln!(out, "\n## Closed lists\n\n| column | values |\n|---|---|")?;
    write_closed_lists(out)?;
    writeln!(out, "\nA newer producer may write values that are not listed.\n")?;
    write_error_classes(out)?;
    writeln!(out, "\n## Batch metadata\n")?;
    writeln!(out, "The metadata of a batch's Arrow schema holds what is the same for all its rows:\n")?;
    let keys = [
        key::RECORD_VERSION,
        key::PRODUCER,
        key::NODE_ID,
        key::BATCH_SEQ,
        key::FIRST_SEQ,
        key::LAST_SEQ,
        key::GATEWAY_VERSION,
        key::ENVIRONMENT,
        key::ZONE,
        key::REDACTION_POLICY,
        key::HMAC_KEY_ID,
    ];
    let keys: Vec<String> = keys.iter().map(|key| format!("`{key}`")).collect();
    writeln!(out, "{}.", keys.join(", "))
}

const INTRODUCTION: &str = "\
One row per transaction: one request head accepted by the proxy, to the end of its response, however it ended. A failed TLS
handshake leaves a row too, and so does a run of records that was shed on purpose (`kind` says which).

Times are UTC microseconds; durations are microseconds and end in `_us`; sizes are bytes and end in `_bytes`.
**Null says that the phase was not reached or does not apply; there is no -1.**
`D` marks dictionary columns: on the wire `Dictionary(Int32, Utf8)`, in the table plain `Utf8`.
A number after a type is the most bytes that are kept of a text, or the exact width of bytes. In JSON, columns go by their OpenTelemetry name, or
by `tollgate.` and their own. A batch file (`.arrows.zst`) is one zstd frame around one Arrow IPC stream: `zstd -d` and pyarrow's
`ipc.open_stream` open it.

A *reserved* column or value has its name and its place, and no version of the gateway writes it yet.
";

macro_rules! closed_list {
    ((closed $vocabulary:ident), $column:expr, $out:expr) => {
        write_values::<$crate::vocabulary::$vocabulary>($out, $column)?
    };
    ($open:tt, $column:expr, $out:expr) => {};
}

macro_rules! closed_lists {
    (
        first [ $($first:tt)* ]
        header [ $($header:tt)* ]
        rest [ $($name:ident($field:ident): $storage:tt $null:tt, $cap:expr, $otel:tt, $ecs:tt, $meaning:literal;)* ]
    ) => {
        /// Writes the values of each column that has a closed list.
        fn write_closed_lists(out: &mut String) -> std::fmt::Result {
            $(closed_list!($storage, stringify!($name), out);)*
            Ok(())
        }
    };
}
record_columns!(closed_lists);

fn write_error_classes(out: &mut String) -> std::fmt::Result {
    writeln!(out, "## Error classes\n\n{ERROR_CLASSES}")?;
    writeln!(out, "| `error_class` | what went wrong | who is to act | what the client reads |")?;
    writeln!(out, "|---|---|---|---|")?;
    for class in ErrorClass::ALL {
        let reserved = if class.is_reserved() { " (reserved)" } else { "" };
        let (meaning, actor, message) = (class.meaning(), class.actor(), class.client_message());
        writeln!(out, "| {class}{reserved} | {meaning} | {actor} | {message} |")?;
    }
    Ok(())
}

const ERROR_CLASSES: &str = "\
Who is to act follows from the class; SQL has it as `actor(error_class)`. The client reads the class and its message in the
answer, never `error_detail`, which may name what is behind the gateway.
";

/// The line before the table of error classes in a page that is otherwise written by hand.
const CLASSES_BEGIN: &str = "<!-- error classes: made from record/src/vocabulary/error_class.rs by cargo run -p tollgate-record --example generate-docs -->\n";
/// The line after it.
const CLASSES_END: &str = "<!-- error classes end -->\n";

/// `page` with a fresh table of the error classes between its two marks; nothing if it has no marks.
pub fn with_error_classes(page: &str) -> Option<String> {
    let (before, rest) = page.split_once(CLASSES_BEGIN)?;
    let (_, after) = rest.split_once(CLASSES_END)?;
    let mut table = "| who is to act | causes |\n|---|---|\n".to_owned();
    for actor in Actor::ALL {
        let classes: Vec<String> =
            ErrorClass::ALL.iter().filter(|class| class.actor() == *actor).map(|class| format!("`{class}`")).collect();
        table += &format!("| {actor} | {} |\n", classes.join(", "));
    }
    Some(format!("{before}{CLASSES_BEGIN}{table}{CLASSES_END}{after}"))
}

fn write_row(out: &mut String, column: &Column, note: &str) -> std::fmt::Result {
    let dictionary = if column.dictionary { "D" } else { "" };
    let required = if column.nullable { "" } else { ", never null" };
    writeln!(
        out,
        "| `{}` | {}{required}{note} | {dictionary} | {} | {} | {}{} |",
        column.name,
        type_name(column),
        column.otel.unwrap_or_default(),
        column.ecs.unwrap_or_default(),
        column.meaning,
        if RESERVED.contains(&column.name) { " *Reserved.*" } else { "" },
    )
}

fn type_name(column: &Column) -> String {
    let cap = |name: &str| match column.bytes_max {
        0 => name.to_owned(),
        bytes => format!("{name}({bytes})"),
    };
    match column.ty {
        ColumnType::Timestamp => "Timestamp(µs, UTC)".to_owned(),
        ColumnType::Utf8 => cap("Utf8"),
        ColumnType::Int32 => "Int32".to_owned(),
        ColumnType::Int64 => "Int64".to_owned(),
        ColumnType::Boolean => "Boolean".to_owned(),
        ColumnType::Binary => cap("Binary"),
        ColumnType::Utf8List => format!("List\\<{}\\>", cap("Utf8")),
        ColumnType::Int32List => "List\\<Int32\\>".to_owned(),
    }
}

fn write_values<V: Vocabulary>(out: &mut String, column: &str) -> std::fmt::Result {
    let (reserved, written): (Vec<V>, Vec<V>) = V::ALL.iter().copied().partition(|value| value.is_reserved());
    let list = |values: &[V]| values.iter().map(|value| value.as_str()).collect::<Vec<_>>().join(", ");
    match reserved.is_empty() {
        true => writeln!(out, "| `{column}` | {} |", list(&written)),
        false => writeln!(out, "| `{column}` | {}; reserved: {} |", list(&written), list(&reserved)),
    }
}
