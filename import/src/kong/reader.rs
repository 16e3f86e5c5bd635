//! Reads values of the tree, notes what is wrong with them, and keeps the report.

use std::path::Path;

use tollgate_config::Diagnostic;

use crate::node::{Node, Value};
use crate::{Fate, Options, Report};

/// What reads the tree.
#[derive(Debug)]
pub struct Reader<'a> {
    pub options: &'a Options,
    /// What makes the file be refused.
    pub problems: Vec<Diagnostic>,
    pub report: Report,
}

impl<'a> Reader<'a> {
    pub fn new(options: &'a Options) -> Self {
        Self { options, problems: Vec::new(), report: Report::default() }
    }

    pub fn file(&self) -> &'a Path {
        &self.options.file
    }

    /// Refuses the file for this node.
    pub fn refuse(&mut self, node: &Node, problem: impl Into<String>) {
        let problem = node.problem(self.file(), problem);
        self.problems.push(problem);
    }

    pub fn mapped(&mut self, node: &Node, what: impl Into<String>, became: impl Into<String>) {
        self.report.note(Fate::Mapped, node.line, what, became);
    }

    pub fn differs(&mut self, node: &Node, what: impl Into<String>, how: impl Into<String>) {
        self.report.note(Fate::Differs, node.line, what, how);
    }

    /// Notes that a node, with everything below it, has no equal here.
    pub fn missing(&mut self, node: &Node, what: impl Into<String>, why: impl Into<String>) {
        node.take_whole();
        self.report.note(Fate::Missing, node.line, what, why);
    }

    /// Reads a text, with the variables of the environment in it.
    pub fn text(&mut self, node: &Node, key: &str) -> Option<String> {
        let value = node.get(key)?;
        self.text_of(value)
    }

    /// Reads the text of a node.
    pub fn text_of(&mut self, node: &Node) -> Option<String> {
        let Some(text) = node.text() else {
            self.refuse(node, "found a list or a mapping; write a single value");
            return None;
        };
        match self.fill(text) {
            Ok(text) => Some(text),
            Err(name) => {
                self.missing(node, format!("`{}`", last(&node.key)), from_elsewhere(&name));
                None
            }
        }
    }

    /// Puts the environment's values in the place of `${{ env "DECK_X" }}`, `$X` and `${X}`.
    ///
    /// # Errors
    /// The name of a value that is not known here.
    pub fn fill(&self, text: &str) -> Result<String, String> {
        let value = |name: &str| self.options.environment.get(name).cloned().ok_or_else(|| format!("${name}"));
        if let Some(name) = text.strip_prefix('$').map(|name| name.trim_matches(['{', '}']))
            && !name.is_empty()
            && name.bytes().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit() || b == b'_')
        {
            return value(name);
        }
        if text.starts_with("{vault://") && text.ends_with('}') {
            return Err(text.to_owned());
        }
        let mut filled = String::with_capacity(text.len());
        let mut rest = text;
        while let Some((before, after)) = rest.split_once("${{") {
            let Some((inner, after)) = after.split_once("}}") else { break };
            let name = inner.trim().strip_prefix("env").map(str::trim_start).and_then(|name| name.strip_prefix('"'));
            let Some((name, _)) = name.and_then(|name| name.split_once('"')) else { break };
            filled.push_str(before);
            filled.push_str(&value(name)?);
            rest = after;
        }
        filled.push_str(rest);
        Ok(filled)
    }

    /// Reads `true` or `false`, also in the other spellings of YAML 1.1.
    pub fn flag(&mut self, node: &Node, key: &str) -> Option<bool> {
        let value = node.get(key)?;
        let text = self.text_of(value)?;
        match text.to_ascii_lowercase().as_str() {
            "true" | "yes" | "on" => Some(true),
            "false" | "no" | "off" => Some(false),
            _ => {
                self.refuse(value, "found another value; write `true` or `false`");
                None
            }
        }
    }

    /// Reads a number that is not negative.
    pub fn number(&mut self, node: &Node, key: &str) -> Option<f64> {
        let value = node.get(key)?;
        self.number_of(value)
    }

    /// Reads the number of a node.
    pub fn number_of(&mut self, node: &Node) -> Option<f64> {
        let text = self.text_of(node)?;
        let number = text.parse::<f64>().ok().filter(|number| number.is_finite() && *number >= 0.0);
        if number.is_none() {
            self.refuse(node, "found another value; write a number of 0 or more");
        }
        number
    }

    /// Reads a whole number that is not negative.
    pub fn whole(&mut self, node: &Node, key: &str) -> Option<u64> {
        self.number(node, key).map(|number| number as u64)
    }

    /// Reads a list of texts; a single one stands for a list of it.
    pub fn texts(&mut self, node: &Node, key: &str) -> Vec<String> {
        let Some(value) = node.get(key) else { return Vec::new() };
        match &value.value {
            Value::Scalar(..) => self.text_of(value).into_iter().collect(),
            Value::List(_) => {
                let items: Vec<&Node> = value.items().collect();
                items.into_iter().filter(|item| !item.is_null()).filter_map(|item| self.text_of(item)).collect()
            }
            Value::Map(_) => {
                self.refuse(value, "found a mapping; write a list");
                Vec::new()
            }
        }
    }

    /// Reads a list of mappings.
    pub fn list<'n>(&mut self, node: &'n Node, key: &str) -> Vec<&'n Node> {
        let Some(value) = node.get(key) else { return Vec::new() };
        match &value.value {
            Value::List(_) => value.items().filter(|item| !item.is_null()).collect(),
            _ => {
                self.refuse(value, "found something else; write a list, each item behind a `-`");
                Vec::new()
            }
        }
    }

    /// Reads what another entity is called: its name or id alone, or a mapping with one of them.
    pub fn reference(&mut self, node: &Node, key: &str) -> Option<String> {
        let value = node.get(key)?;
        match &value.value {
            Value::Map(_) => {
                value.take_whole();
                let named = ["name", "username", "id", "custom_id"].iter().find_map(|key| value.get(key));
                named.and_then(|named| self.text_of(named))
            }
            _ => self.text_of(value),
        }
    }
}

/// The sentence about a value that is known elsewhere only.
pub fn from_elsewhere(name: &str) -> String {
    if name.starts_with("{vault") {
        return format!("its value is in a vault (`{name}`); write it by hand");
    }
    format!("its value comes from `{name}`, which is not set; set it in the environment and import again")
}

/// The last part of a full name.
pub fn last(key: &str) -> &str {
    key.rsplit('.').next().unwrap_or(key)
}
