//! Roll-ups: sums over the rows of one data file, made with it and kept beside it.
//!
//! A roll-up belongs to its data file. The sum of the roll-ups of a snapshot's files is therefore the sum of its rows, exactly
//! once, without a transaction of its own: a compaction writes new ones, and retention drops them with their files. A data
//! file without a roll-up, or with a damaged one, is scanned.
//!
//! # On disk
//! ```text
//!   TABLE/_tollgate/v1/date=2026-11-23/NAME/service_5m.parquet      beside TABLE/date=2026-11-23/NAME.parquet
//! ```
//! The folder begins with `_`, so other readers of Delta Lake do not see it, and their vacuum spares it. Each roll-up is a small
//! Parquet file, ordered by its keys and then by its bucket of time. Its columns:
//!
//! | columns | type | value |
//! |---|---|---|
//! | `bucket` | Timestamp(µs, UTC) | begin of the [`Grain`] that the rows' `time` falls in |
//! | the keys | as in the table | the rows of a cell agree on all of them |
//! | `rows` | Int64 | how many rows |
//! | `COLUMN_count`, `_sum` | Int64 | of the rows with a value |
//! | `COLUMN_min`, `_max` | as in the table | null where no row has a value |
//! | `COLUMN_sketch` | Binary | a `tollgate_sketch::Sketch` of the values |

mod build;
mod cells;
mod file;
mod measures;
mod merge;
mod values;

use std::sync::{Arc, LazyLock};

use arrow_schema::{DataType, Field, Schema, SchemaRef, TimeUnit};
use tollgate_record::schema;

pub(crate) use self::build::{COLUMNS, RollupBuilder, coarser_than};
pub(crate) use self::file::{CellWriter, read};
pub(crate) use self::merge::{Cells, merge};

/// Length of a roll-up's buckets of time. Buckets begin at multiples of it since 1970.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Grain {
    /// Five minutes.
    FiveMinutes,
    /// An hour.
    Hour,
}

impl Grain {
    /// Its length in microseconds.
    #[must_use]
    pub const fn us(self) -> i64 {
        match self {
            Self::FiveMinutes => 300_000_000,
            Self::Hour => 3_600_000_000,
        }
    }
}

/// What a roll-up keeps of a column, in this order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Part {
    /// Number of values.
    Count,
    /// Their sum. A roll-up of which one does not fit into 64 bits is left out.
    Sum,
    /// The smallest.
    Min,
    /// The largest.
    Max,
    /// Their distribution.
    Sketch,
}

impl Part {
    /// The end of the column's name.
    #[must_use]
    pub const fn suffix(self) -> &'static str {
        match self {
            Self::Count => "count",
            Self::Sum => "sum",
            Self::Min => "min",
            Self::Max => "max",
            Self::Sketch => "sketch",
        }
    }
}

/// A column of the table, and what a roll-up keeps of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Measure {
    /// Name of the column.
    pub column: &'static str,
    /// What is kept.
    pub parts: &'static [Part],
}

/// One kind of roll-up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rollup {
    /// Its name, which is also its file's.
    pub name: &'static str,
    /// Length of its buckets.
    pub grain: Grain,
    /// The columns that rows of one cell agree on, beside the bucket.
    pub keys: &'static [&'static str],
    /// What it keeps.
    pub measures: &'static [Measure],
}

const ALL: &[Part] = &[Part::Count, Part::Sum, Part::Min, Part::Max, Part::Sketch];
const SUMS: &[Part] = &[Part::Count, Part::Sum, Part::Min, Part::Max];
const ENDS: &[Part] = &[Part::Min, Part::Max];

const SERVICE_KEYS: &[&str] = &["service", "kind", "app_id", "status", "error_class"];
const SERVICE_MEASURES: &[Measure] = &[
    Measure { column: "time", parts: ENDS },
    Measure { column: "total_us", parts: ALL },
    Measure { column: "gateway_us", parts: SUMS },
    Measure { column: "upstream_ttfb_us", parts: SUMS },
    Measure { column: "request_bytes", parts: SUMS },
    Measure { column: "response_bytes", parts: SUMS },
];

/// All roll-ups, those that answer with fewer cells first.
pub const ROLLUPS: &[Rollup] = &[
    Rollup {
        name: "producer_1h",
        grain: Grain::Hour,
        keys: &["producer", "node_id", "kind"],
        measures: &[
            Measure { column: "time", parts: ENDS },
            Measure { column: "seq", parts: &[Part::Count, Part::Min, Part::Max] },
            Measure { column: "gap_count", parts: &[Part::Count, Part::Sum] },
        ],
    },
    Rollup {
        name: "tls_1h",
        grain: Grain::Hour,
        keys: &["kind", "tls_version", "tls_cipher", "tls_resumed", "http_version", "mtls_verify"],
        measures: &[Measure { column: "time", parts: ENDS }],
    },
    Rollup {
        name: "certificate_1h",
        grain: Grain::Hour,
        keys: &[
            "kind",
            "client_cert_sha256",
            "client_cert_subject",
            "client_cert_issuer",
            "client_cert_serial",
            "client_cert_not_after",
            "service",
            "consumer",
        ],
        measures: &[Measure { column: "time", parts: ENDS }],
    },
    Rollup { name: "service_1h", grain: Grain::Hour, keys: SERVICE_KEYS, measures: SERVICE_MEASURES },
    Rollup { name: "service_5m", grain: Grain::FiveMinutes, keys: SERVICE_KEYS, measures: SERVICE_MEASURES },
];

/// Name of the column with the begin of a cell's bucket.
pub const BUCKET: &str = "bucket";
/// Name of the column with a cell's number of rows.
pub const ROWS: &str = "rows";

static SCHEMAS: LazyLock<Vec<SchemaRef>> = LazyLock::new(|| ROLLUPS.iter().map(schema_of).collect());

impl Rollup {
    /// The roll-up of this name.
    #[must_use]
    pub fn named(name: &str) -> Option<&'static Self> {
        ROLLUPS.iter().find(|rollup| rollup.name == name)
    }

    /// The columns of its file: `bucket`, the keys, `rows`, and the parts of each measure.
    #[must_use]
    pub fn schema(&self) -> SchemaRef {
        let at = ROLLUPS.iter().position(|rollup| rollup.name == self.name);
        at.map_or_else(|| schema_of(self), |at| Arc::clone(&SCHEMAS[at]))
    }

    /// Name of the column that holds a part of a measure.
    #[must_use]
    pub fn column(column: &str, part: Part) -> String {
        format!("{column}_{}", part.suffix())
    }
}

fn schema_of(rollup: &Rollup) -> SchemaRef {
    let table = schema::table();
    let typed = |name: &str| table.field_with_name(name).map_or(DataType::Null, |field| field.data_type().clone());
    let bucket = DataType::Timestamp(TimeUnit::Microsecond, Some(schema::TIME_ZONE.into()));
    let mut fields = vec![Field::new(BUCKET, bucket, false)];
    fields.extend(rollup.keys.iter().map(|key| Field::new(*key, typed(key), true)));
    fields.push(Field::new(ROWS, DataType::Int64, false));
    for measure in rollup.measures {
        fields.extend(measure.parts.iter().map(|part| {
            let data_type = match part {
                Part::Count | Part::Sum => DataType::Int64,
                Part::Min | Part::Max => typed(measure.column),
                Part::Sketch => DataType::Binary,
            };
            Field::new(Rollup::column(measure.column, *part), data_type, *part != Part::Count)
        }));
    }
    Arc::new(Schema::new(fields))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_column_of_a_roll_up_is_one_of_the_table() {
        for rollup in ROLLUPS {
            let schema = rollup.schema();
            assert!(
                schema.fields().iter().all(|field| field.data_type() != &DataType::Null),
                "{}: {schema:?}",
                rollup.name
            );
            assert_eq!(Rollup::named(rollup.name), Some(rollup));
        }
    }
}
