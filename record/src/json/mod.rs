//! A row as a flat JSON object, for Kafka, files and people.
//!
//! Keys are OpenTelemetry's names where there is one, else `tollgate.<column>`; null columns are left out. Ids and
//! other bytes are lower-case hex, instants are RFC 3339 in UTC with microseconds, `headers` is an object of its own,
//! lists are arrays. The batch's `environment`, `zone` and `gateway_version` come last, if it states them.
//!
//! Half of a record's values come from dictionaries. [`Rows`] renders such a value once, together with its key, and copies the bytes
//! into each row that has it.

mod cells;
mod values;

use std::sync::LazyLock;

use arrow_array::RecordBatch;

use crate::batch::BatchMeta;
use crate::columns::{COLUMNS, Column, index_of};
use crate::extract;
use crate::id::{RequestId, producer_tag};
use cells::Cells;
pub(crate) use values::write_str;

const TIME: usize = index_of("time").unwrap();
const SEQ: usize = index_of("seq").unwrap();

/// `"key":` of each column.
static KEYS: LazyLock<Vec<String>> =
    LazyLock::new(|| COLUMNS.iter().map(|column| format!("\"{}\":", key_of(column))).collect());

/// The key under which a column stands in the object.
pub fn key_of(column: &Column) -> String {
    column.otel.map_or_else(|| format!("tollgate.{}", column.name), str::to_owned)
}

/// Writes the rows of one batch. It keeps the rendered values of dictionaries, at most 1 MiB and one value, and 24 bytes for each value.
pub struct Rows<'a> {
    records: &'a RecordBatch,
    columns: Vec<Cells<'a>>,
    /// The values that [`Cells`] have rendered.
    rendered: Vec<u8>,
    producer_tag: u32,
    /// The members that are the same for all rows, at the end of each object.
    shared: Vec<u8>,
}

impl<'a> Rows<'a> {
    /// The rows of canonical `records`. A column that is not of its wire type is left out, as null is.
    pub fn of(records: &'a RecordBatch, meta: &BatchMeta) -> Self {
        let mut rendered = Vec::new();
        let mut columns: Vec<Cells<'a>> = Vec::with_capacity(COLUMNS.len());
        for (index, array) in records.columns().iter().enumerate().take(COLUMNS.len()) {
            let Some(cells) = Cells::of(index, &KEYS[index], array, &mut rendered) else { continue };
            if !columns.last_mut().is_some_and(|last| last.merge(&cells)) {
                columns.push(cells);
            }
        }
        let shared = [
            ("deployment.environment.name", &meta.environment),
            ("cloud.availability_zone", &meta.zone),
            ("service.version", &meta.gateway_version),
        ];
        let mut rows =
            Self { records, columns, rendered, producer_tag: producer_tag(&meta.producer), shared: Vec::new() };
        for (key, value) in shared.into_iter().filter(|(_, value)| !value.is_empty()) {
            rows.shared.extend_from_slice(format!("\"{key}\":").as_bytes());
            write_str(value, &mut rows.shared);
            rows.shared.push(b',');
        }
        rows
    }

    /// Appends row `row` to `out` as one JSON object without a line break. A row out of range gives `{}`.
    pub fn write(&mut self, row: usize, out: &mut Vec<u8>) {
        out.push(b'{');
        if row < self.records.num_rows() {
            let start = out.len();
            for cells in &mut self.columns {
                cells.write(row, &mut self.rendered, out);
            }
            self.write_request_id(row, out);
            out.extend_from_slice(&self.shared);
            // The last comma.
            if out.len() > start {
                out.pop();
            }
        }
        out.push(b'}');
    }

    fn write_request_id(&self, row: usize, out: &mut Vec<u8>) {
        let instant = extract::i64_at(self.records, TIME, row);
        let Some((time_us, seq)) = instant.zip(extract::i64_at(self.records, SEQ, row)) else { return };
        let id = RequestId::from_parts(time_us, self.producer_tag, seq);
        out.extend_from_slice(b"\"http.request.id\":\"");
        out.extend_from_slice(id.encode(&mut [0; 36]).as_bytes());
        out.extend_from_slice(b"\",");
    }
}
