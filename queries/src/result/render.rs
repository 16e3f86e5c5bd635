//! JSON, CSV, Arrow, a table of text, and a page for a browser.

use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef, RecordBatch, StringArray};
use datafusion::arrow::compute::{CastOptions, cast_with_options};
use datafusion::arrow::csv;
use datafusion::arrow::datatypes::{DataType, Field, FieldRef, Schema, SchemaRef};
use datafusion::arrow::error::ArrowError;
use datafusion::arrow::ipc::writer::StreamWriter;
use datafusion::arrow::json::writer::{EncoderOptions, NullableEncoder, make_encoder};
use datafusion::arrow::util::display::FormatOptions;
use datafusion::arrow::util::pretty::pretty_format_batches_with_options;
use serde::Serialize;

use super::{QueryResult, Summary};
use crate::error::{ErrorKind, QueryError};

/// How times read in every text form.
const TIME_FORMAT: &str = "%Y-%m-%dT%H:%M:%S%.6fZ";

/// The forms of an answer over HTTP.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// One object with columns, rows, warnings.
    Json,
    /// Comma-separated, with a header line.
    Csv,
    /// An Arrow IPC stream.
    Arrow,
    /// A page with a table.
    Html,
}

impl Format {
    /// The media type of its bytes.
    pub fn content_type(self) -> &'static str {
        match self {
            Self::Json => "application/json",
            Self::Csv => "text/csv; charset=utf-8",
            Self::Arrow => "application/vnd.apache.arrow.stream",
            Self::Html => "text/html; charset=utf-8",
        }
    }
}

#[derive(Serialize)]
struct ColumnHead<'s> {
    name: &'s str,
    r#type: String,
}

impl QueryResult {
    /// The whole answer in one of the forms.
    pub fn render(&self, format: Format) -> Result<Vec<u8>, QueryError> {
        if format == Format::Html {
            return self.html().map_err(unwritable);
        }
        let mut out = head(format, &self.schema)?;
        let mut rows = rows_encoder(format, &self.schema)?;
        for batch in &self.batches {
            out.extend(rows(batch.clone())?);
        }
        out.extend(tail(format, &self.summary())?);
        Ok(out)
    }

    fn summary(&self) -> Summary {
        Summary {
            rows: self.rows(),
            truncated: self.truncated,
            warnings: self.warnings.clone(),
            elapsed: self.elapsed,
            scanned: self.scanned,
        }
    }

    /// A table in text, as a terminal shows it.
    pub fn text(&self) -> Result<String, QueryError> {
        let empty;
        let batches = if self.batches.is_empty() {
            empty = [RecordBatch::new_empty(self.schema.clone())];
            &empty[..]
        } else {
            &self.batches
        };
        pretty_format_batches_with_options(batches, &text_options().with_null(""))
            .map(|table| table.to_string())
            .map_err(unwritable)
    }

    fn html(&self) -> Result<Vec<u8>, ArrowError> {
        let mut page = String::from(
            "<!doctype html><meta charset=\"utf-8\"><title>Tollgate</title><style>\
             body{font:14px sans-serif;margin:1em}table{border-collapse:collapse}\
             td,th{border:1px solid #ccc;padding:2px 6px;text-align:left;white-space:nowrap}\
             th{position:sticky;top:0;background:#eee}.w{background:#fe9;padding:4px}</style>",
        );
        for warning in &self.warnings {
            page.push_str(&format!("<p class=\"w\">{}</p>", escaped(warning)));
        }
        page.push_str(&format!("<p>{} rows, {} ms</p><table><tr>", self.rows(), self.elapsed.as_millis()));
        for field in self.schema.fields() {
            page.push_str(&format!("<th>{}</th>", escaped(field.name())));
        }
        for batch in &self.batches {
            let batch = texts(batch)?;
            for row in 0..batch.num_rows() {
                page.push_str("</tr><tr>");
                for column in batch.columns() {
                    let text = column.as_any().downcast_ref::<StringArray>();
                    let text = text.filter(|column| column.is_valid(row)).map_or("", |column| column.value(row));
                    page.push_str(&format!("<td>{}</td>", escaped(text)));
                }
            }
        }
        page.push_str("</tr></table>");
        Ok(page.into_bytes())
    }
}

/// How an Arrow IPC stream ends (Arrow columnar format, "IPC Streaming Format").
const ARROW_END: [u8; 8] = [0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0];

/// What stands before the rows. A page for a browser is only written as a whole, so that it has none.
pub(crate) fn head(format: Format, schema: &SchemaRef) -> Result<Vec<u8>, QueryError> {
    let empty = RecordBatch::new_empty(schema.clone());
    let written = match format {
        Format::Json => json_head(schema),
        Format::Csv => csv_rows(&empty, true),
        Format::Arrow => StreamWriter::try_new(Vec::new(), schema).map(|writer| writer.get_ref().clone()),
        Format::Html => Ok(Vec::new()),
    };
    written.map_err(unwritable)
}

/// Writes rows, portion by portion.
pub(crate) fn rows_encoder(
    format: Format,
    schema: &SchemaRef,
) -> Result<impl FnMut(RecordBatch) -> Result<Vec<u8>, QueryError> + Send + use<>, QueryError> {
    let mut arrow = StreamWriter::try_new(Vec::new(), schema).map_err(unwritable)?;
    arrow.get_mut().clear();
    let mut first = true;
    Ok(move |batch: RecordBatch| {
        let written = match format {
            Format::Json => {
                let mut out = Vec::new();
                write_rows(&batch, &mut out, &mut first).map(|()| out)
            }
            Format::Csv => csv_rows(&batch, false),
            Format::Arrow => arrow.write(&batch).map(|()| std::mem::take(arrow.get_mut())),
            Format::Html => Ok(Vec::new()),
        };
        written.map_err(unwritable)
    })
}

/// What stands after the rows.
pub(crate) fn tail(format: Format, summary: &Summary) -> Result<Vec<u8>, QueryError> {
    match format {
        Format::Json => json_tail(summary).map_err(unwritable),
        Format::Arrow => Ok(ARROW_END.to_vec()),
        Format::Csv | Format::Html => Ok(Vec::new()),
    }
}

/// What stands after the rows of an answer that broke off: a last line that says why. As JSON the whole stays well-formed.
pub(crate) fn broken(format: Format, error: &QueryError) -> Vec<u8> {
    match format {
        Format::Json => {
            let told = serde_json::json!({ "error": error.kind, "message": error.message, "hint": error.hint });
            format!("\n],\"error\":{told}}}\n").into_bytes()
        }
        _ => format!("\n# error: {error}\n").into_bytes(),
    }
}

fn unwritable(error: ArrowError) -> QueryError {
    QueryError::new(ErrorKind::Internal, format!("the answer cannot be written: {error}"))
}

/// `{"columns": [{name, type}], "rows": [`
fn json_head(schema: &SchemaRef) -> Result<Vec<u8>, ArrowError> {
    let heads = schema.fields().iter();
    let heads: Vec<_> =
        heads.map(|field| ColumnHead { name: field.name(), r#type: type_name(field.data_type()) }).collect();
    let mut out = b"{\"columns\":".to_vec();
    out.extend(to_json(&heads)?);
    out.extend_from_slice(b",\"rows\":[");
    Ok(out)
}

/// `], "row_count", "truncated", "warnings", "elapsed_ms", "scanned"}`
fn json_tail(summary: &Summary) -> Result<Vec<u8>, ArrowError> {
    let tail = serde_json::json!({
        "row_count": summary.rows,
        "truncated": summary.truncated,
        "warnings": summary.warnings,
        "elapsed_ms": summary.elapsed.as_millis() as u64,
        "scanned": summary.scanned,
    });
    let mut out = b"],".to_vec();
    out.extend_from_slice(&to_json(&tail)?[1..]);
    Ok(out)
}

fn csv_rows(batch: &RecordBatch, header: bool) -> Result<Vec<u8>, ArrowError> {
    let mut out = Vec::new();
    csv::WriterBuilder::new().with_header(header).build(&mut out).write(&texts(batch)?)?;
    Ok(out)
}

fn to_json(value: &impl Serialize) -> Result<Vec<u8>, ArrowError> {
    serde_json::to_vec(value).map_err(|error| ArrowError::JsonError(error.to_string()))
}

/// The rows of a batch as JSON objects. Nulls are written: a column that is absent is another thing than an empty one.
fn write_rows(batch: &RecordBatch, out: &mut Vec<u8>, first: &mut bool) -> Result<(), ArrowError> {
    let options = EncoderOptions::default()
        .with_explicit_nulls(true)
        .with_timestamp_format(TIME_FORMAT.to_owned())
        .with_timestamp_tz_format(TIME_FORMAT.to_owned());
    let schema = batch.schema();
    let fields: Vec<FieldRef> = schema.fields().iter().cloned().collect();
    let mut encoders: Vec<(Vec<u8>, NullableEncoder<'_>)> = Vec::with_capacity(fields.len());
    for (field, column) in fields.iter().zip(batch.columns()) {
        encoders.push((to_json(field.name())?, make_encoder(field, column.as_ref(), &options)?));
    }
    for row in 0..batch.num_rows() {
        out.extend_from_slice(if *first { b"{" } else { b",\n{" });
        *first = false;
        for (index, (name, encoder)) in encoders.iter_mut().enumerate() {
            if index > 0 {
                out.push(b',');
            }
            out.extend_from_slice(name);
            out.push(b':');
            if encoder.is_null(row) {
                out.extend_from_slice(b"null");
            } else {
                encoder.encode(row, out);
            }
        }
        out.push(b'}');
    }
    Ok(())
}

/// All columns as text.
fn texts(batch: &RecordBatch) -> Result<RecordBatch, ArrowError> {
    let options = CastOptions { safe: true, format_options: text_options() };
    let mut fields = Vec::with_capacity(batch.num_columns());
    let mut columns: Vec<ArrayRef> = Vec::with_capacity(batch.num_columns());
    for (field, column) in batch.schema().fields().iter().zip(batch.columns()) {
        columns.push(cast_with_options(column, &DataType::Utf8, &options)?);
        fields.push(Field::new(field.name(), DataType::Utf8, true));
    }
    let rows = datafusion::arrow::array::RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
    RecordBatch::try_new_with_options(Arc::new(Schema::new(fields)), columns, &rows)
}

fn text_options() -> FormatOptions<'static> {
    FormatOptions::default().with_timestamp_format(Some(TIME_FORMAT)).with_timestamp_tz_format(Some(TIME_FORMAT))
}

fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            other => out.push(other),
        }
    }
    out
}

/// The name of a type as the documentation of the record has it.
fn type_name(data_type: &DataType) -> String {
    match data_type {
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => "text".to_owned(),
        DataType::Timestamp(..) => "timestamp".to_owned(),
        DataType::Boolean => "boolean".to_owned(),
        DataType::List(item) => format!("{}[]", type_name(item.data_type())),
        number if number.is_integer() => "integer".to_owned(),
        number if number.is_floating() => "float".to_owned(),
        other => other.to_string().to_lowercase(),
    }
}
