//! From text to statements, in PostgreSQL's dialect.
//!
//! Clients query the catalogs in ways that DataFusion understands only after a rewrite. The rewrite loses the positions in
//! the text, and its rules are made for catalogs, not for records. So a statement that names a catalog is planned as
//! rewritten, any other as written, and each falls back to the other form. Only catalog queries, and statements that cannot
//! be planned as written, pay for the second parser.

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

/// One statement, in the form to plan first.
#[derive(Debug, Clone)]
pub(crate) struct Parsed {
    /// The text it came from, for positions in errors.
    pub sql: String,
    /// The form to plan.
    pub statement: Statement,
    other: OtherForm,
}

/// The form to plan when the first cannot be planned.
#[derive(Debug, Clone)]
enum OtherForm {
    None,
    AsWritten(Box<Statement>),
    /// As rewritten: statement `index` of the `count` of the text, which is rewritten only when it is needed.
    Rewritten {
        index: usize,
        count: usize,
    },
}

impl Parsed {
    /// A statement that is in one form only.
    pub fn single(sql: &str, statement: Statement) -> Self {
        Self { sql: sql.to_owned(), statement, other: OtherForm::None }
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
        let statements = match SqlParser::parse_sql(&PostgreSqlDialect {}, sql) {
            Ok(written) if names_a_catalog(sql) => self.catalog_statements(sql, written),
            Ok(written) => {
                let count = written.len();
                let rewritten = |index| OtherForm::Rewritten { index, count };
                let parsed = |(index, statement)| Parsed { other: rewritten(index), ..Parsed::single(sql, statement) };
                written.into_iter().enumerate().map(parsed).collect()
            }
            Err(error) => {
                let rewritten = self.compatible.parse(sql).map_err(|_| syntax_error(&error, sql))?;
                rewritten.into_iter().map(|statement| Parsed::single(sql, statement)).collect::<Vec<_>>()
            }
        };
        if statements.len() > STATEMENTS_MAX {
            return Err(QueryError::new(
                ErrorKind::TooLarge,
                format!("{} statements in one text; at most {STATEMENTS_MAX} are taken", statements.len()),
            ));
        }
        Ok(statements)
    }

    /// Statements that name a catalog: as rewritten first, where there is such a form of each.
    fn catalog_statements(&self, sql: &str, written: Vec<Statement>) -> Vec<Parsed> {
        let rewritten = self.compatible.parse(sql).ok().filter(|rewritten| rewritten.len() == written.len());
        let Some(rewritten) = rewritten else {
            return written.into_iter().map(|statement| Parsed::single(sql, statement)).collect();
        };
        let pairs = written.into_iter().zip(rewritten.into_iter().map(without_subquery_arrays));
        let parsed = |(written, rewritten)| Parsed {
            other: OtherForm::AsWritten(Box::new(written)),
            ..Parsed::single(sql, rewritten)
        };
        pairs.map(parsed).collect()
    }

    /// The form to plan when the first cannot be planned, if there is one.
    pub fn other_form(&self, parsed: &Parsed) -> Option<Statement> {
        match &parsed.other {
            OtherForm::None => None,
            OtherForm::AsWritten(statement) => Some((**statement).clone()),
            OtherForm::Rewritten { index, count } => {
                let mut rewritten = self.compatible.parse(&parsed.sql).ok().filter(|all| all.len() == *count)?;
                Some(without_subquery_arrays(rewritten.swap_remove(*index)))
            }
        }
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

    /// Parses a text of this crate, as written.
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

/// The statement with null in the place of each `ARRAY(SELECT …)`, which DataFusion lacks. psql's `\du` and `\d+` use it to
/// list things that do not exist here.
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
