//! The statement policy: only reads pass.
//!
//! [`check_plan`] decides. It lists the nodes that read, so that a node of a later DataFusion is refused until it is on the
//! list. [`check_statement`] lists the kinds of statements before they are planned, and only makes refusals clearer.

use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::logical_expr::{LogicalPlan, Statement as PlanStatement};
use datafusion::sql::sqlparser::ast::Statement;

use crate::error::{ErrorKind, QueryError};

const READS_ONLY: &str = "this is a read-only view of the records: SELECT, EXPLAIN, SHOW and DESCRIBE are answered";

/// Refuses a statement of a kind that does not read.
pub(crate) fn check_statement(statement: &Statement) -> Result<(), QueryError> {
    match statement {
        Statement::Query(_)
        | Statement::ExplainTable { .. }
        | Statement::ShowTables { .. }
        | Statement::ShowColumns { .. }
        | Statement::ShowFunctions { .. }
        | Statement::ShowVariable { .. }
        | Statement::ShowSchemas { .. } => Ok(()),
        Statement::Explain { statement, .. } => check_statement(statement),
        Statement::Set(_) | Statement::Reset(_) => {
            Err(QueryError::new(ErrorKind::Refused, "SET is refused: there is no session whose settings could change")
                .hint(READS_ONLY))
        }
        other => Err(refused(&verb(other))),
    }
}

/// Refuses a plan in which any node, at any depth, subqueries included, is on no list of nodes that read.
pub(crate) fn check_plan(plan: &LogicalPlan) -> Result<(), QueryError> {
    let mut refusal = None;
    let walked = plan.apply_with_subqueries(|node| {
        refusal = refused_node(node);
        Ok(if refusal.is_some() { TreeNodeRecursion::Stop } else { TreeNodeRecursion::Continue })
    });
    match (refusal, walked) {
        (Some(what), _) => Err(refused(what)),
        (None, Ok(_)) => Ok(()),
        (None, Err(error)) => Err(QueryError::new(ErrorKind::Internal, format!("the plan cannot be walked: {error}"))),
    }
}

fn refused_node(node: &LogicalPlan) -> Option<&'static str> {
    match node {
        LogicalPlan::Projection(_)
        | LogicalPlan::Filter(_)
        | LogicalPlan::Window(_)
        | LogicalPlan::Aggregate(_)
        | LogicalPlan::Sort(_)
        | LogicalPlan::Join(_)
        | LogicalPlan::Repartition(_)
        | LogicalPlan::Union(_)
        | LogicalPlan::TableScan(_)
        | LogicalPlan::EmptyRelation(_)
        | LogicalPlan::Subquery(_)
        | LogicalPlan::SubqueryAlias(_)
        | LogicalPlan::Limit(_)
        | LogicalPlan::Values(_)
        | LogicalPlan::Explain(_)
        | LogicalPlan::Analyze(_)
        | LogicalPlan::Distinct(_)
        | LogicalPlan::DescribeTable(_)
        | LogicalPlan::Unnest(_)
        | LogicalPlan::RecursiveQuery(_) => None,
        LogicalPlan::Dml(_) => Some("writing to a table"),
        LogicalPlan::Ddl(_) => Some("creating, altering or dropping"),
        LogicalPlan::Copy(_) => Some("COPY"),
        LogicalPlan::Statement(PlanStatement::SetVariable(_) | PlanStatement::ResetVariable(_)) => Some("SET"),
        LogicalPlan::Statement(_) => Some("this statement"),
        LogicalPlan::Extension(_) => Some("this extension"),
    }
}

fn refused(what: &str) -> QueryError {
    QueryError::new(ErrorKind::Refused, format!("{what} is refused")).hint(READS_ONLY)
}

/// The words with which a statement begins, as its kind is called.
fn verb(statement: &Statement) -> String {
    let text = match statement {
        Statement::Insert(_) => "INSERT",
        Statement::Update(_) => "UPDATE",
        Statement::Delete(_) => "DELETE",
        Statement::Merge(_) => "MERGE",
        Statement::Truncate(_) => "TRUNCATE",
        Statement::Copy { .. } => "COPY",
        Statement::Drop { .. } => "DROP",
        Statement::CreateTable(_) => "CREATE TABLE",
        Statement::CreateView(_) => "CREATE VIEW",
        Statement::CreateFunction(_) => "CREATE FUNCTION",
        Statement::CreateSchema { .. } => "CREATE SCHEMA",
        Statement::CreateDatabase { .. } => "CREATE DATABASE",
        Statement::AlterTable(_) => "ALTER TABLE",
        Statement::Prepare { .. } => "PREPARE",
        Statement::Execute { .. } => "EXECUTE",
        Statement::Deallocate { .. } => "DEALLOCATE",
        Statement::Declare { .. } => "DECLARE",
        Statement::Fetch { .. } => "FETCH",
        Statement::StartTransaction { .. } => "BEGIN",
        Statement::Commit { .. } => "COMMIT",
        Statement::Rollback { .. } => "ROLLBACK",
        Statement::Call(_) => "CALL",
        _ => "this statement",
    };
    text.to_owned()
}
