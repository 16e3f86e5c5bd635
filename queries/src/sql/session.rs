//! The one session context behind all queries, and the state that a single query runs in.

use std::sync::Arc;

use datafusion::common::Result;
use datafusion::execution::SessionState;
use datafusion::execution::disk_manager::DiskManagerBuilder;
use datafusion::execution::memory_pool::MemoryPool;
use datafusion::execution::object_store::ObjectStoreRegistry;
use datafusion::execution::runtime_env::RuntimeEnvBuilder;
use datafusion::prelude::{SessionConfig, SessionContext};
use datafusion_postgres::datafusion_pg_catalog::pg_catalog::context::EmptyContextProvider;
use datafusion_postgres::datafusion_pg_catalog::setup_pg_catalog;
use object_store::ObjectStore;
use url::Url;

use super::parse::Parser;
use super::{catalog, distinct, functions, views};
use crate::limits::Limits;
use crate::source::Source;
use crate::table::{QueryScope, STORE_URL, TransactionsTable};

/// Name of the one database, and of the schema in it that is searched.
const DATABASE: &str = "tollgate";
const SCHEMA: &str = "public";
/// Name of the one table; the views are over it.
const TABLE: &str = "transactions";

/// A sort sets this part of the memory aside for the merge of what it spilled, up to a bound.
const SORT_RESERVE_PART: usize = 64;
const SORT_RESERVE_BYTES: std::ops::RangeInclusive<usize> = 64 * 1024..=10 * 1024 * 1024;

/// A context that knows the table, the catalogs that clients ask, and no other place to read from or write to but the folder
/// for what does not fit into memory. `memory` is for what no query holds.
pub(crate) fn new_context(
    source: &dyn Source,
    limits: &Limits,
    memory: Arc<dyn MemoryPool>,
    spill: DiskManagerBuilder,
) -> Result<SessionContext> {
    let store = source.store();
    let runtime = RuntimeEnvBuilder::new()
        .with_memory_pool(memory)
        .with_metadata_cache_limit(limits.metadata_bytes_max)
        .with_disk_manager_builder(spill)
        .with_object_store_registry(Arc::new(OneStore(store.clone())))
        .build_arc()?;
    let mut config = SessionConfig::new()
        .with_information_schema(true)
        .with_default_catalog_and_schema(DATABASE, SCHEMA)
        .with_target_partitions(limits.threads.max(1))
        .set_bool("datafusion.sql_parser.map_string_types_to_utf8view", false);
    // The scan deals its files out by itself: splitting them by bytes would begin with the oldest in some partition.
    config.options_mut().optimizer.repartition_file_scans = false;
    config.options_mut().sql_parser.dialect = datafusion::config::Dialect::PostgreSQL;
    config.options_mut().execution.sort_spill_reservation_bytes =
        (limits.memory_bytes_max / SORT_RESERVE_PART).clamp(*SORT_RESERVE_BYTES.start(), *SORT_RESERVE_BYTES.end());
    let context = SessionContext::new_with_config_rt(config, runtime);
    context.register_table(TABLE, Arc::new(TransactionsTable::new(store)))?;
    setup_pg_catalog(&context, DATABASE, EmptyContextProvider).map_err(|error| *error)?;
    functions::register(&context);
    distinct::register(&context);
    views::register(&context, &Parser::new(limits.sql_bytes_max))?;
    catalog::register(&context, DATABASE, SCHEMA, TABLE)?;
    Ok(context)
}

/// The state of one query: with its own snapshot, and its own idea of now.
pub(crate) fn state_of(context: &SessionContext, scope: Arc<QueryScope>) -> SessionState {
    let mut state = context.state();
    state.config_mut().set_extension(scope);
    state
}

/// A registry that knows the table's store and no other: no file system, whatever a plan asks for.
#[derive(Debug)]
struct OneStore(Arc<dyn ObjectStore>);

impl ObjectStoreRegistry for OneStore {
    fn register_store(&self, _url: &Url, store: Arc<dyn ObjectStore>) -> Option<Arc<dyn ObjectStore>> {
        Some(store)
    }

    fn get_store(&self, url: &Url) -> Result<Arc<dyn ObjectStore>> {
        if url.as_str() == STORE_URL {
            return Ok(self.0.clone());
        }
        datafusion::common::plan_err!("there is nothing to read but the table, not even {}", url.scheme())
    }
}
