//! How each column of a data file is encoded.
//!
//! - times, sequence numbers, durations and sizes: DELTA_BINARY_PACKED without a dictionary. They hardly repeat, and a
//!   dictionary of distinct integers costs both bytes and time.
//! - ids that are unique to a row (`trace_id`, `span_id`, `correlation_id`): no dictionary either.
//! - everything else (names, addresses, status codes, hashes of credentials) repeats: dictionary, the default.
//!
//! Bloom filters: `trace_id` and `correlation_id`, because support looks single transactions up by them and their ranges
//! prune nothing, and `client_ip`, because an incident starts from one address as often. `request_id` needs none (it holds
//! its time), and `producer`, `service` and the like have too few values for one to prune.

use arrow_schema::{DataType, Schema};
use parquet::basic::{Compression, Encoding, ZstdLevel};
use parquet::file::properties::{EnabledStatistics, WriterProperties};
use parquet::schema::types::ColumnPath;

use crate::TableError;

/// Most rows in a row group: the unit of work of a query thread.
pub(crate) const ROW_GROUP_ROWS_MAX: usize = 256 * 1024;
/// Most rows in a page: what a query reads of a column to get at one row.
const PAGE_ROWS_MAX: usize = 8 * 1024;
/// False positives of a bloom filter: one row group in a hundred is read for nothing.
const BLOOM_FALSE_POSITIVES: f64 = 0.01;

const BLOOM_COLUMNS: [&str; 3] = ["trace_id", "correlation_id", "client_ip"];
const UNIQUE_COLUMNS: [&str; 3] = ["trace_id", "span_id", "correlation_id"];
/// Integers that repeat: a dictionary of run lengths beats packed deltas.
const REPEATING_INTEGERS: [&str; 2] = ["gap_count", "client_cert_not_after"];
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
        let name = field.name().as_str();
        let wide = matches!(field.data_type(), DataType::Int64 | DataType::Timestamp(..));
        if wide && !REPEATING_INTEGERS.contains(&name) {
            builder = builder
                .set_column_dictionary_enabled(column(), false)
                .set_column_encoding(column(), Encoding::DELTA_BINARY_PACKED);
        }
        if UNIQUE_COLUMNS.contains(&name) {
            builder = builder.set_column_dictionary_enabled(column(), false);
        }
        if FILTER_COLUMNS.contains(&name) {
            builder = builder.set_column_statistics_enabled(column(), EnabledStatistics::Page);
        }
        if BLOOM_COLUMNS.contains(&name) {
            // Sized for a full row group, and folded to what the values need when it is written.
            builder = builder
                .set_column_bloom_filter_enabled(column(), true)
                .set_column_bloom_filter_fpp(column(), BLOOM_FALSE_POSITIVES)
                .set_column_bloom_filter_max_ndv(column(), ROW_GROUP_ROWS_MAX as u64);
        }
    }
    Ok(builder.build())
}
