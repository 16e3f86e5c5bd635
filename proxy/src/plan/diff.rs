//! Finds what one configuration changes against another, for `diff`.
//!
//! Listeners, services, routes and consumers are compared by name, everything else by key, defaults included. Another order, or
//! another file for the same text, is no change.

use std::collections::BTreeMap;
use std::path::Path;

use serde::Serialize;
use serde_json::Value;
use tollgate_proxy_config::ProxyConfig;

/// Characters of a value that are printed.
const SHOWN_MAX: usize = 200;

/// One change.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Change {
    /// `listener`, `service`, `route`, `consumer` or `setting`.
    pub what: &'static str,
    /// Name of the listener, service, route or consumer; key of the setting.
    pub name: String,
    /// Key inside it that differs; empty if the whole is new or gone.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub key: String,
    /// Value before.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub old: Option<Value>,
    /// Value after.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub new: Option<Value>,
    /// Whether a running proxy must be started again for the change.
    pub needs_start: bool,
}

impl std::fmt::Display for Change {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let sign = match (&self.old, &self.new) {
            _ if !self.key.is_empty() => '~',
            (None, _) => '+',
            (_, None) => '-',
            _ => '~',
        };
        write!(f, "{sign} {} {}", self.what, self.name)?;
        if !self.key.is_empty() {
            write!(f, " {}", self.key)?;
        }
        if sign == '~' {
            write!(f, ": {} -> {}", shown(self.old.as_ref()), shown(self.new.as_ref()))?;
        }
        if self.needs_start { f.write_str(" (needs another start)") } else { Ok(()) }
    }
}

fn shown(value: Option<&Value>) -> String {
    let text = value.map_or_else(|| "nothing".to_owned(), Value::to_string);
    match text.char_indices().nth(SHOWN_MAX) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}

/// Returns every change, by kind and name. A path inside the folder of its configuration is compared relative to that
/// folder.
///
/// # Errors
/// A configuration cannot be written as JSON, which no configuration that was read is.
pub fn changes(
    (old, old_folder): (&ProxyConfig, &Path),
    (new, new_folder): (&ProxyConfig, &Path),
) -> Result<Vec<Change>, serde_json::Error> {
    let shown = |config: &ProxyConfig| serde_json::to_value(config.marked());
    let (mut old, mut new) = (shown(old)?, shown(new)?);
    relocate(&mut old, old_folder);
    relocate(&mut new, new_folder);
    let mut changes = Vec::new();
    for (section, what) in
        [("listeners", "listener"), ("services", "service"), ("routes", "route"), ("consumers", "consumer")]
    {
        let (before, after) = (named(&mut old, section), named(&mut new, section));
        let gone = before.iter().filter(|(name, _)| !after.contains_key(*name));
        let needs_start = what == "listener";
        changes.extend(gone.map(|(name, value)| whole(what, name, Some(value), None, needs_start)));
        for (name, value) in &after {
            let Some(earlier) = before.get(name) else {
                changes.push(whole(what, name, None, Some(value), needs_start));
                continue;
            };
            let mut found = Vec::new();
            differences(earlier, value, "", &mut found);
            changes.extend(found.into_iter().map(|(key, old, new)| {
                let needs_start = needs_start && key == "address";
                Change { what, name: name.clone(), key, old, new, needs_start }
            }));
        }
    }
    let mut found = Vec::new();
    differences(&old, &new, "", &mut found);
    changes.extend(found.into_iter().map(|(name, old, new)| {
        let fixed = ["node_id", "environment", "zone", "workers", "hmac", "records", "admin"];
        let needs_start = fixed.contains(&name.split('.').next().unwrap_or_default());
        Change { what: "setting", name, key: String::new(), old, new, needs_start }
    }));
    Ok(changes)
}

/// Makes paths inside `folder` relative to it.
fn relocate(value: &mut Value, folder: &Path) {
    match value {
        Value::String(text) => {
            let inside = Path::new(text.as_str()).strip_prefix(folder).ok().and_then(Path::to_str).map(str::to_owned);
            if let Some(inside) = inside.filter(|_| !folder.as_os_str().is_empty()) {
                *text = inside;
            }
        }
        Value::Array(items) => items.iter_mut().for_each(|item| relocate(item, folder)),
        Value::Object(items) => items.values_mut().for_each(|item| relocate(item, folder)),
        _ => {}
    }
}

fn whole(what: &'static str, name: &str, old: Option<&Value>, new: Option<&Value>, needs_start: bool) -> Change {
    Change { what, name: name.to_owned(), key: String::new(), old: old.cloned(), new: new.cloned(), needs_start }
}

/// Takes a list out of a configuration, as a map by the names of its items.
fn named(config: &mut Value, section: &str) -> BTreeMap<String, Value> {
    let taken = config.get_mut(section).map(Value::take);
    let items = match taken {
        Some(Value::Array(items)) => items,
        _ => Vec::new(),
    };
    let name = |item: &Value| item.get("name").and_then(Value::as_str).unwrap_or_default().to_owned();
    items.into_iter().map(|item| (name(&item), item)).collect()
}

/// Collects the keys whose values differ. Lists are compared as a whole.
fn differences(old: &Value, new: &Value, key: &str, found: &mut Vec<(String, Option<Value>, Option<Value>)>) {
    let below = |name: &str| if key.is_empty() { name.to_owned() } else { format!("{key}.{name}") };
    match (old, new) {
        (Value::Object(old), Value::Object(new)) => {
            for (name, value) in old {
                match new.get(name) {
                    Some(other) => differences(value, other, &below(name), found),
                    None => found.push((below(name), Some(value.clone()), None)),
                }
            }
            let added = new.iter().filter(|(name, _)| !old.contains_key(*name));
            found.extend(added.map(|(name, value)| (below(name), None, Some(value.clone()))));
        }
        _ if old != new => found.push((key.to_owned(), Some(old.clone()), Some(new.clone()))),
        _ => {}
    }
}
