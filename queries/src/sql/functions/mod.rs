//! The functions beside DataFusion's own: those that PostgreSQL's clients call when they connect, and ours over the record's
//! vocabulary and numbers. Some of DataFusion's are left out.

mod actor;
mod ago;
mod in_cidr;
mod token_hmac;

use datafusion::arrow::datatypes::DataType;
use datafusion::common::{Result, ScalarValue};
use datafusion::logical_expr::{ColumnarValue, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility};
use datafusion::prelude::SessionContext;

use super::growing_functions::ABSENT;
use actor::Actor;
use ago::Ago;
use in_cidr::InCidr;
pub(crate) use token_hmac::TokenHmac;

/// What `version()` and `SHOW server_version` tell. Clients choose their catalog queries by it.
pub(crate) const SERVER_VERSION: &str = "16.6";

/// Adds our functions to the context, and removes those of [`ABSENT`].
pub(super) fn register(context: &SessionContext) {
    let fixed = [
        Fixed::new("version", FixedAnswer::Version),
        Fixed::new("current_setting", FixedAnswer::Setting),
        Fixed::new("pg_function_is_visible", FixedAnswer::Yes),
        Fixed::new("pg_get_function_sqlbody", FixedAnswer::Nothing),
        Fixed::new("pg_get_ruledef", FixedAnswer::Nothing),
        Fixed::new("shobj_description", FixedAnswer::Nothing),
        Fixed::new("pg_table_size", FixedAnswer::Nothing),
        Fixed::new("pg_database_size", FixedAnswer::Nothing),
        Fixed::new("pg_size_pretty", FixedAnswer::Nothing),
    ];
    for function in fixed {
        context.register_udf(ScalarUDF::from(function));
    }
    context.register_udf(ScalarUDF::from(Actor::new()));
    context.register_udf(ScalarUDF::from(Ago::new()));
    context.register_udf(ScalarUDF::from(InCidr::new()));
    context.register_udf(ScalarUDF::from(TokenHmac::without_key()));
    crate::completeness::register(context);
    super::sketch::register(context);
    for name in ABSENT {
        context.deregister_udf(name);
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum FixedAnswer {
    Version,
    Setting,
    Nothing,
    Yes,
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Fixed {
    name: &'static str,
    answer: FixedAnswer,
    signature: Signature,
}

impl Fixed {
    fn new(name: &'static str, answer: FixedAnswer) -> Self {
        let arguments = match answer {
            FixedAnswer::Version => Signature::nullary(Volatility::Stable),
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
        Ok(if self.answer == FixedAnswer::Yes { DataType::Boolean } else { DataType::Utf8 })
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let text = match self.answer {
            FixedAnswer::Version => {
                Some(format!("PostgreSQL {SERVER_VERSION} (Tollgate {})", env!("CARGO_PKG_VERSION")))
            }
            FixedAnswer::Nothing => None,
            FixedAnswer::Yes => return Ok(ColumnarValue::Scalar(ScalarValue::Boolean(Some(true)))),
            FixedAnswer::Setting => match args.args.first() {
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
