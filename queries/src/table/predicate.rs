//! From the filters of a query to filters on stored columns, which files, row groups and pages can be pruned by.
//!
//! The result holds for every row that the filter holds for, and maybe for others: the query's own filter runs
//! after it. So a part that has no such form is left out of an AND, and takes its whole OR with it; and since the form
//! of `request_id = …` is wider than it (the producer is not in it), nothing is ever rewritten under a NOT.

use datafusion::common::ScalarValue;
use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::error::Result;
use datafusion::logical_expr::expr::InList;
use datafusion::logical_expr::{BinaryExpr, Expr, Operator, Volatility, col, lit};
use tollgate_record::id::RequestId;
use tollgate_record::schema::TIME_ZONE;

use super::columns::{Origin, sql_columns};
use super::compute::bytes_of_hex;

/// Values of one IN list that become a range of time each; a longer list is left to the exact filter.
const REQUEST_IDS_MAX: usize = 256;

/// The prunable form of a conjunction of filters, or `None` when there is none.
pub(super) fn prunable(filters: &[Expr]) -> Option<Expr> {
    filters.iter().filter_map(form).reduce(Expr::and)
}

/// As [`prunable`], of those filters only that are not over stored columns as they are. The others reach the files by
/// themselves: the optimizer pushes them down, and a second time they would only be evaluated twice.
pub(super) fn computed(filters: &[Expr]) -> Option<Expr> {
    filters.iter().filter(|filter| stored_only(filter).is_none()).filter_map(form).reduce(Expr::and)
}

fn form(filter: &Expr) -> Option<Expr> {
    match filter {
        Expr::BinaryExpr(BinaryExpr { left, op: Operator::And, right }) => match (form(left), form(right)) {
            (Some(left), Some(right)) => Some(left.and(right)),
            (one, other) => one.or(other),
        },
        Expr::BinaryExpr(BinaryExpr { left, op: Operator::Or, right }) => Some(form(left)?.or(form(right)?)),
        Expr::BinaryExpr(BinaryExpr { left, op: Operator::Eq, right }) => {
            equality(left, std::slice::from_ref(right.as_ref()))
                .or_else(|| equality(right, std::slice::from_ref(left.as_ref())))
                .or_else(|| stored_only(filter))
        }
        Expr::InList(InList { expr, list, negated: false }) => equality(expr, list).or_else(|| stored_only(filter)),
        _ => stored_only(filter),
    }
}

/// `column = v` or `column IN (v, …)` over a column that is computed.
fn equality(column: &Expr, values: &[Expr]) -> Option<Expr> {
    let Expr::Column(column) = column else {
        return None;
    };
    let texts = values.iter().map(text_literal).collect::<Option<Vec<_>>>()?;
    match sql_columns().origin(&column.name)? {
        Origin::Stored(_) => None,
        Origin::RequestId => request_ids(&texts),
        Origin::Hex(_) => Some(bytes_in(&column.name, &texts)),
    }
}

fn text_literal(value: &Expr) -> Option<&str> {
    let Expr::Literal(value, _) = value else {
        return None;
    };
    value.try_as_str().flatten()
}

fn request_ids(texts: &[&str]) -> Option<Expr> {
    if texts.len() > REQUEST_IDS_MAX {
        return None;
    }
    // A text that is no request id is equal to none: it adds nothing to the OR.
    let ids = texts.iter().filter_map(|text| RequestId::parse(text).ok());
    Some(ids.map(|id| at_its_millisecond(&id)).reduce(Expr::or).unwrap_or_else(|| lit(false)))
}

fn at_its_millisecond(id: &RequestId) -> Expr {
    let from_us = id.time_ms().saturating_mul(1000);
    let at = |us: i64| lit(ScalarValue::TimestampMicrosecond(Some(us), Some(TIME_ZONE.into())));
    col("time")
        .gt_eq(at(from_us))
        .and(col("time").lt_eq(at(from_us.saturating_add(999))))
        .and(col("seq").eq(lit(id.seq())))
}

fn bytes_in(column: &str, texts: &[&str]) -> Expr {
    let values: Vec<Expr> =
        texts.iter().filter_map(|text| bytes_of_hex(text)).map(|bytes| lit(ScalarValue::Binary(Some(bytes)))).collect();
    match values.as_slice() {
        [] => lit(false),
        [one] => col(column).eq(one.clone()),
        _ => col(column).in_list(values, false),
    }
}

/// The filter itself, unqualified, when it is over stored columns alone and says the same each time.
fn stored_only(filter: &Expr) -> Option<Expr> {
    let mut fits = true;
    let walked = filter.apply(|node| {
        fits &= match node {
            Expr::Column(column) => matches!(sql_columns().origin(&column.name), Some(Origin::Stored(_))),
            Expr::ScalarFunction(call) => call.func.signature().volatility != Volatility::Volatile,
            Expr::Exists(_) | Expr::InSubquery(_) | Expr::ScalarSubquery(_) | Expr::SetComparison(_) => false,
            Expr::Placeholder(_) | Expr::OuterReferenceColumn(..) => false,
            _ => true,
        };
        Ok(if fits { TreeNodeRecursion::Continue } else { TreeNodeRecursion::Stop })
    });
    (walked.is_ok() && fits).then(|| unqualified(filter.clone())).and_then(Result::ok)
}

fn unqualified(filter: Expr) -> Result<Expr> {
    let stripped = filter.transform(|node| {
        Ok(match node {
            Expr::Column(column) if column.relation.is_some() => Transformed::yes(col_exact(&column.name)),
            other => Transformed::no(other),
        })
    })?;
    Ok(stripped.data)
}

fn col_exact(name: &str) -> Expr {
    Expr::Column(datafusion::common::Column::new_unqualified(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "019ab000-0000-7000-8000-000000000000";

    fn form_of(filter: Expr) -> String {
        prunable(&[filter]).map_or_else(|| "-".to_owned(), |expr| expr.to_string())
    }

    #[test]
    fn a_request_id_becomes_its_millisecond_and_seq() {
        let text = form_of(col("request_id").eq(lit(ID)));
        let ms = RequestId::parse(ID).expect("id").time_ms();
        assert!(text.contains(&format!("time >= TimestampMicrosecond({}", ms * 1000)), "{text}");
        assert!(text.contains(&format!("time <= TimestampMicrosecond({}", ms * 1000 + 999)), "{text}");
        assert!(text.contains("seq = Int64("), "{text}");
        assert_eq!(text, form_of(lit(ID).eq(col("request_id"))));
    }

    #[test]
    fn several_request_ids_become_an_or() {
        let both = col("request_id").in_list(vec![lit(ID), lit("019ab000-0001-7000-8000-000000000000")], false);
        assert_eq!(form_of(both).matches("seq =").count(), 2);
    }

    #[test]
    fn what_is_no_request_id_equals_nothing() {
        assert_eq!(form_of(col("request_id").eq(lit("nonsense"))), "Boolean(false)");
    }

    #[test]
    fn hexadecimal_becomes_bytes() {
        let text = form_of(col("span_id").eq(lit("00f067aa0ba902b7")));
        assert!(text.starts_with("span_id = Binary("), "{text}");
        assert_eq!(form_of(col("span_id").eq(lit("XY"))), "Boolean(false)");
    }

    #[test]
    fn an_and_keeps_the_part_that_can_be_pruned_by() {
        let mixed = col("request_id").like(lit("0%")).and(col("status").gt(lit(499)));
        assert_eq!(form_of(mixed), "status > Int32(499)");
    }

    #[test]
    fn an_or_needs_both_parts() {
        let mixed = col("request_id").like(lit("0%")).or(col("status").gt(lit(499)));
        assert_eq!(form_of(mixed), "-");
    }

    #[test]
    fn nothing_computed_is_rewritten_under_a_not() {
        assert_eq!(form_of(!col("request_id").eq(lit(ID))), "-");
        assert_eq!(form_of(col("request_id").in_list(vec![lit(ID)], true)), "-");
    }
}
