//! Which files can hold an id: a filter on one of the columns with an index beside each file asks it, before a file is opened.
//!
//! What the index leaves are files that hold the id, and about one in 60,000 of the others; of each, the row groups that may
//! hold it. A file without an index, or with a damaged one, is scanned. The filter itself stays: it finds the rows, and by its
//! ranges the pages.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use datafusion::catalog::Session;
use datafusion::common::Result;
use datafusion::datasource::listing::PartitionedFile;
use datafusion::datasource::physical_plan::parquet::metadata::DFParquetMetadata;
use datafusion::datasource::physical_plan::parquet::{ParquetAccessPlan, RowGroupAccess};
use datafusion::logical_expr::expr::InList;
use datafusion::logical_expr::{BinaryExpr, Expr, Operator};
use futures::future::BoxFuture;
use futures::{FutureExt, StreamExt};
use object_store::ObjectStore;
use tollgate_table::{DataFile, candidates};

use super::compute::bytes_of_hex;

/// Columns with an index, and whether their text in SQL is hexadecimal.
const INDEXED: [(&str, bool); 3] = [("correlation_id", false), ("trace_id", true), ("client_ip", false)];
/// Values of one IN list that are looked up; a longer list is left to the scan.
const VALUES_MAX: usize = 64;
/// Footers that are read at the same time.
const FOOTERS_AT_ONCE: usize = 8;

/// The row groups to read, by the file's path. Of files that are not named, all.
pub(super) type RowGroups = HashMap<String, ParquetAccessPlan>;

/// The files that can hold what the filters ask for, and their row groups.
pub(super) async fn narrowed<'f>(
    session: &dyn Session,
    store: &Arc<dyn ObjectStore>,
    filters: &[Expr],
    files: Vec<&'f DataFile>,
) -> Result<(Vec<&'f DataFile>, RowGroups)> {
    let Some((column, values)) = filters.iter().find_map(wanted) else { return Ok((files, RowGroups::new())) };
    let mut found: BTreeMap<usize, Option<Vec<usize>>> = BTreeMap::new();
    for value in &values {
        for (at, groups) in candidates(store, &files, column, value).await {
            let so_far = found.entry(at).or_insert_with(|| Some(Vec::new()));
            match (so_far.as_mut(), groups) {
                (Some(so_far), Some(groups)) => so_far.extend(groups),
                _ => *so_far = None,
            }
        }
    }
    let kept: Vec<&DataFile> = found.keys().map(|at| files[*at]).collect();
    let known = found.into_iter().filter_map(|(at, groups)| Some((files[at], groups?)));
    let mut reads: Vec<BoxFuture<'_, (String, Option<ParquetAccessPlan>)>> = Vec::new();
    for (file, groups) in known {
        reads.push(async move { (file.path.clone(), access(session, store, file, &groups).await) }.boxed());
    }
    let plans = futures::stream::iter(reads)
        .buffer_unordered(FOOTERS_AT_ONCE)
        .filter_map(|(path, plan)| futures::future::ready(plan.map(|plan| (path, plan))))
        .collect()
        .await;
    Ok((kept, plans))
}

/// The column and the values that a filter compares it with, as they are stored.
fn wanted(filter: &Expr) -> Option<(&'static str, Vec<Vec<u8>>)> {
    match filter {
        Expr::BinaryExpr(BinaryExpr { left, op: Operator::Eq, right }) => {
            of_column(left, std::slice::from_ref(right)).or_else(|| of_column(right, std::slice::from_ref(left)))
        }
        // So the optimizer writes a short list.
        Expr::BinaryExpr(BinaryExpr { left, op: Operator::Or, right }) => {
            let ((column, mut values), (other, more)) = (wanted(left)?, wanted(right)?);
            values.extend(more);
            (column == other && values.len() <= VALUES_MAX).then_some((column, values))
        }
        Expr::InList(InList { expr, list, negated: false }) if list.len() <= VALUES_MAX => of_column(expr, list),
        _ => None,
    }
}

fn of_column(column: &Expr, values: &[impl std::borrow::Borrow<Expr>]) -> Option<(&'static str, Vec<Vec<u8>>)> {
    let Expr::Column(column) = column else { return None };
    let (name, hex) = INDEXED.iter().find(|(name, _)| *name == column.name)?;
    let mut stored = Vec::with_capacity(values.len());
    for value in values {
        let Expr::Literal(value, _) = value.borrow() else { return None };
        let text = value.try_as_str()?;
        // Null, and what is no hexadecimal text, equal nothing.
        stored.extend(text.and_then(|text| if *hex { bytes_of_hex(text) } else { Some(text.as_bytes().to_vec()) }));
    }
    Some((name, stored))
}

/// These row groups of the file and no others; `None` if it has not that many.
async fn access(
    session: &dyn Session,
    store: &Arc<dyn ObjectStore>,
    file: &DataFile,
    groups: &[usize],
) -> Option<ParquetAccessPlan> {
    let object = PartitionedFile::new(file.path.clone(), file.size).object_meta;
    let cache = session.runtime_env().cache_manager.get_file_metadata_cache();
    let reader = DFParquetMetadata::new(store.as_ref(), &object).with_file_metadata_cache(Some(cache));
    let count = reader.fetch_metadata().await.ok()?.num_row_groups();
    if groups.iter().any(|group| *group >= count) {
        return None;
    }
    let access = |group| if groups.contains(&group) { RowGroupAccess::Scan } else { RowGroupAccess::Skip };
    Some(ParquetAccessPlan::new((0..count).map(access).collect()))
}

#[cfg(test)]
mod tests {
    use datafusion::prelude::{col, lit};

    use super::*;

    #[test]
    fn ids_are_looked_up_as_they_are_stored() {
        assert_eq!(wanted(&col("correlation_id").eq(lit("a"))), Some(("correlation_id", vec![b"a".to_vec()])));
        assert_eq!(wanted(&lit("0aff").eq(col("trace_id"))), Some(("trace_id", vec![vec![0x0a, 0xff]])));
        assert_eq!(wanted(&col("trace_id").eq(lit("XY"))), Some(("trace_id", Vec::new())), "equal to nothing");
        let several = col("client_ip").in_list(vec![lit("10.0.0.1"), lit("10.0.0.2")], false);
        assert_eq!(wanted(&several).map(|(_, values)| values.len()), Some(2));
        let either = col("client_ip").eq(lit("10.0.0.1")).or(col("client_ip").eq(lit("10.0.0.2")));
        assert_eq!(wanted(&either), wanted(&several));
        for other in [
            col("client_ip").eq(lit("a")).or(col("trace_id").eq(lit("0a"))),
            col("client_ip").eq(lit("a")).or(col("path").eq(lit("b"))),
            col("correlation_id").not_eq(lit("a")),
            col("client_ip").in_list(vec![lit("a")], true),
            col("path").eq(lit("a")),
            col("correlation_id").eq(col("path")),
        ] {
            assert_eq!(wanted(&other), None, "{other}");
        }
    }
}
