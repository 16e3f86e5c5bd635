//! Errors of queries: the kind, where in the text, and what can be done.

use serde::Serialize;

/// The kind of a [`QueryError`]: it decides the HTTP status and the SQLSTATE.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ErrorKind {
    /// The text is not SQL.
    Syntax,
    /// A column, table or function that does not exist.
    UnknownName,
    /// Types that do not fit, a wrong number of arguments, and the like.
    Invalid,
    /// A statement that would change something, or reach outside the table.
    Refused,
    /// A question's or prepared statement's parameter is missing, unknown or of the wrong type.
    Parameter,
    /// There is no such question, or no such page.
    NotFound,
    /// It ran into the time limit.
    TimedOut,
    /// It ran into the memory limit.
    OutOfMemory,
    /// Too many queries are running and waiting.
    Busy,
    /// The client withdrew it.
    Canceled,
    /// The query text or request body is too long.
    TooLarge,
    /// A request body that is not called JSON.
    NotJson,
    /// A request body that did not come in time.
    SlowRequest,
    /// It failed while running on the data (a division by zero, an overflow).
    Failed,
    /// Our own fault, or the storage's.
    Internal,
}

impl ErrorKind {
    /// The HTTP status.
    pub fn http_status(self) -> u16 {
        match self {
            Self::Syntax | Self::UnknownName | Self::Invalid | Self::Parameter => 400,
            Self::Refused => 403,
            Self::NotFound => 404,
            Self::TimedOut => 504,
            Self::OutOfMemory | Self::Failed => 422,
            Self::Busy => 429,
            Self::Canceled => 499,
            Self::SlowRequest => 408,
            Self::TooLarge => 413,
            Self::NotJson => 415,
            Self::Internal => 500,
        }
    }

    /// The SQLSTATE, five characters (PostgreSQL manual, appendix A).
    pub fn sqlstate(self) -> &'static str {
        match self {
            Self::Syntax | Self::NotJson => "42601",
            Self::UnknownName => "42703",
            Self::Invalid => "42804",
            Self::Refused => "25006",
            Self::Parameter => "22023",
            Self::NotFound => "42P01",
            Self::TimedOut | Self::Canceled | Self::SlowRequest => "57014",
            Self::OutOfMemory => "53200",
            Self::Busy => "53300",
            Self::TooLarge => "54000",
            Self::Failed => "22000",
            Self::Internal => "XX000",
        }
    }
}

/// A position in the text of a query: line and column are counted from 1, the column in characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct TextPosition {
    /// The line.
    pub line: u64,
    /// The character in the line.
    pub column: u64,
}

impl TextPosition {
    /// The character in the whole text, from 1, as PostgreSQL's error position wants it.
    pub fn offset(self, sql: &str) -> usize {
        let before: usize =
            sql.split_inclusive('\n').take(self.line.saturating_sub(1) as usize).map(|line| line.chars().count()).sum();
        before + self.column as usize
    }
}

/// Why a query has no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}{}{}", position_suffix(self.position), hint_suffix(self.hint.as_deref()))]
pub struct QueryError {
    /// The kind of trouble.
    pub kind: ErrorKind,
    /// One sentence, lower case, without a full stop.
    pub message: String,
    /// Where in the query text, if known.
    pub position: Option<TextPosition>,
    /// What can be done about it.
    pub hint: Option<String>,
}

impl QueryError {
    /// An error without a position or a hint.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into(), position: None, hint: None }
    }

    /// Adds what can be done.
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// Adds where it is.
    pub fn at(mut self, position: Option<TextPosition>) -> Self {
        self.position = position;
        self
    }
}

fn position_suffix(position: Option<TextPosition>) -> String {
    position.map_or_else(String::new, |at| format!(" (line {}, column {})", at.line, at.column))
}

fn hint_suffix(hint: Option<&str>) -> String {
    hint.map_or_else(String::new, |hint| format!("; {hint}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_offset_counts_characters_not_bytes() {
        let sql = "SELECT 'é',\n  nope";
        assert_eq!(TextPosition { line: 1, column: 12 }.offset(sql), 12);
        assert_eq!(TextPosition { line: 2, column: 3 }.offset(sql), 15);
    }

    #[test]
    fn the_sentence_carries_position_and_hint() {
        let error = QueryError::new(ErrorKind::UnknownName, "no column statuss")
            .at(Some(TextPosition { line: 1, column: 8 }))
            .hint("did you mean status?");
        assert_eq!(error.to_string(), "no column statuss (line 1, column 8); did you mean status?");
    }
}
