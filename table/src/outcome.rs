//! Failures and the rest: compaction keeps them in files apart.
//!
//! Failures are some one in a hundred rows, and most questions of an incident are about them alone. In files of their own they
//! are a hundredth of the bytes, and what the log knows of the other files (no error class, no status of 500 and more) leaves
//! those out.

use arrow_array::cast::AsArray as _;
use arrow_array::types::Int32Type;
use arrow_array::{Array as _, ArrayRef};

use crate::TableError;
use crate::values::dictionary;

/// The columns that [`add_failures`] looks at.
pub(crate) const COLUMNS: [&str; 5] = ["kind", "status", "auth_result", "waf_action", "error_class"];

/// First status that says that the gateway or the upstream failed.
const STATUS_FAILED_MIN: i32 = 500;

/// Marks the rows that are failures by this column: any `error_class`, a `status` from 500 on, `auth_result` failed,
/// `waf_action` blocked, or a `kind` that is no transaction. `is_failure` has one entry a row.
pub(crate) fn add_failures(column: &str, values: &ArrayRef, is_failure: &mut [bool]) -> Result<(), TableError> {
    if column == "status" {
        let statuses = values.as_primitive_opt::<Int32Type>();
        let statuses = statuses.ok_or_else(|| TableError::Schema("status is no integer".to_owned()))?;
        for (row, failed) in is_failure.iter_mut().enumerate() {
            *failed |= statuses.is_valid(row) && statuses.value(row) >= STATUS_FAILED_MIN;
        }
        return Ok(());
    }
    let fails = |value: &str| match column {
        "error_class" => true,
        "auth_result" => value == "failed",
        "waf_action" => value == "blocked",
        "kind" => value != "transaction",
        _ => false,
    };
    let (keys, texts) = dictionary(column, values)?;
    let fails: Vec<bool> = (0..texts.len()).map(|at| texts.is_valid(at) && fails(texts.value(at))).collect();
    for (row, failed) in is_failure.iter_mut().enumerate() {
        *failed |= keys.is_valid(row) && fails[keys.value(row) as usize];
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow_array::{DictionaryArray, Int32Array};

    use super::*;

    fn failures(column: &str, values: ArrayRef) -> Vec<bool> {
        let mut is_failure = vec![false; values.len()];
        add_failures(column, &values, &mut is_failure).unwrap();
        is_failure
    }

    #[test]
    fn a_failure_is_told_by_any_of_the_columns() {
        let texts = |values: &[Option<&str>]| -> ArrayRef {
            Arc::new(values.iter().copied().collect::<DictionaryArray<Int32Type>>())
        };
        assert_eq!(failures("error_class", texts(&[None, Some("x")])), [false, true]);
        assert_eq!(failures("auth_result", texts(&[Some("failed"), Some("succeeded"), None])), [true, false, false]);
        assert_eq!(failures("waf_action", texts(&[Some("blocked"), Some("detected")])), [true, false]);
        assert_eq!(
            failures("kind", texts(&[Some("transaction"), Some("gap"), Some("handshake_failed")])),
            [false, true, true]
        );
        assert_eq!(
            failures("status", Arc::new(Int32Array::from(vec![Some(499), Some(500), None]))),
            [false, true, false]
        );
    }

    #[test]
    fn a_row_that_failed_stays_one() {
        let mut is_failure = [true, false];
        let values: ArrayRef = Arc::new(Int32Array::from(vec![200, 503]));
        add_failures("status", &values, &mut is_failure).unwrap();
        assert_eq!(is_failure, [true, true]);
    }
}
