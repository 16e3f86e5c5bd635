//! `token_hmac('the credential')`: as the column `token_hmac` has it, so that the records of a leaked credential can be found.

use std::hash::{Hash, Hasher};
use std::sync::Arc;

use datafusion::arrow::array::{AsArray, StringArray};
use datafusion::arrow::datatypes::DataType;
use datafusion::common::{Result, exec_err};
use datafusion::error::DataFusionError;
use datafusion::logical_expr::{ColumnarValue, ScalarFunctionArgs, ScalarUDFImpl, Signature, Volatility};
use tollgate_record::redact::TokenHasher;

use crate::error::{ErrorKind, QueryError};

/// Text to the hexadecimal digits of its keyed hash; null for null. No message has the argument.
#[derive(Debug)]
pub(crate) struct TokenHmac {
    hasher: Option<TokenHasher>,
    signature: Signature,
}

impl TokenHmac {
    /// The function that says which key it lacks.
    pub fn without_key() -> Self {
        Self { hasher: None, signature: Signature::exact(vec![DataType::Utf8], Volatility::Immutable) }
    }

    /// The function under the gateway's key.
    pub fn with_key(hasher: TokenHasher) -> Self {
        Self { hasher: Some(hasher), ..Self::without_key() }
    }

    fn key_id(&self) -> Option<&str> {
        self.hasher.as_ref().map(TokenHasher::key_id)
    }
}

impl PartialEq for TokenHmac {
    fn eq(&self, other: &Self) -> bool {
        self.key_id() == other.key_id()
    }
}

impl Eq for TokenHmac {}

impl Hash for TokenHmac {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.key_id().hash(state);
    }
}

impl ScalarUDFImpl for TokenHmac {
    fn name(&self) -> &str {
        "token_hmac"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _arguments: &[DataType]) -> Result<DataType> {
        Ok(DataType::Utf8)
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let Some(hasher) = &self.hasher else {
            let error = QueryError::new(ErrorKind::Failed, "token_hmac has no key here")
                .hint("give queries.token_hmac the key_file of the gateways' `hmac`");
            return Err(DataFusionError::External(Box::new(error)));
        };
        let arrays = ColumnarValue::values_to_arrays(&args.args)?;
        let Some(credentials) = arrays.first().and_then(|credentials| credentials.as_string_opt::<i32>()) else {
            return exec_err!("token_hmac takes a credential");
        };
        let hash = |credential: &str| -> String {
            hasher.hash(credential.trim().as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect()
        };
        let hashes = credentials.iter().map(|credential| credential.map(hash)).collect::<StringArray>();
        Ok(ColumnarValue::Array(Arc::new(hashes)))
    }
}
