//! Values of a label as small numbers.

use std::collections::HashMap;

use tollgate_telemetry::OVERFLOW;

/// Stands for a value that the record does not have.
pub const ABSENT: &str = "_none";

/// Most values of a label whose list is closed today.
pub const LABEL_VALUES_MAX: usize = 64;

/// A label's value, as an index into the list of what is counted for each value.
pub(crate) type LabelId = u32;

/// The values of one label in the order in which they were first seen, at most `cap` of them besides [`OVERFLOW`]
/// and [`ABSENT`], which always have the first two numbers.
pub(crate) struct Labels {
    cap: usize,
    names: Vec<Box<str>>,
    ids: HashMap<Box<str>, LabelId>,
}

impl Labels {
    /// The number of [`OVERFLOW`].
    pub(crate) const OTHER: LabelId = 0;
    /// The number of [`ABSENT`].
    pub(crate) const NONE: LabelId = 1;

    pub(crate) fn new(cap: usize) -> Self {
        let mut labels = Self { cap: cap.saturating_add(2), names: Vec::new(), ids: HashMap::new() };
        labels.admit(OVERFLOW);
        labels.admit(ABSENT);
        labels
    }

    /// The number of this value, or that of [`OVERFLOW`] where there is no room for it.
    pub(crate) fn admit(&mut self, value: &str) -> LabelId {
        if let Some(id) = self.ids.get(value) {
            return *id;
        }
        let Ok(id) = LabelId::try_from(self.names.len()) else { return Self::OTHER };
        if self.names.len() >= self.cap {
            return Self::OTHER;
        }
        self.names.push(value.into());
        self.ids.insert(value.into(), id);
        id
    }

    pub(crate) fn name(&self, id: LabelId) -> &str {
        self.names.get(id as usize).map_or(OVERFLOW, AsRef::as_ref)
    }
}

/// One counter, or group of counters, for each value of a label; made when first needed.
pub(crate) struct PerLabel<T>(Vec<Option<T>>);

impl<T> PerLabel<T> {
    pub(crate) fn new() -> Self {
        Self(Vec::new())
    }

    pub(crate) fn get_or(&mut self, id: LabelId, make: impl FnOnce() -> T) -> &mut T {
        let index = id as usize;
        if index >= self.0.len() {
            self.0.resize_with(index + 1, || None);
        }
        self.0[index].get_or_insert_with(make)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn past_the_cap_all_values_are_one() {
        let mut labels = Labels::new(2);
        let (orders, billing) = (labels.admit("orders"), labels.admit("billing"));
        assert_eq!(labels.admit("search"), Labels::OTHER);
        assert_eq!((labels.admit("orders"), labels.admit("billing")), (orders, billing));
        assert_eq!(labels.name(orders), "orders");
        assert_eq!(labels.name(Labels::OTHER), "_other");
        assert_eq!(labels.admit(ABSENT), Labels::NONE);
    }

    #[test]
    fn a_kept_value_is_made_once() {
        let mut kept = PerLabel::new();
        *kept.get_or(7, || 1) += 1;
        *kept.get_or(7, || 100) += 1;
        assert_eq!(*kept.get_or(7, || 0), 3);
    }
}
