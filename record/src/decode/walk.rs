//! The messages of an Arrow IPC stream, checked before arrow-ipc builds anything from them.
//!
//! ```text
//! | ffffffff | n | schema (n bytes)       |
//! | ffffffff | n | dictionary (n bytes)   | body |   at most one for each dictionary column
//! | ffffffff | n | record batch (n bytes) | body |   exactly one
//! | ffffffff | 0 |                                  end of stream; may be left out
//! ```

use std::collections::HashMap;

use arrow_ipc::{Endianness, Field, Message, RecordBatch, Schema, root_as_message_with_opts};
use flatbuffers::VerifierOptions;

use super::layout::{Arrays, check_type};
use super::{DecodeError, DecodeLimits};

/// The most bytes of one message's metadata; ours take some 12 KiB for the schema and 4 KiB for the rows.
const MESSAGE_BYTES_MAX: usize = 1 << 20;
/// The most columns, nested ones counted, known or not.
const FIELDS_MAX: usize = 1024;
/// Limits on a message's metadata as a tree: shared parts count as often as they are referred to, so that a small message
/// cannot unfold into a large schema.
const VERIFIER: VerifierOptions = VerifierOptions {
    max_depth: 32,
    max_tables: 32 * 1024,
    max_apparent_size: 4 << 20,
    ignore_missing_null_terminator: false,
};

const CONTINUATION: u32 = 0xffff_ffff;

/// A stream that arrow-ipc can read safely.
pub(super) struct Stream {
    /// Where the record batch ends.
    pub(super) end: usize,
}

/// Checks that `raw` is a stream of one record batch, and that reading it cannot take more than its own size.
pub(super) fn walk(raw: &[u8], limits: &DecodeLimits) -> Result<Stream, DecodeError> {
    let mut rest = raw;
    let Some((message, _)) = next(&mut rest)? else {
        return Err(DecodeError::Truncated);
    };
    let Some(schema) = message.header_as_schema() else {
        return Err(not_arrow("the first message is not a schema"));
    };
    let mut dictionaries = dictionaries(schema)?;
    loop {
        let Some((message, body)) = next(&mut rest)? else {
            return Err(DecodeError::Truncated);
        };
        if let Some(dictionary) = message.header_as_dictionary_batch() {
            if dictionary.isDelta() {
                return Err(not_arrow("it has a delta dictionary"));
            }
            let column = dictionaries
                .remove(&dictionary.id())
                .ok_or_else(|| not_arrow("a dictionary belongs to no column or comes twice"))?;
            let values = dictionary.data().ok_or_else(|| not_arrow("a dictionary is empty"))?;
            // A value takes at least a bit, so this refuses nothing that is there.
            check_arrays(values, body.len(), body.len().saturating_mul(8))?;
            Arrays::new(values).check(column, true)?;
        } else if let Some(rows) = message.header_as_record_batch() {
            let claimed = usize::try_from(rows.length()).unwrap_or(usize::MAX);
            if claimed > limits.rows_max {
                let what = format!("a batch of {} rows", rows.length());
                return Err(DecodeError::TooLarge { what, max: limits.rows_max });
            }
            if claimed == 0 {
                return Err(DecodeError::Inconsistent("it has no rows".to_owned()));
            }
            check_arrays(rows, body.len(), body.len().saturating_mul(8).max(limits.rows_max))?;
            let mut arrays = Arrays::new(rows);
            schema.fields().into_iter().flatten().try_for_each(|column| arrays.check(column, false))?;
            let end = raw.len() - rest.len();
            check_end(rest)?;
            return Ok(Stream { end });
        } else {
            return Err(not_arrow("it has a message that is neither dictionary nor record batch"));
        }
    }
}

/// The next message and its body; nothing at the end of the stream.
fn next<'a>(rest: &mut &'a [u8]) -> Result<Option<(Message<'a>, &'a [u8])>, DecodeError> {
    if rest.is_empty() {
        return Ok(None);
    }
    let mut size = take_u32(rest)?;
    if size == CONTINUATION {
        size = take_u32(rest)?;
    }
    if size == 0 {
        return Ok(None);
    }
    let size = size as usize;
    if size > MESSAGE_BYTES_MAX {
        let what = format!("a message of {size} bytes in the arrow stream");
        return Err(DecodeError::TooLarge { what, max: MESSAGE_BYTES_MAX });
    }
    let metadata = take(rest, size)?;
    let message = root_as_message_with_opts(&VERIFIER, metadata)
        .map_err(|error| DecodeError::NotArrow(format!("a message is malformed: {}", one_line(&error.to_string()))))?;
    let body =
        usize::try_from(message.bodyLength()).map_err(|_| not_arrow("a message has a body of negative length"))?;
    Ok(Some((message, take(rest, body)?)))
}

fn take<'a>(rest: &mut &'a [u8], bytes: usize) -> Result<&'a [u8], DecodeError> {
    let (taken, left) = rest.split_at_checked(bytes).ok_or(DecodeError::Truncated)?;
    *rest = left;
    Ok(taken)
}

fn take_u32(rest: &mut &[u8]) -> Result<u32, DecodeError> {
    let mut bytes = [0; 4];
    bytes.copy_from_slice(take(rest, 4)?);
    Ok(u32::from_le_bytes(bytes))
}

/// Checks that nothing but the end of the stream follows the record batch.
fn check_end(mut rest: &[u8]) -> Result<(), DecodeError> {
    if let Some((message, _)) = next(&mut rest)? {
        let found = format!("a message of type {:?} follows the record batch", message.header_type());
        return Err(DecodeError::NotArrow(found));
    }
    match rest.len() {
        0 => Ok(()),
        bytes => Err(DecodeError::TrailingBytes { bytes, what: "the arrow stream" }),
    }
}

/// The columns that have a dictionary, by its id: each has its own, so that no dictionary is read more often than it was sent.
fn dictionaries(schema: Schema<'_>) -> Result<HashMap<i64, Field<'_>>, DecodeError> {
    if schema.endianness() != Endianness::Little {
        return Err(not_arrow("it is big-endian"));
    }
    let columns = schema.fields().ok_or_else(|| not_arrow("it has no columns"))?;
    let mut by_id = HashMap::new();
    let mut left: Vec<Field<'_>> = columns.iter().collect();
    let mut fields = 0;
    while let Some(field) = left.pop() {
        fields += 1;
        if fields + left.len() > FIELDS_MAX {
            let what = "the number of columns in the schema".to_owned();
            return Err(DecodeError::TooLarge { what, max: FIELDS_MAX });
        }
        check_type(field)?;
        if let Some(dictionary) = field.dictionary()
            && by_id.insert(dictionary.id(), field).is_some()
        {
            return Err(not_arrow("two columns share a dictionary"));
        }
        left.extend(field.children().into_iter().flatten());
    }
    Ok(by_id)
}

/// Checks that arrays claim no more than `length_max` values each, and no more bytes than their body has.
fn check_arrays(arrays: RecordBatch<'_>, body_bytes: usize, length_max: usize) -> Result<(), DecodeError> {
    if arrays.compression().is_some() {
        return Err(not_arrow("its buffers are compressed"));
    }
    let within = |value: i64, max: usize| usize::try_from(value).is_ok_and(|value| value <= max);
    if !within(arrays.length(), length_max) {
        return Err(not_arrow("an array claims more values than there are bytes"));
    }
    for node in arrays.nodes().into_iter().flatten() {
        let length = usize::try_from(node.length()).unwrap_or(usize::MAX);
        if length > length_max || !within(node.null_count(), length) {
            return Err(not_arrow("an array claims more values than there are bytes"));
        }
    }
    let mut claimed = 0_usize;
    let mut buffers = 0_usize;
    for buffer in arrays.buffers().into_iter().flatten() {
        if !within(buffer.offset(), body_bytes) || !within(buffer.length(), body_bytes) {
            return Err(not_arrow("a buffer lies outside of its message"));
        }
        let (offset, length) = (buffer.offset() as usize, buffer.length() as usize);
        claimed = claimed.saturating_add(length);
        buffers += 1;
        if offset + length > body_bytes || claimed > body_bytes {
            return Err(not_arrow("a buffer lies outside of its message or on another"));
        }
    }
    for count in arrays.variadicBufferCounts().into_iter().flatten() {
        if !within(count, buffers) {
            return Err(not_arrow("a view claims more buffers than there are"));
        }
    }
    Ok(())
}

pub(super) fn not_arrow(why: &str) -> DecodeError {
    DecodeError::NotArrow(why.to_owned())
}

fn one_line(text: &str) -> String {
    text.lines().next().unwrap_or_default().chars().take(200).collect()
}
