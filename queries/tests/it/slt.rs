//! Queries as data: the files of `tests/slt/`, each asked of a table whose rows are always the same.
//!
//! The files are in the form of sqllogictest (<https://www.sqlite.org/sqllogictest>), of which this takes:
//!
//! ```text
//!   # a comment
//!   query TIR               a letter for each column: see `letter`
//!   SELECT …                up to the line of four dashes
//!   ----
//!   members 3 1.5           a line for each row; NULL and (empty) are written so
//!                           an empty line ends it
//!   statement error PART    the message has this part
//!   SELECT …                up to an empty line
//! ```
//! `UPDATE_SLT=1 cargo test -p tollgate-queries --test it slt` writes the answers of this build into the files.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use arrow::datatypes::DataType;
use arrow::util::display::{ArrayFormatter, FormatOptions};
use tollgate_queries::{Engine, QueryResult};

use super::fixture::Fixture;

/// 2026-01-05T12:00:00Z, a Monday.
const BASE_US: i64 = 1_767_614_400_000_000;

/// A piece of a file.
#[derive(Debug)]
enum Piece {
    /// Comments and empty lines, as they stand.
    Words(String),
    /// SQL that is answered: types, and one line a row.
    Query { line: usize, types: String, sql: String, rows: String },
    /// SQL that is not, with a part of the message.
    Error { line: usize, part: String, sql: String },
}

fn pieces(text: &str) -> Vec<Piece> {
    let mut pieces = Vec::new();
    let mut lines = text.lines().enumerate();
    while let Some((at, line)) = lines.next() {
        let mut until = |end: &str| -> String {
            let taken = lines.by_ref().map(|(_, line)| line).take_while(|line| *line != end);
            taken.map(|line| format!("{line}\n")).collect()
        };
        pieces.push(if let Some(types) = line.strip_prefix("query ") {
            Piece::Query { line: at + 1, types: types.to_owned(), sql: until("----"), rows: until("") }
        } else if let Some(part) = line.strip_prefix("statement error ") {
            Piece::Error { line: at + 1, part: part.to_owned(), sql: until("") }
        } else {
            assert!(line.is_empty() || line.starts_with('#'), "line {}: `{line}`", at + 1);
            Piece::Words(format!("{line}\n"))
        });
    }
    pieces
}

fn letter(data_type: &DataType) -> char {
    match data_type {
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => 'T',
        integer if integer.is_integer() => 'I',
        number if number.is_numeric() => 'R',
        DataType::Boolean => 'B',
        DataType::Timestamp(..) | DataType::Date32 => 'D',
        DataType::List(_) => 'L',
        DataType::Binary => 'X',
        _ => '?',
    }
}

fn lines_of(result: &QueryResult) -> String {
    let options = FormatOptions::new().with_null("NULL");
    let mut lines = String::new();
    for batch in &result.batches {
        let shown = |column| ArrayFormatter::try_new(column, &options).expect("shown");
        let columns: Vec<_> = batch.columns().iter().map(|column| shown(column.as_ref())).collect();
        for row in 0..batch.num_rows() {
            let values = columns.iter().map(|column| column.value(row).to_string());
            let values = values.map(|text| if text.is_empty() { "(empty)".to_owned() } else { text });
            lines += &values.collect::<Vec<_>>().join(" ");
            lines.push('\n');
        }
    }
    lines
}

/// Asks every piece. Answers the file as it should be, and what differs.
async fn asked(engine: &Engine, pieces: Vec<Piece>) -> (String, Vec<String>) {
    let (mut file, mut wrong) = (String::new(), Vec::new());
    for piece in pieces {
        match piece {
            Piece::Words(words) => file += &words,
            Piece::Query { line, types, sql, rows } => {
                let result = match engine.query(&sql).await {
                    Ok(result) => result,
                    Err(error) => {
                        wrong.push(format!("line {line}: {error}"));
                        write!(file, "query {types}\n{sql}----\n{rows}\n").expect("text");
                        continue;
                    }
                };
                let got: String = result.schema.fields().iter().map(|field| letter(field.data_type())).collect();
                let lines = lines_of(&result);
                if (&got, &lines) != (&types, &rows) {
                    wrong.push(format!("line {line}: query {got}\n{lines}instead of query {types}\n{rows}"));
                }
                write!(file, "query {got}\n{sql}----\n{lines}\n").expect("text");
            }
            Piece::Error { line, part, sql } => {
                let message =
                    engine.query(&sql).await.map_or_else(|error| error.to_string(), |_| "an answer".to_owned());
                if !message.contains(&part) {
                    wrong.push(format!("line {line}: `{message}` has no `{part}`"));
                }
                write!(file, "statement error {part}\n{sql}\n").expect("text");
            }
        }
    }
    (file, wrong)
}

fn files() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/slt");
    let mut files: Vec<_> =
        std::fs::read_dir(folder).expect("folder").map(|entry| entry.expect("entry").path()).collect();
    files.retain(|file| file.extension().is_some_and(|extension| extension == "slt"));
    files.sort();
    files
}

#[tokio::test]
async fn every_file_is_answered_as_it_says() {
    let fixture = Fixture::at(BASE_US).await;
    let update = std::env::var_os("UPDATE_SLT").is_some();
    let mut all_wrong = Vec::new();
    assert!(files().len() >= 5);
    for path in files() {
        let text = std::fs::read_to_string(&path).expect("file");
        let (file, wrong) = asked(&fixture.engine, pieces(&text)).await;
        all_wrong.extend(wrong.iter().map(|wrong| format!("{}: {wrong}", path.display())));
        if update {
            std::fs::write(&path, file.trim_end().to_owned() + "\n").expect("written");
        }
    }
    assert!(all_wrong.is_empty() || update, "{}", all_wrong.join("\n"));
    all_wrong.iter().for_each(|wrong| println!("{wrong}"));
}
