//! What a route says of fields, as it is written.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use tollgate_config::Spanned;

/// A condition on a field of the request: there, not there, or there once with a value.
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct HeaderMatch {
    /// The field.
    pub name: Spanned<String>,
    /// Its value, compared as it is; without it the field must only be there.
    #[serde(default)]
    pub value: Option<Spanned<String>>,
    /// It must not be there.
    #[serde(default)]
    pub absent: bool,
}

/// Edits of fields: removed, then set, then added.
#[derive(Debug, Clone, Default, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct HeaderEditing {
    /// Fields that are put in the place of what is there.
    pub set: BTreeMap<String, Spanned<String>>,
    /// Fields that are put beside what is there.
    pub add: BTreeMap<String, Spanned<String>>,
    /// Fields that are removed.
    pub remove: Vec<Spanned<String>>,
}
