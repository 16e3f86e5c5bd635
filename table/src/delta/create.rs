//! How a table begins, and how an older one gets the columns that it lacks.

use std::sync::Arc;

use arrow_schema::{DataType, Schema};
use deltalake::kernel::engine::arrow_conversion::{TryIntoArrow as _, TryIntoKernel as _};
use deltalake::kernel::transaction::{CommitProperties, TransactionError};
use deltalake::kernel::{StructField, StructType};
use deltalake::logstore::LogStoreRef;
use deltalake::operations::create::CreateBuilder;
use deltalake::protocol::SaveMode;
use deltalake::table::state::DeltaTableState;
use deltalake::{DeltaTable, DeltaTableError, TableProperty};
use tollgate_record::schema;

use super::DATE;
use crate::statistics::COLUMNS;
use crate::{TableConfig, TableError};

/// Highest protocol version for readers that a plain scan of the files answers correctly: version 2 renames columns, and
/// version 3 may delete rows beside the files.
const READER_VERSION_MAX: i32 = 1;
/// How long log entries and files that are not needed any more are kept, for readers of older versions.
const RETENTION: &str = "interval 1 days";

pub(super) async fn create(store: LogStoreRef, config: &TableConfig) -> Result<(), TableError> {
    let properties = [
        (TableProperty::CheckpointInterval, config.checkpoint_commits.max(1).to_string()),
        (TableProperty::DataSkippingStatsColumns, COLUMNS.join(",")),
        (TableProperty::LogRetentionDuration, RETENTION.to_owned()),
        (TableProperty::DeletedFileRetentionDuration, RETENTION.to_owned()),
    ];
    let created = CreateBuilder::new()
        .with_log_store(store)
        .with_table_name("transactions")
        .with_comment("one row per API transaction; written by Tollgate")
        .with_columns(fields()?)
        .with_partition_columns([DATE])
        .with_configuration(properties.map(|(key, value)| (key.as_ref().to_owned(), Some(value))))
        .with_commit_properties(quiet().with_max_retries(0))
        .with_save_mode(SaveMode::Ignore)
        .await;
    match created {
        // Another process was faster, and made the same table.
        Err(DeltaTableError::Transaction { source: TransactionError::MaxCommitAttempts(_) }) => Ok(()),
        created => created.map(drop).map_err(TableError::log("create the table")),
    }
}

/// Adds the columns that the table lacks; answers whether there were any.
pub(super) async fn add_missing_columns(store: &LogStoreRef, state: &DeltaTableState) -> Result<bool, TableError> {
    let theirs = arrow_schema(state)?;
    let missing = fields()?.into_iter().filter(|field| theirs.field_with_name(field.name()).is_err());
    let missing: Vec<_> = missing.collect();
    if missing.is_empty() {
        return Ok(false);
    }
    let names: Vec<_> = missing.iter().map(|field| field.name().as_str()).collect();
    tracing::info!(columns = names.join(", "), "the table gets the columns that it lacked");
    let mut table = DeltaTable::new(Arc::clone(store));
    let failed = TableError::log("add columns to the table");
    table.load().await.map_err(&failed)?;
    let added = table.add_columns().with_fields(missing).with_commit_properties(quiet()).await;
    added.map(|_| true).map_err(&failed)
}

/// Refuses a table that our scan would read wrongly, or that records do not fit.
pub(super) fn check_schema(state: &DeltaTableState) -> Result<(), TableError> {
    let reader = state.protocol().min_reader_version();
    if reader > READER_VERSION_MAX {
        let problem = format!("it asks for reader version {reader}, beyond {READER_VERSION_MAX}");
        return Err(TableError::Schema(problem));
    }
    let partitions = state.metadata().partition_columns();
    if partitions.iter().ne([DATE]) {
        let problem = format!("it is partitioned by {partitions:?}, not by `{DATE}`");
        return Err(TableError::Schema(problem));
    }
    let theirs = arrow_schema(state)?;
    for ours in schema::table().fields() {
        if let Ok(field) = theirs.field_with_name(ours.name())
            && !same_type(field.data_type(), ours.data_type())
        {
            let (name, is, wants) = (ours.name(), field.data_type(), ours.data_type());
            return Err(TableError::Schema(format!("column `{name}` is {is}, and records have {wants}")));
        }
    }
    Ok(())
}

fn arrow_schema(state: &DeltaTableState) -> Result<Schema, TableError> {
    let schema = state.schema();
    schema.as_ref().try_into_arrow().map_err(|error| TableError::Schema(error.to_string()))
}

/// Commits that do no maintenance on the side.
pub(super) fn quiet() -> CommitProperties {
    CommitProperties::default().with_create_checkpoint(false).with_cleanup_expired_logs(Some(false))
}

/// The table's columns: the record's, and the partition's. All can be null, so that later versions may leave some out.
pub(crate) fn fields() -> Result<Vec<StructField>, TableError> {
    let schema: StructType = schema::table()
        .as_ref()
        .try_into_kernel()
        .map_err(|error: arrow_schema::ArrowError| TableError::Schema(error.to_string()))?;
    let date = StructField::nullable(DATE, deltalake::kernel::DataType::DATE);
    let columns = schema.fields().map(|field| StructField::nullable(field.name(), field.data_type().clone()));
    Ok(columns.chain([date]).collect())
}

/// Whether two columns hold the same values; the name and the nullability of list elements do not matter.
fn same_type(a: &DataType, b: &DataType) -> bool {
    match (a, b) {
        (DataType::List(a), DataType::List(b)) => same_type(a.data_type(), b.data_type()),
        _ => a == b,
    }
}
