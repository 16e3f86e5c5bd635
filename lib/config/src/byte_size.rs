//! A number of bytes of a configuration, with its unit.

use std::fmt;
use std::str::FromStr;

use serde::de::{self, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A number of bytes: `64 MiB`, `512KiB`, `1 GiB`, or a bare integer of bytes.
///
/// Units are the binary ones only, so that `64 MB` cannot mean two things.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ByteSize(pub u64);

/// Units, largest first, with the power of two that each stands for.
const UNITS: [(&str, u32); 4] = [("TiB", 40), ("GiB", 30), ("MiB", 20), ("KiB", 10)];

impl ByteSize {
    /// Returns the number of bytes.
    pub const fn bytes(self) -> u64 {
        self.0
    }

    /// Makes a size of this many KiB.
    pub const fn kib(count: u64) -> Self {
        Self(count << 10)
    }

    /// Makes a size of this many MiB.
    pub const fn mib(count: u64) -> Self {
        Self(count << 20)
    }

    /// Makes a size of this many GiB.
    pub const fn gib(count: u64) -> Self {
        Self(count << 30)
    }
}

impl fmt::Display for ByteSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match UNITS.iter().find(|(_, power)| self.0 > 0 && self.0.is_multiple_of(1 << power)) {
            Some((unit, power)) => write!(f, "{} {unit}", self.0 >> power),
            None => write!(f, "{}", self.0),
        }
    }
}

/// Why a text is not a size.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct SizeError(String);

impl FromStr for ByteSize {
    type Err = SizeError;

    fn from_str(text: &str) -> Result<Self, SizeError> {
        let refuse = |why: &str| SizeError(format!("`{text}` {why}"));
        let text = text.trim();
        let digits = text.len() - text.trim_start_matches(|c: char| c.is_ascii_digit()).len();
        let (number, unit) = (&text[..digits], text[digits..].trim());
        if number.is_empty() {
            return Err(refuse("is not a size; write for example `64 MiB`"));
        }
        let count: u64 = number.parse().map_err(|_| refuse("is too large; the most is 16777215 TiB"))?;
        let power = match unit {
            "" | "B" => 0,
            _ => UNITS
                .iter()
                .find(|(name, _)| *name == unit)
                .map(|(_, power)| *power)
                .ok_or_else(|| refuse("has no known unit; write B, KiB, MiB, GiB or TiB, for example `64 MiB`"))?,
        };
        let bytes = count.checked_mul(1 << power).ok_or_else(|| refuse("is too large; the most is 16777215 TiB"))?;
        Ok(Self(bytes))
    }
}

impl<'de> Deserialize<'de> for ByteSize {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct SizeVisitor;

        impl Visitor<'_> for SizeVisitor {
            type Value = ByteSize;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a size such as `64 MiB`")
            }

            fn visit_u64<E: de::Error>(self, value: u64) -> Result<ByteSize, E> {
                Ok(ByteSize(value))
            }

            fn visit_i64<E: de::Error>(self, value: i64) -> Result<ByteSize, E> {
                let bytes = u64::try_from(value)
                    .map_err(|_| E::custom(format!("`{value}` is negative; write a size such as `64 MiB`")))?;
                Ok(ByteSize(bytes))
            }

            fn visit_str<E: de::Error>(self, value: &str) -> Result<ByteSize, E> {
                value.parse().map_err(E::custom)
            }
        }

        deserializer.deserialize_any(SizeVisitor)
    }
}

impl Serialize for ByteSize {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if self.0 > 0 && self.0.is_multiple_of(1 << 10) {
            serializer.collect_str(self)
        } else {
            serializer.serialize_u64(self.0)
        }
    }
}
