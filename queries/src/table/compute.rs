//! The two functions behind the computed columns. They are built into plans and have no name in SQL.

use std::sync::{Arc, LazyLock};

use datafusion::arrow::array::{Array, ArrayRef, AsArray, StringBuilder};
use datafusion::arrow::datatypes::{DataType, Int64Type, TimestampMicrosecondType};
use datafusion::common::{Result, exec_err};
use datafusion::logical_expr::{ColumnarValue, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility};
use tollgate_record::id::{RequestId, producer_tag};
use tollgate_record::vocabulary::Kind;

static REQUEST_ID: LazyLock<Arc<ScalarUDF>> =
    LazyLock::new(|| Arc::new(ScalarUDF::from(Computed::new(Computation::RequestId))));
static HEX: LazyLock<Arc<ScalarUDF>> = LazyLock::new(|| Arc::new(ScalarUDF::from(Computed::new(Computation::Hex))));

/// (time, producer, seq, kind) → the request id as text; null for a gap, which is no request.
pub(super) fn request_id() -> Arc<ScalarUDF> {
    REQUEST_ID.clone()
}

/// Bytes → lower-case hexadecimal text.
pub(super) fn hex() -> Arc<ScalarUDF> {
    HEX.clone()
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Computation {
    RequestId,
    Hex,
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Computed {
    computation: Computation,
    signature: Signature,
}

impl Computed {
    fn new(computation: Computation) -> Self {
        Self { computation, signature: Signature::variadic_any(Volatility::Immutable) }
    }
}

impl ScalarUDFImpl for Computed {
    fn name(&self) -> &str {
        match self.computation {
            Computation::RequestId => "tollgate_request_id",
            Computation::Hex => "tollgate_hex",
        }
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _arguments: &[DataType]) -> Result<DataType> {
        Ok(DataType::Utf8)
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let arrays = ColumnarValue::values_to_arrays(&args.args)?;
        let text = match (self.computation, arrays.as_slice()) {
            (Computation::RequestId, [time, producer, seq, kind]) => request_ids(time, producer, seq, kind)?,
            (Computation::Hex, [bytes]) => hex_texts(bytes)?,
            _ => return exec_err!("{} has the wrong number of arguments", self.name()),
        };
        Ok(ColumnarValue::Array(text))
    }
}

fn request_ids(time: &ArrayRef, producer: &ArrayRef, seq: &ArrayRef, kind: &ArrayRef) -> Result<ArrayRef> {
    let (Some(time), Some(producer), Some(seq), Some(kind)) = (
        time.as_primitive_opt::<TimestampMicrosecondType>(),
        producer.as_string_opt::<i32>(),
        seq.as_primitive_opt::<Int64Type>(),
        kind.as_string_opt::<i32>(),
    ) else {
        return exec_err!("a request id is computed from a time, a producer, a seq and a kind");
    };
    let mut ids = StringBuilder::with_capacity(time.len(), time.len() * 36);
    let mut buffer = [0; 36];
    // Rows of one producer stand together: hash its name once a run.
    let mut tagged: Option<(&str, u32)> = None;
    for row in 0..time.len() {
        let missing = time.is_null(row) || producer.is_null(row) || seq.is_null(row);
        if missing || kind.is_null(row) || kind.value(row) == Kind::Gap.as_str() {
            ids.append_null();
            continue;
        }
        let name = producer.value(row);
        let tag = match tagged {
            Some((of, tag)) if of == name => tag,
            _ => producer_tag(name),
        };
        tagged = Some((name, tag));
        ids.append_value(RequestId::from_parts(time.value(row), tag, seq.value(row)).encode(&mut buffer));
    }
    Ok(Arc::new(ids.finish()))
}

fn hex_texts(bytes: &ArrayRef) -> Result<ArrayRef> {
    let Some(bytes) = bytes.as_binary_opt::<i32>() else {
        return exec_err!("only bytes are shown as hexadecimal text, not {}", bytes.data_type());
    };
    let mut texts = StringBuilder::with_capacity(bytes.len(), bytes.value_data().len() * 2);
    let mut text = String::new();
    for value in bytes {
        match value {
            Some(value) => {
                text.clear();
                value.iter().for_each(|byte| push_hex(&mut text, *byte));
                texts.append_value(&text);
            }
            None => texts.append_null(),
        }
    }
    Ok(Arc::new(texts.finish()))
}

fn push_hex(text: &mut String, byte: u8) {
    const DIGITS: [char; 16] = ['0', '1', '2', '3', '4', '5', '6', '7', '8', '9', 'a', 'b', 'c', 'd', 'e', 'f'];
    text.push(DIGITS[usize::from(byte >> 4)]);
    text.push(DIGITS[usize::from(byte & 15)]);
}

/// The bytes that lower-case hexadecimal text shows, or `None` where a column could never show this text.
pub(super) fn bytes_of_hex(text: &str) -> Option<Vec<u8>> {
    let digit = |byte: u8| match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        _ => None,
    };
    if !text.len().is_multiple_of(2) {
        return None;
    }
    text.as_bytes().chunks_exact(2).map(|pair| Some(digit(pair[0])? << 4 | digit(pair[1])?)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hexadecimal_text_goes_both_ways() {
        let mut text = String::new();
        [0x00, 0x9f, 0xa0, 0xff].iter().for_each(|byte| push_hex(&mut text, *byte));
        assert_eq!(text, "009fa0ff");
        assert_eq!(bytes_of_hex(&text), Some(vec![0x00, 0x9f, 0xa0, 0xff]));
    }

    #[test]
    fn text_that_no_column_shows_has_no_bytes() {
        assert_eq!(bytes_of_hex("abc"), None);
        assert_eq!(bytes_of_hex("AB"), None);
        assert_eq!(bytes_of_hex("zz"), None);
        assert_eq!(bytes_of_hex("é"), None);
    }
}
