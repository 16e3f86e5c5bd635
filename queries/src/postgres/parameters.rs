//! The placeholders of a prepared statement: their types, and their values when it is executed.

use std::collections::HashMap;

use datafusion::arrow::datatypes::DataType;
use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::logical_expr::{Expr, LogicalPlan};
use datafusion_postgres::arrow_pg::datatypes::df::deserialize_parameters_with_server_types;
use datafusion_postgres::arrow_pg::datatypes::into_pg_type;
use datafusion_postgres::pgwire::api::Type;
use datafusion_postgres::pgwire::api::portal::Portal;
use datafusion_postgres::pgwire::error::PgWireResult;

use super::handlers::Prepared;
use super::reply::fault;
use crate::engine::Engine;
use crate::error::{ErrorKind, QueryError};

/// Placeholders in one statement, at most (the protocol counts them in 16 bits).
const PLACEHOLDERS_MAX: usize = 1000;

/// The types of `$1`, `$2`, …: PostgreSQL's, as the client sees them, and the engine's.
pub(super) fn parameter_types(plan: &LogicalPlan) -> PgWireResult<Vec<(Type, Option<DataType>)>> {
    let mut types = plan.get_parameter_types().map_err(|error| unbindable(error.to_string()))?;
    for (name, cast) in cast_types(plan) {
        let known = types.entry(name).or_default();
        if known.is_none() {
            *known = Some(cast);
        }
    }
    let mut ordered = Vec::with_capacity(types.len());
    for number in 1..=types.len() {
        let Some(inferred) = types.remove(&format!("${number}")) else {
            return Err(unbindable(format!("placeholders must be $1, $2, … without holes; ${number} is missing")));
        };
        let wire = inferred.as_ref().map_or(Ok(Type::UNKNOWN), into_pg_type)?;
        ordered.push((wire, inferred));
    }
    if ordered.len() > PLACEHOLDERS_MAX {
        return Err(unbindable(format!("{} placeholders; at most {PLACEHOLDERS_MAX} are taken", ordered.len())));
    }
    Ok(ordered)
}

/// The plan with the portal's values in the place of its placeholders.
pub(super) fn bound(plan: &LogicalPlan, portal: &Portal<Prepared>) -> PgWireResult<LogicalPlan> {
    let types = parameter_types(plan)?;
    if types.len() != portal.parameter_len() {
        return Err(unbindable(format!("{} values for {} placeholders", portal.parameter_len(), types.len())));
    }
    if types.is_empty() {
        return Ok(plan.clone());
    }
    let inferred: Vec<_> = types.iter().map(|(_, inferred)| inferred.as_ref()).collect();
    let wire: Vec<_> = types.iter().map(|(wire, _)| Some(wire)).collect();
    let values = deserialize_parameters_with_server_types(portal, &inferred, &wire)?;
    Engine::bind(plan.clone(), &values).map_err(|error| fault(&error, ""))
}

/// The types that placeholders are cast to, for those whose type follows from nothing else.
fn cast_types(plan: &LogicalPlan) -> HashMap<String, DataType> {
    let mut types = HashMap::new();
    let walked = plan.apply_with_subqueries(|node| {
        for expression in node.expressions() {
            expression.apply(|inner| {
                if let Expr::Cast(cast) = inner
                    && let Expr::Placeholder(placeholder) = cast.expr.as_ref()
                {
                    types.insert(placeholder.id.clone(), cast.field.data_type().clone());
                }
                Ok(TreeNodeRecursion::Continue)
            })?;
        }
        Ok(TreeNodeRecursion::Continue)
    });
    if walked.is_err() {
        types.clear();
    }
    types
}

fn unbindable(message: String) -> datafusion_postgres::pgwire::error::PgWireError {
    fault(&QueryError::new(ErrorKind::Parameter, message), "")
}
