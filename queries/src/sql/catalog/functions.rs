//! Our functions in `pg_proc`, so that psql's `\df` lists them, and what the catalogs lack for `\d+` and `\df+`.

use std::sync::Arc;

use async_trait::async_trait;
use datafusion::arrow::array::{
    Array, ArrayRef, AsArray, Int16Array, Int32Array, RecordBatch, StringArray, UInt32Array, new_null_array,
};
use datafusion::arrow::compute::{cast, concat_batches, take_record_batch};
use datafusion::arrow::datatypes::{DataType, Field, Int32Type, Schema};
use datafusion::catalog::{MemTable, SchemaProvider, TableProvider};
use datafusion::common::{Result, ScalarValue, internal_datafusion_err};
use datafusion::datasource::{ViewTable, provider_as_source};
use datafusion::logical_expr::{Expr, LogicalPlanBuilder, ident, lit};

/// A function, as clients list it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Listed {
    pub name: &'static str,
    pub aggregate: bool,
    pub arguments: &'static str,
    pub result: &'static str,
    pub meaning: &'static str,
}

const fn scalar(name: &'static str, arguments: &'static str, result: &'static str, meaning: &'static str) -> Listed {
    Listed { name, aggregate: false, arguments, result, meaning }
}

const fn aggregate(name: &'static str, arguments: &'static str, result: &'static str, meaning: &'static str) -> Listed {
    Listed { name, aggregate: true, arguments, result, meaning }
}

/// The functions that PostgreSQL lacks; docs/queries.md has each with an example.
pub(crate) const LISTED: [Listed; 13] = [
    scalar("actor", "error_class text", "text", "who has to act on an error"),
    scalar("ago", "length text", "timestamp with time zone", "the moment so long ago: ago('15m')"),
    scalar("in_cidr", "ip text, network text", "boolean", "whether an address is in a network"),
    scalar("token_hmac", "credential text", "text", "the keyed hash of a credential, as the column token_hmac has it"),
    aggregate(
        "percentile",
        "number double precision, fraction double precision",
        "double precision",
        "the value at a fraction of all values, within 1 %",
    ),
    aggregate("approx_distinct", "value \"any\"", "bigint", "how many different values, within 2 %"),
    aggregate("sketch", "number double precision", "bytea", "the distribution of the values"),
    aggregate("sketch_merge", "sketch bytea", "bytea", "the distribution of all values of several sketches"),
    scalar(
        "sketch_quantile",
        "sketch bytea, fraction double precision",
        "double precision",
        "the value at a fraction of a sketch's values",
    ),
    aggregate(
        "seq_account",
        "seq bigint, kind text, gap_count bigint, gap_reason text",
        "record",
        "what became of a producer's numbers",
    ),
    scalar(
        "seq_holes",
        "account record, first bigint, last bigint",
        "record[]",
        "numbers without a record and without a gap",
    ),
    scalar("seq_count", "runs record[]", "bigint", "how many numbers"),
    scalar("producer_start", "producer text", "timestamp with time zone", "when the producer's process started"),
];

/// The number of the first of them: past those that PostgreSQL and the catalogs give.
const OID_FIRST: i32 = 1_000_000;

/// The function of this number.
pub(super) fn listed(oid: i64) -> Option<&'static Listed> {
    LISTED.get(usize::try_from(oid.checked_sub(i64::from(OID_FIRST))?).ok()?)
}

/// The catalog with our functions in `pg_proc`, and with `reloptions` in `pg_class`.
#[derive(Debug)]
pub(super) struct WithFunctions {
    inner: Arc<dyn SchemaProvider>,
    functions: Arc<MemTable>,
}

impl WithFunctions {
    /// `procedures` is all of `pg_proc`; `namespace` the number of our schema.
    pub fn new(inner: Arc<dyn SchemaProvider>, procedures: &RecordBatch, namespace: i32) -> Result<Self> {
        let ours = ours(procedures, namespace)?;
        let all = with_empty_lists(&concat_batches(&procedures.schema(), [procedures, &ours])?)?;
        Ok(Self { inner, functions: Arc::new(MemTable::try_new(all.schema(), vec![vec![all]])?) })
    }
}

/// The access rights of functions as the empty lists that they are: clients join their elements.
fn with_empty_lists(procedures: &RecordBatch) -> Result<RecordBatch> {
    let (schema, mut columns, rows) = procedures.clone().into_parts();
    let mut fields: Vec<_> = schema.fields().iter().cloned().collect();
    if let Ok(at) = schema.index_of("proacl") {
        let lists = DataType::new_list(DataType::Utf8, true);
        columns[at] = new_null_array(&lists, rows);
        fields[at] = Arc::new(Field::new("proacl", lists, true));
    }
    Ok(RecordBatch::try_new(Arc::new(Schema::new(fields)), columns)?)
}

/// `pg_class` with the storage options of each table: none.
fn with_options(classes: Arc<dyn TableProvider>) -> Result<ViewTable> {
    let schema = classes.schema();
    let mut shown: Vec<Expr> = schema.fields().iter().map(|field| ident(field.name())).collect();
    shown.push(lit(ScalarValue::new_null_list(DataType::Utf8, true, 1)).alias("reloptions"));
    let plan = LogicalPlanBuilder::scan("pg_class", provider_as_source(classes), None)?.project(shown)?.build()?;
    Ok(ViewTable::new(plan, None))
}

/// A row for each function: that of a function of PostgreSQL of the same kind, with what differs.
fn ours(procedures: &RecordBatch, namespace: i32) -> Result<RecordBatch> {
    let names =
        procedures.column_by_name("proname").ok_or_else(|| internal_datafusion_err!("pg_proc has no proname"))?;
    let names = cast(names, &DataType::Utf8)?;
    let names = names.as_string::<i32>();
    let row_of = |name: &str| (0..names.len()).find(|row| names.value(*row) == name).unwrap_or(0) as u32;
    let (of_scalar, of_aggregate) = (row_of("upper"), row_of("sum"));
    let rows = LISTED.iter().map(|function| if function.aggregate { of_aggregate } else { of_scalar });
    let like = take_record_batch(procedures, &UInt32Array::from_iter_values(rows))?;
    let count = LISTED.len() as i32;
    let schema = like.schema();
    let replaced = schema.fields().iter().zip(like.columns()).map(|(field, column)| {
        let new: ArrayRef = match field.name().as_str() {
            "oid" => Arc::new(Int32Array::from_iter_values(OID_FIRST..OID_FIRST + count)),
            "proname" => Arc::new(StringArray::from_iter_values(LISTED.iter().map(|function| function.name))),
            "pronamespace" => Arc::new(Int32Array::from_iter_values((0..count).map(|_| namespace))),
            "prorettype" => {
                Arc::new(Int32Array::from_iter_values(LISTED.iter().map(|function| type_oid(function.result))))
            }
            "pronargs" => {
                let arguments = LISTED.iter().map(|function| function.arguments.split(", ").count() as i16);
                Arc::new(Int16Array::from_iter_values(arguments))
            }
            _ => return Ok(column.clone()),
        };
        Ok(cast(&new, field.data_type())?)
    });
    let columns = replaced.collect::<Result<_>>()?;
    Ok(RecordBatch::try_new(Arc::clone(&schema), columns)?)
}

/// The number of a type, as PostgreSQL's `pg_type.dat` has it.
fn type_oid(name: &str) -> i32 {
    match name {
        "boolean" => 16,
        "bytea" => 17,
        "bigint" => 20,
        "text" => 25,
        "double precision" => 701,
        "timestamp with time zone" => 1184,
        "record[]" => 2287,
        _ => 2249,
    }
}

/// The number of a schema in `pg_namespace`.
pub(super) fn namespace_of(namespaces: &RecordBatch, schema: &str) -> Option<i32> {
    let names = namespaces.column_by_name("nspname")?.as_string_opt::<i32>()?;
    let oids = namespaces.column_by_name("oid")?.as_primitive_opt::<Int32Type>()?;
    (0..names.len()).find(|row| names.value(*row) == schema).map(|row| oids.value(row))
}

#[async_trait]
impl SchemaProvider for WithFunctions {
    fn table_names(&self) -> Vec<String> {
        self.inner.table_names()
    }

    async fn table(&self, name: &str) -> Result<Option<Arc<dyn TableProvider>>> {
        if name.eq_ignore_ascii_case("pg_proc") {
            return Ok(Some(self.functions.clone()));
        }
        let table = self.inner.table(name).await?;
        match table {
            Some(classes) if name.eq_ignore_ascii_case("pg_class") => Ok(Some(Arc::new(with_options(classes)?))),
            table => Ok(table),
        }
    }

    fn table_exist(&self, name: &str) -> bool {
        self.inner.table_exist(name)
    }
}
