//! Turns DataFusion's errors into ours.

use datafusion::common::SchemaError;
use datafusion::error::DataFusionError;
use datafusion::sql::sqlparser::dialect::PostgreSqlDialect;
use datafusion::sql::sqlparser::parser::ParserError;
use datafusion::sql::sqlparser::tokenizer::{Token, Tokenizer};

use super::growing_functions::ABSENT;
use crate::error::{ErrorKind, QueryError, TextPosition};
use crate::table::sql_schema;

/// Names further apart than this are not alike.
const DISTANCE_MAX: usize = 4;

/// Turns an error into ours, with its position in `sql` where that is known.
pub(crate) fn translate(error: &DataFusionError, sql: &str) -> QueryError {
    if let Some(full) = spill_error(error) {
        return full;
    }
    match error {
        DataFusionError::Context(_, inner) | DataFusionError::Diagnostic(_, inner) => translate(inner, sql),
        DataFusionError::Shared(inner) => translate(inner, sql),
        DataFusionError::Collection(all) if !all.is_empty() => translate(&all[0], sql),
        DataFusionError::SQL(error, _) => syntax_error(error, sql),
        DataFusionError::SchemaError(error, _) => schema_error(error, sql),
        DataFusionError::Plan(message) => plan_error(message, sql),
        DataFusionError::NotImplemented(message) => {
            QueryError::new(ErrorKind::Invalid, format!("not supported: {}", first_line(message)))
        }
        DataFusionError::ResourcesExhausted(_) => {
            QueryError::new(ErrorKind::OutOfMemory, "the query needs more memory than queries may use together").hint(
                "narrow the range of time, name fewer columns, or aggregate; sorts and GROUP BY spill to disk, \
                     joins and several DISTINCT in one SELECT do not",
            )
        }
        DataFusionError::Execution(message) => QueryError::new(ErrorKind::Failed, first_line(message)),
        DataFusionError::ArrowError(error, _) => QueryError::new(ErrorKind::Failed, first_line(&error.to_string())),
        DataFusionError::External(inner) => match inner.downcast_ref::<QueryError>() {
            Some(own) => own.clone(),
            None => QueryError::new(ErrorKind::Failed, first_line(&inner.to_string())),
        },
        DataFusionError::ObjectStore(_) | DataFusionError::ParquetError(_) | DataFusionError::IoError(_) => {
            QueryError::new(ErrorKind::Internal, format!("a file of the table cannot be read: {error}"))
                .hint("a file may have been compacted away under a long query: ask again")
        }
        other => QueryError::new(ErrorKind::Internal, first_line(&other.to_string())),
    }
}

/// What DataFusion says when queries have spilled as much as they may: a text is all that it gives.
const SPILLED_TOO_MUCH: &str = "used disk space during the spilling process";

/// The error of a query that could not spill, as there was no more room for it.
fn spill_error(error: &DataFusionError) -> Option<QueryError> {
    if error.to_string().contains(SPILLED_TOO_MUCH) {
        let message = "the query needs more memory than queries may use together, and more disk than they may spill to";
        return Some(
            QueryError::new(ErrorKind::OutOfMemory, message)
                .hint("narrow the range of time, name fewer columns, or raise queries.limits.spill_bytes_max"),
        );
    }
    let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(inner) = cause {
        let kind = inner.downcast_ref::<std::io::Error>().map(std::io::Error::kind);
        if matches!(kind, Some(std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded)) {
            return Some(
                QueryError::new(ErrorKind::OutOfMemory, "the disk that queries spill to is full")
                    .hint("free some of it, or let queries.limits.spill_dir name a folder on another"),
            );
        }
        cause = inner.source();
    }
    None
}

/// An error of the parser, whose message ends in its position.
pub(super) fn syntax_error(error: &ParserError, sql: &str) -> QueryError {
    let message = match error {
        ParserError::ParserError(message) | ParserError::TokenizerError(message) => message.as_str(),
        ParserError::RecursionLimitExceeded => {
            return QueryError::new(ErrorKind::Syntax, "the query is nested too deeply");
        }
    };
    let (message, position) = match message.rsplit_once(" at Line: ") {
        Some((message, position)) => (message, parse_position(position)),
        None => (message, None),
    };
    let error = QueryError::new(ErrorKind::Syntax, first_line(message)).at(position);
    let first = sql.split_whitespace().next().unwrap_or_default().to_ascii_uppercase();
    let reads = ["SELECT", "WITH", "EXPLAIN", "SHOW", "DESCRIBE", "VALUES", "(SELECT", "SET"];
    if reads.contains(&first.as_str()) {
        return error;
    }
    error.hint("queries start with SELECT or WITH; nothing here creates, writes or copies")
}

fn parse_position(text: &str) -> Option<TextPosition> {
    let (line, column) = text.split_once(", Column: ")?;
    let position = TextPosition { line: line.trim().parse().ok()?, column: column.trim().parse().ok()? };
    (position.line > 0).then_some(position)
}

fn schema_error(error: &SchemaError, sql: &str) -> QueryError {
    match error {
        SchemaError::FieldNotFound { field, valid_fields } => {
            let in_reach = valid_fields.iter().map(|column| column.name.as_str());
            let missing = QueryError::new(ErrorKind::UnknownName, format!("there is no column {}", field.name))
                .at(position_of(sql, &field.name));
            match nearest_column(&field.name, in_reach) {
                Some(near) => missing.hint(format!("did you mean {near}?")),
                None => missing.hint("DESCRIBE transactions lists the columns"),
            }
        }
        SchemaError::AmbiguousReference { field } => {
            QueryError::new(ErrorKind::Invalid, format!("column {} is in more than one of the tables", field.name))
                .at(position_of(sql, &field.name))
                .hint("write table.column")
        }
        other => QueryError::new(ErrorKind::Invalid, first_line(&other.to_string())),
    }
}

fn plan_error(message: &str, sql: &str) -> QueryError {
    if let Some(name) = between(message, "table '", "' not found") {
        let table = name.rsplit('.').next().unwrap_or(name);
        return QueryError::new(ErrorKind::UnknownName, format!("there is no table {table}"))
            .at(position_of(sql, table))
            .hint("the records are in the table transactions; files and addresses cannot be read");
    }
    if let Some(name) =
        between(message, "Invalid function '", "'").or_else(|| between(message, "table function '", "'"))
    {
        let missing =
            QueryError::new(ErrorKind::UnknownName, format!("there is no function {name}")).at(position_of(sql, name));
        let known = name.to_ascii_lowercase().replacen("list_", "array_", 1);
        if ABSENT.contains(&known.as_str()) {
            return missing.hint("it is left out, as a few words to it would take more memory than there is");
        }
        return match between(message, "Did you mean '", "'") {
            Some(near) => missing.hint(format!("did you mean {near}?")),
            None => missing.hint("SHOW FUNCTIONS lists them"),
        };
    }
    QueryError::new(ErrorKind::Invalid, first_line(message))
}

fn between<'m>(message: &'m str, before: &str, after: &str) -> Option<&'m str> {
    message.split_once(before)?.1.split_once(after).map(|(inner, _)| inner)
}

/// The column that was probably meant: of those in reach, or else of the table.
fn nearest_column<'c>(name: &str, in_reach: impl Iterator<Item = &'c str>) -> Option<String> {
    let of_the_table = sql_schema();
    nearest(name, in_reach).or_else(|| nearest(name, of_the_table.fields().iter().map(|field| field.name().as_str())))
}

/// The most similar of the names, if any is similar.
pub(crate) fn nearest<'n>(name: &str, known: impl Iterator<Item = &'n str>) -> Option<String> {
    let name = name.to_lowercase();
    let bound = DISTANCE_MAX.min(name.chars().count() / 2 + 1);
    known
        .map(|candidate| (strsim::osa_distance(&name, &candidate.to_lowercase()), candidate))
        .filter(|(distance, candidate)| *distance <= bound || candidate.ends_with(&format!("_{name}")))
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate.to_owned())
}

/// Where a name first stands as a word of its own.
fn position_of(sql: &str, name: &str) -> Option<TextPosition> {
    let tokens = Tokenizer::new(&PostgreSqlDialect {}, sql).tokenize_with_location().ok()?;
    let position = tokens.iter().find_map(|token| match &token.token {
        Token::Word(word) if word.value.eq_ignore_ascii_case(name) => Some(token.span.start),
        Token::SingleQuotedString(text) | Token::DoubleQuotedString(text) if text == name => Some(token.span.start),
        _ => None,
    })?;
    Some(TextPosition { line: position.line, column: position.column })
}

/// The message without what follows on further lines, and starting lower case.
fn first_line(message: &str) -> String {
    let line = message.lines().next().unwrap_or_default().trim_end_matches('.');
    let line = line.strip_prefix("Error during planning: ").unwrap_or(line);
    let mut characters = line.chars();
    match (characters.next(), characters.clone().next()) {
        (Some(first), Some(second)) if first.is_uppercase() && second.is_lowercase() => {
            first.to_lowercase().chain(characters).collect()
        }
        _ => line.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_parsers_place_is_taken_from_its_message() {
        let error = ParserError::ParserError("Expected: an expression, found: FROM at Line: 2, Column: 5".to_owned());
        let error = syntax_error(&error, "SELECT\n    FROM transactions");
        assert_eq!(error.message, "expected: an expression, found: FROM");
        assert_eq!(error.position, Some(TextPosition { line: 2, column: 5 }));
        assert_eq!(error.hint, None);
    }

    #[test]
    fn names_that_are_alike_are_offered() {
        let known = ["status", "service", "upstream_status"];
        assert_eq!(nearest("statuss", known.into_iter()).as_deref(), Some("status"));
        assert_eq!(nearest("Servce", known.into_iter()).as_deref(), Some("service"));
        assert_eq!(nearest("colour", known.into_iter()), None);
    }

    #[test]
    fn a_place_is_a_word_not_a_part_of_one() {
        let position = position_of("SELECT statuses,\n  \"status\" FROM t", "status");
        assert_eq!(position, Some(TextPosition { line: 2, column: 3 }));
    }
}
