//! Conditions of a route on the fields of a request.

use http::HeaderMap;
use http::header::HeaderName;

/// A condition on one field.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HeaderCondition {
    /// The field.
    pub name: HeaderName,
    /// The condition.
    pub wanted: Wanted,
}

/// The demand of a condition on its field.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Wanted {
    /// The field is present.
    Present,
    /// The field is absent.
    Absent,
    /// The field is present once, with this value.
    Value(String),
}

impl HeaderCondition {
    /// Returns whether the condition holds for a request. A field that comes twice has no single value.
    #[must_use]
    pub fn holds(&self, headers: &HeaderMap) -> bool {
        let mut values = headers.get_all(&self.name).iter();
        match (&self.wanted, values.next(), values.next()) {
            (Wanted::Absent, first, _) => first.is_none(),
            (Wanted::Present, first, _) => first.is_some(),
            (Wanted::Value(value), Some(first), None) => first.as_bytes() == value.as_bytes(),
            (Wanted::Value(_), _, _) => false,
        }
    }

    /// Returns whether no request can fulfil both conditions.
    #[must_use]
    pub fn excludes(&self, other: &Self) -> bool {
        self.name == other.name
            && match (&self.wanted, &other.wanted) {
                (Wanted::Value(one), Wanted::Value(two)) => one != two,
                (Wanted::Absent, Wanted::Absent) => false,
                (Wanted::Absent, _) | (_, Wanted::Absent) => true,
                _ => false,
            }
    }
}
