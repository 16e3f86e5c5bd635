//! Puts values into a question's syntax tree.

use std::collections::BTreeMap;
use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{Expr, Statement, Value, visit_expressions_mut};

use super::{Parameter, Question};
use crate::error::{ErrorKind, QueryError};
use crate::sql::nearest;

/// The statement with a literal in the place of each parameter.
pub(super) fn bound(
    mut statement: Statement,
    question: &Question,
    values: &BTreeMap<String, String>,
) -> Result<Statement, QueryError> {
    check_names(question, values)?;
    let mut literals = BTreeMap::new();
    for parameter in &question.params {
        literals.insert(format!("${}", parameter.name), literal(question, parameter, values)?);
    }
    let replaced = visit_expressions_mut(&mut statement, |expression| {
        if let Expr::Value(value) = expression
            && let Value::Placeholder(name) = &value.value
        {
            match literals.get(name) {
                Some(literal) => *expression = literal.clone(),
                None => return ControlFlow::Break(name.clone()),
            }
        }
        ControlFlow::Continue(())
    });
    match replaced {
        ControlFlow::Continue(()) => Ok(statement),
        ControlFlow::Break(name) => Err(QueryError::new(
            ErrorKind::Internal,
            format!("question {} uses {name}, which its header does not name", question.name),
        )),
    }
}

fn literal(question: &Question, parameter: &Parameter, values: &BTreeMap<String, String>) -> Result<Expr, QueryError> {
    let given = values.get(&parameter.name).filter(|value| !value.is_empty());
    let Some(value) = given.or(parameter.default.as_ref()) else {
        if !parameter.required {
            return Ok(parameter.kind.null());
        }
        return Err(QueryError::new(
            ErrorKind::Parameter,
            format!("question {} needs the parameter {}: {}", question.name, parameter.name, parameter.meaning),
        )
        .hint(usage(question)));
    };
    parameter.kind.literal(value).map_err(|problem| {
        QueryError::new(ErrorKind::Parameter, format!("parameter {}: {problem}", parameter.name)).hint(usage(question))
    })
}

fn check_names(question: &Question, values: &BTreeMap<String, String>) -> Result<(), QueryError> {
    let known = || question.params.iter().map(|parameter| parameter.name.as_str());
    let Some(stranger) = values.keys().find(|name| !known().any(|known| known == name.as_str())) else {
        return Ok(());
    };
    let near = nearest(stranger, known()).map_or_else(String::new, |near| format!("did you mean {near}? "));
    Err(QueryError::new(ErrorKind::Parameter, format!("question {} has no parameter {stranger}", question.name))
        .hint(format!("{near}{}", usage(question))))
}

/// What a question takes, in one line.
fn usage(question: &Question) -> String {
    if question.params.is_empty() {
        return format!("{} takes no parameters", question.name);
    }
    let each = question.params.iter().map(|parameter| {
        let need = match (&parameter.default, parameter.required) {
            (Some(default), _) => format!("default {default}"),
            (None, true) => "required".to_owned(),
            (None, false) => "optional".to_owned(),
        };
        format!("{} ({}, {need})", parameter.name, parameter.kind.as_str())
    });
    format!("{} takes {}", question.name, each.collect::<Vec<_>>().join(", "))
}
