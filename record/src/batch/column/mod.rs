//! Builders of one column each. They keep their memory from batch to batch.
//!
//! `append` takes one row's value and returns how many bytes it takes beside the fixed ones; `finish` makes the Arrow
//! array and empties the builder.
//!
//! Arrow's own builders do not serve here. They give their buffers away with each array and allocate new ones for the next batch,
//! where a worker must append without allocating; a null costs them a value and a bit, and many columns are null in every row;
//! they know no cap on a text and no closed list; and they do not say what a value adds to the batch, by which it is sealed.

mod dictionary;
mod fixed;
mod interner;
mod list;
mod validity;
mod var_bytes;

use std::borrow::Cow;

use arrow_array::ArrayRef;
use arrow_schema::ArrowError;

use crate::redact::text::{cleaned, cut, is_clean};

pub(super) use dictionary::{Closed, Dictionary, repeated};
pub(super) use fixed::{Booleans, Numbers};
pub(super) use list::{Int32s, Texts};
pub(super) use var_bytes::{Bytes, Json, Text};

type Finished = Result<ArrayRef, ArrowError>;

/// Appends the offsets of `rows` null rows.
#[inline]
fn pad(offsets: &mut Vec<i32>, rows: usize) {
    if rows > 0
        && let Some(&end) = offsets.last()
    {
        offsets.resize(offsets.len() + rows, end);
    }
}

/// `text`, at most `bytes_max` bytes of it, with its control characters escaped. Whatever a column is filled with, no record holds
/// a text that could forge a line or command a terminal. Most texts were cleaned before, or need not be: they are borrowed.
#[inline]
fn safe(text: &str, bytes_max: usize) -> Cow<'_, str> {
    if is_clean(text) { Cow::Borrowed(cut(text, bytes_max)) } else { Cow::Owned(cleaned(text, bytes_max)) }
}
