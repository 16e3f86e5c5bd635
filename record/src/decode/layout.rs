//! Checks that arrow-ipc can build the columns without a panic.
//!
//! arrow-ipc panics when it converts a type that it does not know, and when a validity bitmap is too short. So types must be on a
//! list, and each array is compared with its buffers first.

use arrow_ipc::{Buffer, DateUnit, Field, FieldNode, Int, IntervalUnit, Precision, RecordBatch, TimeUnit, Type};

use super::DecodeError;
use super::walk::not_arrow;

/// Checks that `field` and all below it are of types that are read here. Unions, maps and run-end encoded columns are not: no
/// column of a record is one, and a later version may not add one.
pub(super) fn check_type(field: Field<'_>) -> Result<(), DecodeError> {
    let index = field.dictionary().map(|dictionary| dictionary.indexType().map(|int| int.bitWidth()));
    let index_fits = index.is_none_or(|width| width.is_some_and(is_int_width));
    let children = field.children().map_or(0, |children| children.len());
    let fits = match field.type_type() {
        Type::Null | Type::Bool => true,
        Type::Utf8 | Type::LargeUtf8 | Type::Utf8View => true,
        Type::Binary | Type::LargeBinary | Type::BinaryView => true,
        Type::Struct_ => true,
        Type::Int => field.type_as_int().is_some_and(|int| is_int_width(int.bitWidth())),
        Type::FloatingPoint => {
            field.type_as_floating_point().is_some_and(|float| Precision::ENUM_VALUES.contains(&float.precision()))
        }
        Type::Decimal => field.type_as_decimal().is_some_and(|decimal| {
            matches!(decimal.bitWidth(), 32 | 64 | 128 | 256)
                && (1..=76).contains(&decimal.precision())
                && (-76..=76).contains(&decimal.scale())
        }),
        Type::Date => field.type_as_date().is_some_and(|date| DateUnit::ENUM_VALUES.contains(&date.unit())),
        Type::Time => field.type_as_time().is_some_and(|time| {
            let narrow = matches!(time.unit(), TimeUnit::SECOND | TimeUnit::MILLISECOND);
            let wide = matches!(time.unit(), TimeUnit::MICROSECOND | TimeUnit::NANOSECOND);
            (narrow && time.bitWidth() == 32) || (wide && time.bitWidth() == 64)
        }),
        Type::Timestamp => {
            field.type_as_timestamp().is_some_and(|timestamp| TimeUnit::ENUM_VALUES.contains(&timestamp.unit()))
        }
        Type::Interval => {
            field.type_as_interval().is_some_and(|interval| IntervalUnit::ENUM_VALUES.contains(&interval.unit()))
        }
        Type::Duration => {
            field.type_as_duration().is_some_and(|duration| TimeUnit::ENUM_VALUES.contains(&duration.unit()))
        }
        Type::FixedSizeBinary => field.type_as_fixed_size_binary().is_some_and(|binary| binary.byteWidth() >= 0),
        Type::List | Type::LargeList => children == 1,
        Type::FixedSizeList => {
            children == 1 && field.type_as_fixed_size_list().is_some_and(|list| list.listSize() >= 0)
        }
        _ => false,
    };
    if fits && index_fits {
        return Ok(());
    }
    let name = super::meta::shown(field.name().unwrap_or_default());
    Err(DecodeError::NotArrow(format!("column `{name}` is of a type that is not read")))
}

fn is_int_width(bits: i32) -> bool {
    matches!(bits, 8 | 16 | 32 | 64)
}

/// The nodes and buffers of a message, taken in the order in which arrow-ipc takes them.
pub(super) struct Arrays<'a> {
    nodes: Box<dyn Iterator<Item = &'a FieldNode> + 'a>,
    buffers: Box<dyn Iterator<Item = &'a Buffer> + 'a>,
    variadic: Box<dyn Iterator<Item = i64> + 'a>,
}

impl<'a> Arrays<'a> {
    pub(super) fn new(arrays: RecordBatch<'a>) -> Self {
        Self {
            nodes: Box::new(arrays.nodes().into_iter().flatten()),
            buffers: Box::new(arrays.buffers().into_iter().flatten()),
            variadic: Box::new(arrays.variadicBufferCounts().into_iter().flatten()),
        }
    }

    /// Checks the array of `field`, whose types [`check_type`] has passed; `values` are those of its dictionary.
    pub(super) fn check(&mut self, field: Field<'_>, values: bool) -> Result<(), DecodeError> {
        let node = self.nodes.next().ok_or_else(|| not_arrow("it has fewer arrays than columns"))?;
        let keys = field.dictionary().is_some() && !values;
        let buffers = match field.type_type() {
            _ if keys => 2,
            Type::Null => return Ok(()),
            Type::Utf8 | Type::LargeUtf8 | Type::Binary | Type::LargeBinary => 3,
            Type::Utf8View | Type::BinaryView => {
                let count = self.variadic.next().and_then(|count| usize::try_from(count).ok());
                count.ok_or_else(|| not_arrow("a view has no count of its buffers"))?.saturating_add(2)
            }
            Type::FixedSizeList | Type::Struct_ => 1,
            _ => 2,
        };
        let width = width(field, keys);
        for index in 0..buffers {
            let buffer = self.buffers.next().ok_or_else(|| not_arrow("it has fewer buffers than columns need"))?;
            let short = buffer.length().saturating_mul(8) < node.length();
            if index == 0 && node.null_count() > 0 && short {
                return Err(not_arrow("an array has more values than bits of validity"));
            }
            if index == 1 && buffer.length() % width != 0 {
                return Err(not_arrow("a buffer ends within a value"));
            }
        }
        if keys {
            return Ok(());
        }
        field.children().into_iter().flatten().try_for_each(|child| self.check(child, false))
    }
}

/// Bytes of one offset, key, view or integer in the second buffer of an array; 1 where arrow-ipc accepts any length.
fn width(field: Field<'_>, keys: bool) -> i64 {
    let bits = |int: Option<Int<'_>>| int.map_or(8, |int| i64::from(int.bitWidth()));
    match field.type_type() {
        _ if keys => bits(field.dictionary().and_then(|dictionary| dictionary.indexType())) / 8,
        Type::Int => bits(field.type_as_int()) / 8,
        Type::Utf8 | Type::Binary | Type::List => 4,
        Type::LargeUtf8 | Type::LargeBinary | Type::LargeList => 8,
        Type::Utf8View | Type::BinaryView => 16,
        _ => 1,
    }
}
