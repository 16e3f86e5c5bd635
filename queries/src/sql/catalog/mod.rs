//! What the catalogs say about our tables, views, columns and functions: psql's `\d+` and `\df` show it.
//!
//! The catalogs number the tables as they meet them. The numbers are asked for once, when all tables are there, and do not
//! change while the engine lives.

mod comments;
mod functions;

use std::collections::HashMap;
use std::sync::Arc;

use datafusion::arrow::array::{Array, AsArray, RecordBatch};
use datafusion::arrow::compute::concat_batches;
use datafusion::arrow::datatypes::Int32Type;
use datafusion::common::{Result, TableReference, internal_datafusion_err};
use datafusion::logical_expr::ScalarUDF;
use datafusion::physical_plan::ExecutionPlanProperties;
use datafusion::prelude::SessionContext;
use futures::{StreamExt, TryStreamExt};
use tollgate_record::columns::{COLUMNS, COMPUTED};

use super::views::VIEWS;
use comments::{Comment, Comments};
use functions::WithFunctions;

const CATALOG: &str = "pg_catalog";

/// What is said of a table or view.
#[derive(Debug, Default)]
struct Described {
    meaning: &'static str,
    /// Its columns' meanings, in their order.
    columns: Vec<Option<&'static str>>,
    /// The text of a view.
    definition: Option<&'static str>,
}

/// Adds the functions by which clients ask for comments and the text of views.
pub(super) fn register(context: &SessionContext, database: &str, schema: &str, table: &str) -> Result<()> {
    let mut described = HashMap::new();
    for (oid, name) in oids(context)? {
        let view = VIEWS.iter().find(|view| view.name == name);
        let meaning = match view {
            Some(view) => view.meaning,
            None if name == table => "every transaction that passed the gate, every failed handshake, and gaps",
            None => continue,
        };
        let fields =
            futures::executor::block_on(context.table_provider(TableReference::partial(schema, name.as_str())))?
                .schema();
        let columns = fields.fields().iter().map(|field| meaning_of(field.name())).collect();
        described.insert(oid, Described { meaning, columns, definition: view.map(|view| view.sql) });
    }
    let described = Arc::new(described);
    for comment in Comment::ALL {
        context.register_udf(ScalarUDF::from(Comments::new(comment, Arc::clone(&described))));
    }
    list_functions(context, database, schema)
}

/// Puts our functions into `pg_proc`.
fn list_functions(context: &SessionContext, database: &str, schema: &str) -> Result<()> {
    let namespaces = rows_of(context, "pg_namespace")?;
    let namespace = functions::namespace_of(&namespaces, schema)
        .ok_or_else(|| internal_datafusion_err!("pg_namespace has no {schema}"))?;
    let missing = || internal_datafusion_err!("there is no {CATALOG}");
    let catalog = context.catalog(database).ok_or_else(missing)?;
    let inner = catalog.schema(CATALOG).ok_or_else(missing)?;
    let with_functions = WithFunctions::new(inner, &rows_of(context, "pg_proc")?, namespace)?;
    catalog.register_schema(CATALOG, Arc::new(with_functions))?;
    Ok(())
}

fn meaning_of(column: &str) -> Option<&'static str> {
    Some(match column {
        "from_seq" => "First number of the run.",
        "to_seq" => "Last number of the run.",
        "records" => "How many records.",
        "producers" => "Starts of worker threads that numbered these records.",
        "first_seen" => "Time of the oldest.",
        "last_seen" => "Time of the newest.",
        "failures" => "Records with an error_class.",
        "shed" => "Records that were shed on purpose.",
        "config_revisions" => "Different configurations in that time.",
        name => COLUMNS.iter().chain(COMPUTED).find(|column| column.name == name)?.meaning,
    })
}

/// The numbers and names of the tables, as `pg_class` has them.
fn oids(context: &SessionContext) -> Result<Vec<(i32, String)>> {
    let classes = rows_of(context, "pg_class")?;
    let column = |name: &str| {
        classes.column_by_name(name).ok_or_else(|| internal_datafusion_err!("pg_class has no column {name}"))
    };
    let (oids, names) = (column("oid")?.as_primitive::<Int32Type>(), column("relname")?.as_string::<i32>());
    Ok((0..names.len()).map(|row| (oids.value(row), names.value(row).to_owned())).collect())
}

/// All of a catalog's table. It is in memory: nothing waits.
fn rows_of(context: &SessionContext, table: &str) -> Result<RecordBatch> {
    let state = context.state();
    let batches: Vec<RecordBatch> = futures::executor::block_on(async {
        let table = context.table_provider(TableReference::partial(CATALOG, table)).await?;
        let plan = table.scan(&state, None, &[], None).await?;
        let partitions = 0..plan.output_partitioning().partition_count();
        let streams =
            partitions.map(|partition| plan.execute(partition, state.task_ctx())).collect::<Result<Vec<_>>>()?;
        futures::stream::iter(streams).flatten().try_collect().await
    })?;
    let schema = batches.first().map(RecordBatch::schema);
    let schema = schema.ok_or_else(|| internal_datafusion_err!("the catalog's table {table} is empty"))?;
    Ok(concat_batches(&schema, &batches)?)
}
