//! The parameters of questions: their types, and their values as literals.

use datafusion::sql::sqlparser::ast::{CastKind, DataType, Expr, Interval, Value};
use serde::Serialize;

use crate::interval::parse_interval;

/// Longest text that a parameter takes, in bytes.
const TEXT_BYTES_MAX: usize = 512;

/// One parameter of a question.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Parameter {
    /// Its name; `$name` in the SQL.
    pub name: String,
    /// The type of its values.
    #[serde(rename = "type")]
    pub kind: ParameterType,
    /// Whether the question cannot be asked without it.
    pub required: bool,
    /// The value when none is given. Without one, an optional parameter is null and constrains nothing.
    pub default: Option<String>,
    /// Its meaning, in words.
    pub meaning: String,
}

/// The type of a parameter's values.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum ParameterType {
    /// Any text.
    Text,
    /// A whole number.
    Integer,
    /// A length of time: `30s`, `15m`, `1h30m`, `7d`.
    Interval,
}

impl ParameterType {
    pub(super) fn parse(name: &str) -> Option<Self> {
        match name {
            "text" => Some(Self::Text),
            "integer" => Some(Self::Integer),
            "interval" => Some(Self::Interval),
            _ => None,
        }
    }

    /// Its name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Text => "text",
            Self::Integer => "integer",
            Self::Interval => "interval",
        }
    }

    /// A value as a literal in a syntax tree, or what is wrong with it.
    pub(super) fn literal(self, text: &str) -> Result<Expr, String> {
        match self {
            Self::Text if text.len() > TEXT_BYTES_MAX => Err(format!("has more than {TEXT_BYTES_MAX} bytes")),
            Self::Text => Ok(string(text)),
            Self::Integer => {
                let number: i64 = text.trim().parse().map_err(|_| format!("`{text}` is not a whole number"))?;
                Ok(Expr::Value(Value::Number(number.to_string(), false).with_empty_span()))
            }
            Self::Interval => {
                let seconds = parse_interval(text)
                    .ok_or_else(|| format!("`{text}` is not a length of time such as 30s, 15m, 1h30m or 7d"))?;
                Ok(Expr::Interval(Interval {
                    value: Box::new(string(&format!("{seconds} seconds"))),
                    leading_field: None,
                    leading_precision: None,
                    last_field: None,
                    fractional_seconds_precision: None,
                }))
            }
        }
    }

    /// The literal of a parameter without a value: null, with its type.
    pub(super) fn null(self) -> Expr {
        let data_type = match self {
            Self::Text => DataType::Text,
            Self::Integer => DataType::BigInt(None),
            Self::Interval => DataType::Interval { fields: None, precision: None },
        };
        Expr::Cast {
            kind: CastKind::Cast,
            expr: Box::new(Expr::Value(Value::Null.with_empty_span())),
            data_type,
            array: false,
            format: None,
        }
    }
}

fn string(text: &str) -> Expr {
    Expr::Value(Value::SingleQuotedString(text.to_owned()).with_empty_span())
}
