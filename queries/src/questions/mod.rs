//! Saved questions: SQL that a support engineer runs by name, with parameters.
//!
//! Each is a file of `queries/questions/` with a header of comments; a new file is a new question:
//!
//! ```text
//!   -- order: 10
//!   -- name: why-failed
//!   -- title: Why did requests to a service fail?
//!   -- answers: one sentence on what the rows say
//!   -- asked-by: who asks it, and when
//!   -- then: what to do with the answer
//!   -- params:
//!   --   service (text, required): the proxied API
//!   --   since (interval, default 15m): how far back to look
//!   -- example: tollgate ask why-failed --service members --since 1h
//! ```
//! The questions are listed by `order`, which is first or missing; one without it comes after all others, by its name.
//!
//! A parameter stands in the SQL as `$name`. Its value replaces it in the syntax tree, as a literal of its type; no text is
//! ever pasted into SQL.

mod bind;
mod header;
mod parameter;

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::sync::LazyLock;

use datafusion::logical_expr::LogicalPlan;
use datafusion::sql::sqlparser::ast::Statement;
use serde::Serialize;

use crate::engine::Engine;
use crate::error::{ErrorKind, QueryError};
use crate::result::QueryResult;
use crate::sql::{Parsed, nearest};

pub use crate::interval::parse_interval;
pub use parameter::{Parameter, ParameterType};

/// Name and text of every file of `queries/questions/`, by name: `build.rs` lists them.
const FILES: &[(&str, &str)] = include!(concat!(env!("OUT_DIR"), "/questions.rs"));

/// One saved question.
#[derive(Debug, Clone, Serialize)]
pub struct Question {
    /// Its place in the list; `None` is after all others.
    #[serde(skip)]
    order: Option<u32>,
    /// Its name: that of its file.
    pub name: String,
    /// The question, as a person asks it.
    pub title: String,
    /// What the rows say.
    pub answers: String,
    /// Who asks it, and when.
    pub asked_by: String,
    /// What to do with the answer.
    pub then: String,
    /// Its parameters.
    pub params: Vec<Parameter>,
    /// A command line that asks it.
    pub example: String,
    /// The SQL, with `$name` for each parameter.
    pub sql: &'static str,
}

static QUESTIONS: LazyLock<Vec<Question>> = LazyLock::new(|| {
    let parsed = FILES.iter().map(|(file, text)| header::parse(file, text));
    // The files are compiled in, and a test parses every one: none is left out in a build that passed.
    let mut questions: Vec<Question> = parsed.filter_map(Result::ok).collect();
    questions.sort_by(Question::in_list);
    questions
});

impl Question {
    /// The order of the list. A reader begins at its top, so what is asked most stands there, and not what begins with an a.
    fn in_list(&self, other: &Self) -> Ordering {
        let key = |question: &Self| question.order.unwrap_or(u32::MAX);
        key(self).cmp(&key(other)).then_with(|| self.name.cmp(&other.name))
    }
}

/// All questions, in the order of the list.
pub fn all() -> &'static [Question] {
    &QUESTIONS
}

/// The question of this name.
pub fn named(name: &str) -> Result<&'static Question, QueryError> {
    if let Some(question) = all().iter().find(|question| question.name == name) {
        return Ok(question);
    }
    let names = || all().iter().map(|question| question.name.as_str());
    let unknown = QueryError::new(ErrorKind::NotFound, format!("there is no question {name}"));
    Err(match nearest(name, names()) {
        Some(near) => unknown.hint(format!("did you mean {near}?")),
        None => unknown.hint(format!("there are {}", names().collect::<Vec<_>>().join(", "))),
    })
}

/// Asks a question. Parameters that are not given take their defaults; an empty value is one that is not given.
pub async fn ask(engine: &Engine, name: &str, values: &BTreeMap<String, String>) -> Result<QueryResult, QueryError> {
    engine.query_statement(statement(engine, name, values)?).await
}

/// The plan of a question with these values.
pub(crate) async fn plan(
    engine: &Engine,
    name: &str,
    values: &BTreeMap<String, String>,
) -> Result<LogicalPlan, QueryError> {
    engine.plan(Parsed::single("", statement(engine, name, values)?)).await
}

fn statement(engine: &Engine, name: &str, values: &BTreeMap<String, String>) -> Result<Statement, QueryError> {
    let question = named(name)?;
    bind::bound(engine.parser().own(question.sql)?, question, values)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_file_has_a_good_header_and_its_own_name() {
        for (file, text) in FILES {
            let question = header::parse(file, text).unwrap_or_else(|problem| panic!("{file}.sql: {problem}"));
            assert_eq!(&question.name, file);
        }
        assert_eq!(all().len(), FILES.len());
    }

    #[test]
    fn every_file_of_the_folder_is_a_question() {
        let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("questions");
        let mut files: Vec<_> = std::fs::read_dir(folder)
            .expect("folder")
            .map(|entry| entry.expect("entry").path().file_stem().expect("stem").to_string_lossy().into_owned())
            .collect();
        files.sort();
        let names: Vec<_> = FILES.iter().map(|(file, _)| (*file).to_owned()).collect();
        assert_eq!(files, names, "each once, in the order of their names");
    }

    #[test]
    fn an_unknown_question_offers_the_nearest() {
        let error = named("why-faild").expect_err("unknown");
        assert_eq!(error.hint.as_deref(), Some("did you mean why-failed?"));
        let hint = named("what").expect_err("unknown").hint.expect("hint");
        assert!(hint.find("why-failed") < hint.find("auth-failures"), "{hint}");
    }

    #[test]
    fn the_list_begins_with_failures_and_ends_with_the_rare() {
        let wanted = [
            "why-failed",
            "errors-by-class",
            "top-failing-services",
            "traffic-by-status",
            "latency-percentiles",
            "slowest-transactions",
            "slowest-routes",
            "upstream-health",
            "client-aborts",
            "who-calls",
            "auth-failures",
            "handshake-failures",
            "tls-posture",
            "expiring-certificates",
            "missing-records",
            "trace",
        ];
        // Others may stand between them.
        let names = all().iter().map(|question| question.name.as_str()).filter(|name| wanted.contains(name));
        assert_eq!(names.collect::<Vec<_>>(), wanted);
    }

    #[test]
    fn a_question_without_an_order_comes_last_by_name() {
        let question = |name, order| Question { name: String::from(name), order, ..all()[0].clone() };
        let mut list = [question("b", None), question("a", None), question("z", Some(20)), question("c", Some(10))];
        list.sort_by(Question::in_list);
        assert_eq!(list.map(|question| question.name), ["c", "z", "a", "b"]);
    }
}
