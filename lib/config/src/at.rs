//! A value that remembers where it is written.

use std::ops::Deref;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::source::counted;

/// A value with the line and column at which it stands in the configuration file, both counted from 1.
///
/// The place is 0:0 where it is unknown: for a default, and inside `#[serde(flatten)]` or `#[serde(untagged)]`.
/// Two values are equal when their values are, wherever they stand.
#[derive(Debug, Clone, Copy, Default)]
pub struct At<T> {
    /// What is written there.
    pub value: T,
    /// Line, from 1; 0 is unknown. In a configuration of several files the lines are counted through them.
    pub line: u64,
    /// Column in characters, from 1; 0 is unknown.
    pub column: u64,
}

impl<T> At<T> {
    /// A value that stands in no file: a default.
    pub fn nowhere(value: T) -> Self {
        Self { value, line: 0, column: 0 }
    }

    /// The value alone.
    pub fn into_inner(self) -> T {
        self.value
    }
}

impl<T> Deref for At<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.value
    }
}

impl<T> From<T> for At<T> {
    fn from(value: T) -> Self {
        Self::nowhere(value)
    }
}

impl<T: PartialEq> PartialEq for At<T> {
    fn eq(&self, other: &Self) -> bool {
        self.value == other.value
    }
}

impl<T: Eq> Eq for At<T> {}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for At<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let spanned = serde_saphyr::Spanned::<T>::deserialize(deserializer)?;
        Ok(Self { value: spanned.value, line: counted(spanned.referenced.line()), column: spanned.referenced.column() })
    }
}

impl<T: Serialize> Serialize for At<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.value.serialize(serializer)
    }
}
