//! Functions that PostgreSQL's clients call when they connect, and that DataFusion lacks; and those that are taken away.

use datafusion::arrow::datatypes::DataType;
use datafusion::common::{Result, ScalarValue};
use datafusion::logical_expr::{ColumnarValue, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility};
use datafusion::prelude::SessionContext;

use super::capped::ABSENT;

/// What `version()` and `SHOW server_version` tell. Clients choose their catalog queries by it.
pub(crate) const SERVER_VERSION: &str = "16.6";

/// Adds the functions to the context, and takes away those that make much out of little.
pub(super) fn register(context: &SessionContext) {
    let fixed = [
        Fixed::new("version", Answer::Version),
        Fixed::new("current_setting", Answer::Setting),
        Fixed::new("obj_description", Answer::Nothing),
        Fixed::new("col_description", Answer::Nothing),
        Fixed::new("shobj_description", Answer::Nothing),
        Fixed::new("pg_table_size", Answer::Nothing),
        Fixed::new("pg_database_size", Answer::Nothing),
        Fixed::new("pg_size_pretty", Answer::Nothing),
    ];
    for function in fixed {
        context.register_udf(ScalarUDF::from(function));
    }
    crate::account::register(context);
    for name in ABSENT {
        context.deregister_udf(name);
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Answer {
    Version,
    Setting,
    Nothing,
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Fixed {
    name: &'static str,
    answer: Answer,
    signature: Signature,
}

impl Fixed {
    fn new(name: &'static str, answer: Answer) -> Self {
        let arguments = match answer {
            Answer::Version => Signature::nullary(Volatility::Stable),
            _ => Signature::variadic_any(Volatility::Stable),
        };
        Self { name, answer, signature: arguments }
    }
}

impl ScalarUDFImpl for Fixed {
    fn name(&self) -> &str {
        self.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _arguments: &[DataType]) -> Result<DataType> {
        Ok(DataType::Utf8)
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let text = match self.answer {
            Answer::Version => Some(format!("PostgreSQL {SERVER_VERSION} (Tollgate {})", env!("CARGO_PKG_VERSION"))),
            Answer::Nothing => None,
            Answer::Setting => match args.args.first() {
                Some(ColumnarValue::Scalar(name)) => name.try_as_str().flatten().and_then(setting).map(str::to_owned),
                _ => None,
            },
        };
        Ok(ColumnarValue::Scalar(ScalarValue::Utf8(text)))
    }
}

/// The settings that clients ask for, all fixed.
pub(crate) fn setting(name: &str) -> Option<&'static str> {
    Some(match name.to_ascii_lowercase().as_str() {
        "server_version" => SERVER_VERSION,
        "server_version_num" => "160006",
        "search_path" => "\"$user\", public",
        "server_encoding" | "client_encoding" => "UTF8",
        "default_transaction_read_only" | "transaction_read_only" => "on",
        "transaction_isolation" | "default_transaction_isolation" => "read committed",
        "standard_conforming_strings" | "integer_datetimes" => "on",
        "max_identifier_length" => "63",
        "timezone" => "UTC",
        _ => return None,
    })
}
