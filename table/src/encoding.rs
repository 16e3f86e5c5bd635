//! How each column of a data file is encoded, and what that saves.
//!
//! Bytes a record, of 515,823 generated ones (11,000 services by Zipf's law, half of them traced) in the order of a merge's file,
//! with zstd 3; `default` is a dictionary that falls back to plain values:
//!
//! | columns | encoding | default | so |
//! |---|---|---|---|
//! | `trace_id`, `span_id`, `parent_span_id`, `correlation_id` | DELTA_LENGTH_BYTE_ARRAY: random, a dictionary is built for nothing | 23.9 | 22.5 |
//! | `time`, `seq` | DELTA_BINARY_PACKED: near to the value before | 6.8 | 4.3 |
//! | durations, body sizes, `client_port` | BYTE_STREAM_SPLIT: the upper bytes of small numbers are zero, and compress apart from the noise | 13.9 | 11.8 |
//! | `route`, `upstream_addr` | DELTA_LENGTH_BYTE_ARRAY: they follow from the service, by which rows are ordered, so that zstd sees runs | 1.6 | 1.2 |
//! | header sizes | dictionary (DELTA_BINARY_PACKED: 2.4) | 2.1 | 2.1 |
//! | all others | dictionary | 10.6 | 10.6 |
//! | together | | 58.9 | 52.5 |
//!
//! `service` and other columns that questions group by stay dictionaries, although some would be smaller by 0.05 bytes.
//! A higher level of zstd takes 0.5 (6) or 0.9 bytes (9) off, for three to eight times the work of compression, so merges use 3.
//! Commits use 1 (0.9 bytes on top), as their files live for minutes. Commits are ordered by time: there, what follows from the
//! service is a dictionary, and costs less to write.
//! Of the 52.5 bytes, 22.5 are random ids, and 21 more are the noise of times, durations, sizes, addresses and ports: no encoding
//! takes them off.
//!
//! There are no Bloom filters in the files: readers of many files would read all of them. The filters of ids beside the file
//! (`ids`) take less room, and are asked before it is opened.

use arrow_schema::{DataType, Field, Schema};
use parquet::basic::{Compression, Encoding, ZstdLevel};
use parquet::file::properties::{EnabledStatistics, WriterProperties};
use parquet::schema::types::ColumnPath;

use crate::TableError;

/// Most rows in a row group: the unit of work of a query thread.
pub(crate) const ROW_GROUP_ROWS_MAX: usize = 256 * 1024;
/// Most rows in a page: what a query reads of a column to get at one row.
const PAGE_ROWS_MAX: usize = 8 * 1024;

/// Random bytes: no value comes twice.
const RANDOM_COLUMNS: [&str; 4] = ["trace_id", "span_id", "parent_span_id", "correlation_id"];
/// Numbers whose lower bytes are noise.
const NOISY_COLUMNS: [&str; 11] = [
    "client_port",
    "request_bytes",
    "response_bytes",
    "total_us",
    "gateway_us",
    "waf_us",
    "upstream_dns_us",
    "upstream_connect_us",
    "upstream_tls_us",
    "upstream_ttfb_us",
    "upstream_receive_us",
];
/// Numbers of few values.
const REPEATING_COLUMNS: [&str; 4] =
    ["request_header_bytes", "response_header_bytes", "gap_count", "client_cert_not_after"];
/// Texts that follow from the service, and that few queries read.
const SERVICE_COLUMNS: [&str; 2] = ["route", "upstream_addr"];
/// The columns that queries filter by: their pages have ranges of their own. The others have one range a row group, which
/// saves their part of the page index: every scan decodes it whole.
const FILTER_COLUMNS: [&str; 12] = [
    "time",
    "seq",
    "kind",
    "service",
    "consumer",
    "client_ip",
    "status",
    "error_class",
    "auth_result",
    "waf_action",
    "total_us",
    "producer",
];

/// What a file is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// A commit's, which a merge replaces within minutes: quick to write.
    Commit,
    /// A merge's, which stays: small.
    Merge,
}

impl Purpose {
    fn zstd_level(self) -> i32 {
        match self {
            Self::Commit => 1,
            Self::Merge => 3,
        }
    }
}

/// The writer's settings for files of this schema.
pub(crate) fn properties(schema: &Schema, purpose: Purpose) -> Result<WriterProperties, TableError> {
    let level = ZstdLevel::try_new(purpose.zstd_level()).map_err(TableError::rows("choose the compression"))?;
    let mut builder = WriterProperties::builder()
        .set_compression(Compression::ZSTD(level))
        .set_max_row_group_row_count(Some(ROW_GROUP_ROWS_MAX))
        .set_data_page_row_count_limit(PAGE_ROWS_MAX)
        .set_statistics_enabled(EnabledStatistics::Chunk)
        .set_created_by(format!("tollgate {}", env!("CARGO_PKG_VERSION")));
    for field in schema.fields() {
        let column = || ColumnPath::from(field.name().as_str());
        if let Some(encoding) = plain_encoding(field, purpose) {
            builder = builder.set_column_dictionary_enabled(column(), false).set_column_encoding(column(), encoding);
        }
        if FILTER_COLUMNS.contains(&field.name().as_str()) {
            builder = builder.set_column_statistics_enabled(column(), EnabledStatistics::Page);
        }
    }
    Ok(builder.build())
}

/// The encoding of a column without a dictionary.
fn plain_encoding(field: &Field, purpose: Purpose) -> Option<Encoding> {
    let name = field.name().as_str();
    let is_wide = matches!(field.data_type(), DataType::Int64 | DataType::Timestamp(..));
    match name {
        _ if RANDOM_COLUMNS.contains(&name) => Some(Encoding::DELTA_LENGTH_BYTE_ARRAY),
        _ if SERVICE_COLUMNS.contains(&name) => {
            (purpose == Purpose::Merge).then_some(Encoding::DELTA_LENGTH_BYTE_ARRAY)
        }
        _ if NOISY_COLUMNS.contains(&name) => Some(Encoding::BYTE_STREAM_SPLIT),
        _ if REPEATING_COLUMNS.contains(&name) => None,
        _ => is_wide.then_some(Encoding::DELTA_BINARY_PACKED),
    }
}

#[cfg(test)]
mod tests {
    use tollgate_record::schema;

    use super::*;

    #[test]
    fn every_column_that_is_named_is_one_of_the_table() {
        let named = [&RANDOM_COLUMNS[..], &NOISY_COLUMNS, &REPEATING_COLUMNS, &SERVICE_COLUMNS, &FILTER_COLUMNS];
        for name in named.concat() {
            assert!(schema::table().field_with_name(name).is_ok(), "{name}");
        }
    }
}
