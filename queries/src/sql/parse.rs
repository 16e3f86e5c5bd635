//! From text to statements, in PostgreSQL's dialect.
//!
//! Clients ask the catalogs in ways that need rewriting before DataFusion understands them; the rewriting loses where
//! things stand in the text, and its rules are made for catalogs, not for records. So each statement is kept in both
//! forms: as written, and as rewritten. A statement that names a catalog is planned as rewritten, any other as
//! written, and each falls back to the other form.

use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{Expr, FunctionArguments, Statement, Value, visit_expressions_mut};
use datafusion::sql::sqlparser::dialect::PostgreSqlDialect;
use datafusion::sql::sqlparser::parser::Parser as SqlParser;
use datafusion::sql::sqlparser::tokenizer::{Token, Tokenizer};
use datafusion_postgres::datafusion_pg_catalog::sql::PostgresCompatibilityParser;

use super::translate::syntax_error;
use crate::error::{ErrorKind, QueryError};

/// Statements in one text, at most.
const STATEMENTS_MAX: usize = 16;

/// One statement, in one or both forms, preferred form first.
#[derive(Debug, Clone)]
pub(crate) struct Parsed {
    /// The text it came from, for places in errors.
    pub sql: String,
    /// The form to plan.
    pub statement: Statement,
    /// The form to plan when the first cannot be planned.
    pub other: Option<Statement>,
}

impl Parsed {
    /// A statement that is in one form only.
    pub fn single(sql: &str, statement: Statement) -> Self {
        Self { sql: sql.to_owned(), statement, other: None }
    }
}

/// Parses texts.
#[derive(Debug)]
pub(crate) struct Parser {
    compatible: PostgresCompatibilityParser,
    sql_bytes_max: usize,
}

impl Parser {
    pub fn new(sql_bytes_max: usize) -> Self {
        Self { compatible: PostgresCompatibilityParser::new(), sql_bytes_max }
    }

    /// All statements of a text; none for a text of white space and comments.
    pub fn statements(&self, sql: &str) -> Result<Vec<Parsed>, QueryError> {
        self.check_size(sql)?;
        let written = SqlParser::parse_sql(&PostgreSqlDialect {}, sql);
        let rewritten = self.compatible.parse(sql);
        let statements = match (written, rewritten) {
            (Ok(written), Ok(rewritten)) if written.len() == rewritten.len() => {
                let catalog = names_a_catalog(sql);
                let pairs = written.into_iter().zip(rewritten.into_iter().map(without_subquery_arrays));
                pairs
                    .map(|(written, rewritten)| {
                        let (first, second) = if catalog { (rewritten, written) } else { (written, rewritten) };
                        Parsed { sql: sql.to_owned(), statement: first, other: Some(second) }
                    })
                    .collect()
            }
            (Ok(only), _) | (Err(_), Ok(only)) => {
                only.into_iter().map(|statement| Parsed::single(sql, statement)).collect::<Vec<_>>()
            }
            (Err(error), Err(_)) => return Err(syntax_error(&error, sql)),
        };
        if statements.len() > STATEMENTS_MAX {
            return Err(QueryError::new(
                ErrorKind::TooLarge,
                format!("{} statements in one text; at most {STATEMENTS_MAX} are taken", statements.len()),
            ));
        }
        Ok(statements)
    }

    /// The one statement of a text.
    pub fn one(&self, sql: &str) -> Result<Parsed, QueryError> {
        let mut statements = self.statements(sql)?;
        match (statements.pop(), statements.len()) {
            (Some(statement), 0) => Ok(statement),
            (None, _) => Err(QueryError::new(ErrorKind::Syntax, "the query is empty")
                .hint("try SELECT * FROM transactions ORDER BY time DESC LIMIT 10")),
            (Some(_), before) => {
                Err(QueryError::new(ErrorKind::Refused, format!("{} statements in one query", before + 1))
                    .hint("send one statement at a time"))
            }
        }
    }

    /// Parses a text of ours, as written.
    pub fn own(&self, sql: &str) -> Result<Statement, QueryError> {
        let mut statements =
            SqlParser::parse_sql(&PostgreSqlDialect {}, sql).map_err(|error| syntax_error(&error, sql))?;
        match (statements.pop(), statements.is_empty()) {
            (Some(statement), true) => Ok(statement),
            _ => Err(QueryError::new(ErrorKind::Syntax, "a question is one statement")),
        }
    }

    fn check_size(&self, sql: &str) -> Result<(), QueryError> {
        if sql.len() <= self.sql_bytes_max {
            return Ok(());
        }
        Err(QueryError::new(
            ErrorKind::TooLarge,
            format!("the query has {} bytes; at most {} are taken", sql.len(), self.sql_bytes_max),
        ))
    }
}

/// The statement with null in the place of each `ARRAY(SELECT …)`, which DataFusion lacks. psql's `\du` and `\d+` have
/// it, for what there is none of here.
fn without_subquery_arrays(mut statement: Statement) -> Statement {
    let _all: ControlFlow<()> = visit_expressions_mut(&mut statement, |expression| {
        if let Expr::Function(call) = expression
            && matches!(call.args, FunctionArguments::Subquery(_))
            && call.name.to_string().eq_ignore_ascii_case("array")
        {
            *expression = Expr::Value(Value::Null.with_empty_span());
        }
        ControlFlow::Continue(())
    });
    statement
}

/// Whether any word of the text is the name of a catalog or of something in it.
fn names_a_catalog(sql: &str) -> bool {
    let Ok(tokens) = Tokenizer::new(&PostgreSqlDialect {}, sql).tokenize() else {
        return false;
    };
    tokens.iter().any(|token| match token {
        Token::Word(word) => {
            let name = word.value.to_ascii_lowercase();
            name.starts_with("pg_")
                || name.starts_with("reg")
                || matches!(name.as_str(), "information_schema" | "current_setting" | "version" | "current_user")
        }
        _ => false,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parser() -> Parser {
        Parser::new(1000)
    }

    #[test]
    fn catalogs_are_told_by_words_not_by_text() {
        assert!(names_a_catalog("SELECT relname FROM pg_class"));
        assert!(names_a_catalog("SELECT 1 FROM information_schema.tables"));
        assert!(!names_a_catalog("SELECT 'pg_class' FROM transactions"));
    }

    #[test]
    fn one_means_one() {
        assert_eq!(parser().one("SELECT 1; SELECT 2").expect_err("two").kind, ErrorKind::Refused);
        assert_eq!(parser().one(" -- nothing\n").expect_err("none").kind, ErrorKind::Syntax);
        assert!(parser().one("SELECT 1;").is_ok());
    }

    #[test]
    fn a_text_past_the_bound_is_not_parsed() {
        let long = format!("SELECT '{}'", "x".repeat(1000));
        assert_eq!(parser().one(&long).expect_err("long").kind, ErrorKind::TooLarge);
    }

    #[test]
    fn nesting_past_the_bound_is_an_error_not_a_crash() {
        let deep = format!("SELECT {}1{}", "(".repeat(400), ")".repeat(400));
        assert!(parser().one(&deep).is_err());
    }
}
