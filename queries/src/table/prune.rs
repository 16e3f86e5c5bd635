//! Which files of a snapshot can hold a row that a filter keeps, by what the Delta log says about them.

use std::collections::HashSet;
use std::sync::Arc;

use datafusion::arrow::array::{
    Array, ArrayRef, BooleanArray, Int32Array, Int64Array, StringArray, TimestampMicrosecondArray, UInt64Array,
};
use datafusion::arrow::datatypes::{DataType, SchemaRef};
use datafusion::common::pruning::PruningStatistics;
use datafusion::common::{Column, ScalarValue};
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_optimizer::pruning::{PruningPredicate, PruningPredicateBuilder};
use serde_json::Value;
use tollgate_record::schema::TIME_ZONE;
use tollgate_table::{DataFile, HotBatch};

/// The files that may hold rows for which `predicate` (over the stored columns) is true.
pub(super) fn files<'f>(
    files: &'f [DataFile],
    predicate: Option<&Arc<dyn PhysicalExpr>>,
    stored: &SchemaRef,
) -> Vec<&'f DataFile> {
    let kept = pruning(predicate, stored).and_then(|pruning| pruning.prune(&Ranges { files, stored }).ok());
    match kept {
        Some(kept) => files.iter().zip(kept).filter_map(|(file, keep)| keep.then_some(file)).collect(),
        None => files.iter().collect(),
    }
}

fn pruning(predicate: Option<&Arc<dyn PhysicalExpr>>, stored: &SchemaRef) -> Option<Arc<PruningPredicate>> {
    PruningPredicateBuilder::new().with_file_schema(stored.clone()).build(predicate?.clone())
}

/// The hot batches that may hold such rows, by their range of time.
pub(super) fn hot(
    batches: &[Arc<HotBatch>],
    predicate: Option<&Arc<dyn PhysicalExpr>>,
    stored: &SchemaRef,
) -> Vec<Arc<HotBatch>> {
    let kept = pruning(predicate, stored).and_then(|pruning| pruning.prune(&Times(batches)).ok());
    match kept {
        Some(kept) => batches.iter().zip(kept).filter(|(_, keep)| *keep).map(|(batch, _)| batch.clone()).collect(),
        None => batches.to_vec(),
    }
}

/// The ranges of time of the hot batches, one container a batch.
struct Times<'b>(&'b [Arc<HotBatch>]);

impl PruningStatistics for Times<'_> {
    fn min_values(&self, column: &Column) -> Option<ArrayRef> {
        (column.name() == "time").then(|| times(self.0.iter().map(|batch| known(batch.min_time_us))))
    }

    fn max_values(&self, column: &Column) -> Option<ArrayRef> {
        (column.name() == "time").then(|| times(self.0.iter().map(|batch| known(batch.max_time_us))))
    }

    fn num_containers(&self) -> usize {
        self.0.len()
    }

    fn null_counts(&self, _column: &Column) -> Option<ArrayRef> {
        None
    }

    fn row_counts(&self) -> Option<ArrayRef> {
        None
    }

    fn contained(&self, _column: &Column, _values: &HashSet<ScalarValue>) -> Option<BooleanArray> {
        None
    }
}

/// The ranges of the files' columns, one container a file.
struct Ranges<'f> {
    files: &'f [DataFile],
    stored: &'f SchemaRef,
}

#[derive(Clone, Copy)]
enum End {
    Min,
    Max,
}

impl Ranges<'_> {
    fn ends(&self, column: &Column, end: End) -> Option<ArrayRef> {
        let files = self.files.iter();
        match (column.name(), end) {
            ("time", End::Min) => return Some(times(files.map(|file| known(file.min_time_us)))),
            ("time", End::Max) => return Some(times(files.map(|file| known(file.max_time_us)))),
            ("seq", End::Min) => return Some(int64s(files.map(|file| known(file.min_seq)))),
            ("seq", End::Max) => return Some(int64s(files.map(|file| known(file.max_seq)))),
            _ => {}
        }
        let values = files.clone().map(|file| {
            let range = file.stats.get(column.name())?;
            match end {
                End::Min => range.min.as_ref(),
                End::Max => range.max.as_ref(),
            }
        });
        match self.stored.field_with_name(column.name()).ok()?.data_type() {
            DataType::Utf8 => {
                let sets = files.map(|file| {
                    let set = file.values.get(column.name())?;
                    let value = match end {
                        End::Min => set.first(),
                        End::Max => set.last(),
                    };
                    value.map(String::as_str)
                });
                let texts = values.zip(sets).map(|(value, of_set)| of_set.or_else(|| value.and_then(Value::as_str)));
                Some(Arc::new(texts.collect::<StringArray>()))
            }
            DataType::Int64 => Some(int64s(values.map(|value| value.and_then(Value::as_i64)))),
            DataType::Int32 => Some(Arc::new(
                values.map(|value| value.and_then(Value::as_i64)?.try_into().ok()).collect::<Int32Array>(),
            )),
            _ => None,
        }
    }
}

/// The log does not tell an end that it leaves at the type's own end.
fn known(value: i64) -> Option<i64> {
    (value != i64::MIN && value != i64::MAX).then_some(value)
}

fn times(values: impl Iterator<Item = Option<i64>>) -> ArrayRef {
    Arc::new(values.collect::<TimestampMicrosecondArray>().with_timezone(TIME_ZONE))
}

fn int64s(values: impl Iterator<Item = Option<i64>>) -> ArrayRef {
    Arc::new(values.collect::<Int64Array>())
}

impl PruningStatistics for Ranges<'_> {
    fn min_values(&self, column: &Column) -> Option<ArrayRef> {
        self.ends(column, End::Min)
    }

    fn max_values(&self, column: &Column) -> Option<ArrayRef> {
        self.ends(column, End::Max)
    }

    fn num_containers(&self) -> usize {
        self.files.len()
    }

    fn null_counts(&self, column: &Column) -> Option<ArrayRef> {
        let counts = self.files.iter().map(|file| file.stats.get(column.name())?.nulls);
        let counts: UInt64Array = counts.collect();
        (counts.null_count() < counts.len()).then(|| Arc::new(counts) as ArrayRef)
    }

    fn row_counts(&self) -> Option<ArrayRef> {
        Some(Arc::new(self.files.iter().map(|file| Some(file.rows)).collect::<UInt64Array>()))
    }

    /// By the files' value sets: whether a column has only these values, none of them, or some (null).
    fn contained(&self, column: &Column, values: &HashSet<ScalarValue>) -> Option<BooleanArray> {
        let wanted = values.iter().map(|value| value.try_as_str().flatten()).collect::<Option<Vec<_>>>()?;
        let contained = self.files.iter().map(|file| {
            let there = file.values.get(column.name())?;
            let met = there.iter().filter(|value| wanted.contains(&value.as_str())).count();
            match met {
                0 => Some(false),
                met if met == there.len() => Some(true),
                _ => None,
            }
        });
        let contained: BooleanArray = contained.collect();
        (contained.null_count() < contained.len()).then_some(contained)
    }
}
