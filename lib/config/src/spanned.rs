//! A value that remembers where it is written.

use std::ops::Deref;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::context;
use crate::source::FileId;

/// A value with the file, line and column at which it stands; line and column are counted from 1.
///
/// The place is 0:0 where it is unknown: for a default, and inside `#[serde(flatten)]` or `#[serde(untagged)]`.
/// Two values are equal when their values are, wherever they stand.
#[derive(Debug, Clone, Copy, Default)]
pub struct Spanned<T> {
    /// The value alone.
    pub value: T,
    /// The file; the main one where the place is unknown.
    pub file: FileId,
    /// Line, from 1; 0 is unknown.
    pub line: u64,
    /// Column in characters, from 1; 0 is unknown.
    pub column: u64,
}

impl<T> Spanned<T> {
    /// Makes a value that stands in no file, such as a default.
    pub fn nowhere(value: T) -> Self {
        Self { value, file: FileId::default(), line: 0, column: 0 }
    }

    /// Returns the value alone.
    pub fn into_inner(self) -> T {
        self.value
    }
}

impl<T> Deref for Spanned<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.value
    }
}

impl<T> From<T> for Spanned<T> {
    fn from(value: T) -> Self {
        Self::nowhere(value)
    }
}

impl<T: PartialEq> PartialEq for Spanned<T> {
    fn eq(&self, other: &Self) -> bool {
        self.value == other.value
    }
}

impl<T: Eq> Eq for Spanned<T> {}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Spanned<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let serde_saphyr::Spanned { value, referenced, .. } = serde_saphyr::Spanned::<T>::deserialize(deserializer)?;
        let (line, column) = (referenced.line(), referenced.column());
        // A value without a place belongs to the main file, as one made in code does.
        let file = if line == 0 { FileId::default() } else { context::file() };
        Ok(Self { value, file, line, column })
    }
}

impl<T: Serialize> Serialize for Spanned<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.value.serialize(serializer)
    }
}
