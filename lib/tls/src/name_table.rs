//! A table by DNS name, exact or with a wildcard for the first label.

use std::collections::HashMap;

/// Values by DNS name. Case does not matter; an exact name wins over a wildcard, and a wildcard stands for exactly one
/// label.
#[derive(Debug, Clone)]
pub(crate) struct NameTable<T> {
    exact: HashMap<String, T>,
    /// Keyed by what follows `*.`.
    wildcard: HashMap<String, T>,
}

impl<T> Default for NameTable<T> {
    fn default() -> Self {
        Self { exact: HashMap::new(), wildcard: HashMap::new() }
    }
}

impl<T: Copy> NameTable<T> {
    /// Adds a value for a name or `*.name`. If there is one already, it is kept and returned.
    pub(crate) fn insert(&mut self, pattern: &str, value: T) -> Option<T> {
        let pattern = pattern.to_ascii_lowercase();
        let (table, name) = match pattern.strip_prefix("*.") {
            Some(parent) => (&mut self.wildcard, parent.to_owned()),
            None => (&mut self.exact, pattern),
        };
        let before = table.get(&name).copied();
        table.entry(name).or_insert(value);
        before
    }

    /// Returns the value of a name.
    pub(crate) fn find(&self, name: &str) -> Option<T> {
        if self.exact.is_empty() && self.wildcard.is_empty() {
            return None;
        }
        let name = name.to_ascii_lowercase();
        let by_parent = || name.split_once('.').and_then(|(_, parent)| self.wildcard.get(parent));
        self.exact.get(&name).or_else(by_parent).copied()
    }
}
