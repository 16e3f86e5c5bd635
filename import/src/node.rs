//! A YAML text as a tree whose every node knows its place, and whether it was taken.
//!
//! An importer takes the nodes that it understands. [`Node::left`] returns those that nobody took, so that nothing can
//! be dropped in silence.

use std::cell::Cell;
use std::collections::HashMap;
use std::path::Path;

use serde_saphyr::granit_parser::{Event, Parser, ScalarStyle};
use tollgate_config::{ConfigError, Diagnostic};

/// Nodes of one text, with those that aliases repeat.
pub const NODES_MAX: usize = 1_000_000;
/// Depth of a text.
pub const DEPTH_MAX: usize = 64;

/// One value of a text.
#[derive(Debug, Clone)]
pub struct Node {
    /// What it is.
    pub value: Value,
    /// Line, from 1.
    pub line: u64,
    /// Column in characters, from 1.
    pub column: u64,
    /// Full name, such as `services[3].url`.
    pub key: String,
    taken: Cell<bool>,
    whole: Cell<bool>,
}

/// What a value is.
#[derive(Debug, Clone)]
pub enum Value {
    /// A text, and whether it stands without quotes.
    Scalar(String, bool),
    /// A list.
    List(Vec<Node>),
    /// A mapping, in the order of the text.
    Map(Vec<(String, Node)>),
}

impl Node {
    /// Takes the value of a key; none = the key is not there, or has no value.
    pub fn get(&self, name: &str) -> Option<&Node> {
        let Value::Map(entries) = &self.value else { return None };
        let (_, node) = entries.iter().find(|(key, _)| key == name)?;
        node.taken.set(true);
        (!node.is_null()).then_some(node)
    }

    /// Takes every key with its value.
    pub fn entries(&self) -> impl Iterator<Item = (&str, &Node)> {
        let entries: &[(String, Node)] = if let Value::Map(entries) = &self.value { entries } else { &[] };
        entries.iter().map(|(key, node)| {
            node.taken.set(true);
            (key.as_str(), node)
        })
    }

    /// Takes every item of a list; a value that is no list has none.
    pub fn items(&self) -> impl Iterator<Item = &Node> {
        let items: &[Node] = if let Value::List(items) = &self.value { items } else { &[] };
        items.iter().inspect(|node| node.taken.set(true))
    }

    /// Takes the node with everything below it.
    pub fn take_whole(&self) -> &Self {
        self.taken.set(true);
        self.whole.set(true);
        self
    }

    /// Returns the text of a single value.
    pub fn text(&self) -> Option<&str> {
        match &self.value {
            Value::Scalar(text, _) if !self.is_null() => Some(text),
            _ => None,
        }
    }

    /// Returns whether there is no value.
    pub fn is_null(&self) -> bool {
        matches!(&self.value, Value::Scalar(text, true) if matches!(text.as_str(), "" | "~" | "null" | "Null" | "NULL"))
    }

    /// Returns whether it is a list or a mapping without an item.
    pub fn is_empty(&self) -> bool {
        match &self.value {
            Value::Scalar(..) => self.is_null(),
            Value::List(items) => items.is_empty(),
            Value::Map(entries) => entries.is_empty(),
        }
    }

    /// Returns the nodes that nobody took, each without what is below it.
    pub fn left(&self) -> Vec<&Node> {
        let mut left = Vec::new();
        self.collect_left(&mut left);
        left
    }

    fn collect_left<'n>(&'n self, left: &mut Vec<&'n Node>) {
        if self.whole.get() || self.is_null() {
            return;
        }
        if !self.taken.get() {
            return left.push(self);
        }
        match &self.value {
            Value::Scalar(..) => {}
            Value::List(items) => items.iter().for_each(|item| item.collect_left(left)),
            Value::Map(entries) => entries.iter().for_each(|(_, node)| node.collect_left(left)),
        }
    }

    /// Makes a diagnostic about this node.
    pub fn problem(&self, file: &Path, problem: impl Into<String>) -> Diagnostic {
        let (file, key) = (file.to_owned(), self.key.clone());
        Diagnostic { file, line: self.line, column: self.column, key, problem: problem.into() }
    }

    fn size(&self) -> usize {
        1 + match &self.value {
            Value::Scalar(..) => 0,
            Value::List(items) => items.iter().map(Node::size).sum(),
            Value::Map(entries) => entries.iter().map(|(_, node)| node.size()).sum(),
        }
    }

    /// Names the nodes of a copy for the place that the copy stands at.
    fn renamed(mut self, key: &str) -> Self {
        match &mut self.value {
            Value::Scalar(..) => {}
            Value::List(items) => {
                let names = (0..).map(|nth| format!("{key}[{nth}]"));
                *items = std::mem::take(items).into_iter().zip(names).map(|(item, name)| item.renamed(&name)).collect();
            }
            Value::Map(entries) => {
                let taken = std::mem::take(entries).into_iter();
                *entries = taken.map(|(name, node)| (name.clone(), node.renamed(&below(key, &name)))).collect();
            }
        }
        self.key = key.to_owned();
        self
    }
}

fn below(key: &str, name: &str) -> String {
    if key.is_empty() { name.to_owned() } else { format!("{key}.{name}") }
}

/// Reads a text of one document.
///
/// # Errors
/// A text that is not YAML, has a second document, the same key twice, or more than the bounds allow.
pub fn parse(file: &Path, text: &str) -> Result<Node, ConfigError> {
    let mut builder = Builder { file, open: Vec::new(), anchors: HashMap::new(), root: None, nodes: 0 };
    for item in Parser::new_from_str(text) {
        let (event, span) = item.map_err(|error| {
            let (line, column) = (error.marker().line() as u64, error.marker().col() as u64 + 1);
            ConfigError::at(file, line, column, "", format!("this is not YAML: {}", error.info()))
        })?;
        builder.take(event, (span.start.line() as u64, span.start.col() as u64 + 1))?;
    }
    let root = builder.root.ok_or_else(|| ConfigError::of_file(file, "the file is empty; is this the right file?"))?;
    root.taken.set(true);
    Ok(root)
}

/// A collection that is not complete.
struct Open {
    node: Node,
    anchor: usize,
    /// The key whose value comes next.
    pending: Option<String>,
    /// The keys that came by a merge, which written ones replace.
    merged: Vec<String>,
}

struct Builder<'a> {
    file: &'a Path,
    open: Vec<Open>,
    anchors: HashMap<usize, Node>,
    root: Option<Node>,
    nodes: usize,
}

impl Builder<'_> {
    fn take(&mut self, event: Event<'_>, place: (u64, u64)) -> Result<(), ConfigError> {
        match event {
            Event::Scalar(text, style, anchor, tag) => {
                if let Some(Open {
                    node: Node { value: Value::Map(entries), .. },
                    pending: pending @ None,
                    merged,
                    ..
                }) = self.open.last_mut()
                {
                    let key = text.into_owned();
                    let is_there = entries.iter().any(|(known, _)| *known == key) && !merged.contains(&key);
                    if key != "<<" && is_there {
                        return Err(self.refused(place, "this key stands here twice; remove one of the two"));
                    }
                    *pending = Some(key);
                    return Ok(());
                }
                let plain = style == ScalarStyle::Plain && tag.is_none();
                let node = self.begin(Value::Scalar(text.into_owned(), plain), place)?;
                self.complete(node, anchor)
            }
            Event::SequenceStart(_, anchor, _) => self.push(Value::List(Vec::new()), anchor, place),
            Event::MappingStart(_, anchor, _) => self.push(Value::Map(Vec::new()), anchor, place),
            Event::SequenceEnd | Event::MappingEnd => match self.open.pop() {
                Some(Open { node, anchor, .. }) => self.complete(node, anchor),
                None => Ok(()),
            },
            Event::Alias(anchor) => {
                let Some(copy) = self.anchors.get(&anchor).cloned() else {
                    return Err(self.refused(place, "there is no complete anchor of this name above"));
                };
                self.nodes += copy.size();
                let named = self.begin(Value::List(Vec::new()), place)?;
                self.complete(copy.renamed(&named.key), 0)
            }
            Event::DocumentStart(..) if self.root.is_some() => {
                Err(self.refused(place, "a second document begins here; write one file for each"))
            }
            _ => Ok(()),
        }
    }

    fn refused(&self, (line, column): (u64, u64), problem: &str) -> ConfigError {
        let key = self.open.last().map_or("", |open| &open.node.key);
        ConfigError::at(self.file, line, column, key, problem)
    }

    fn push(&mut self, value: Value, anchor: usize, place: (u64, u64)) -> Result<(), ConfigError> {
        if self.open.len() >= DEPTH_MAX {
            return Err(self.refused(place, "this text nests deeper than a configuration can need"));
        }
        let is_key = |open: &Open| matches!(open.node.value, Value::Map(_)) && open.pending.is_none();
        if self.open.last().is_some_and(is_key) {
            return Err(self.refused(place, "a key is a single value; is a quote missing?"));
        }
        let node = self.begin(value, place)?;
        self.open.push(Open { node, anchor, pending: None, merged: Vec::new() });
        Ok(())
    }

    /// Makes a node with its name.
    fn begin(&mut self, value: Value, (line, column): (u64, u64)) -> Result<Node, ConfigError> {
        self.nodes += 1;
        if self.nodes > NODES_MAX {
            return Err(self.refused((line, column), "this text has or repeats more values than a configuration needs"));
        }
        let key = match self.open.last() {
            None => String::new(),
            Some(Open { node, pending: Some(name), .. }) => below(&node.key, name),
            Some(Open { node: Node { value: Value::List(items), key, .. }, .. }) => format!("{key}[{}]", items.len()),
            Some(Open { node, .. }) => below(&node.key, "?"),
        };
        Ok(Node { value, line, column, key, taken: Cell::new(false), whole: Cell::new(false) })
    }

    /// Adds a complete node to the collection that it stands in.
    fn complete(&mut self, node: Node, anchor: usize) -> Result<(), ConfigError> {
        if anchor != 0 {
            self.nodes += node.size();
            self.anchors.insert(anchor, node.clone());
        }
        let place = (node.line, node.column);
        match self.open.last_mut() {
            None => self.root = Some(node),
            Some(Open { node: Node { value: Value::List(items), .. }, .. }) => items.push(node),
            Some(Open { node: Node { value: Value::Map(entries), key, .. }, pending, merged, .. }) => {
                match pending.take() {
                    Some(name) if name == "<<" => {
                        let written = entries.len();
                        merge(entries, node, key);
                        merged.extend(entries[written..].iter().map(|(name, _)| name.clone()));
                    }
                    Some(name) => match entries.iter_mut().find(|(known, _)| *known == name) {
                        // What is written wins over what was merged.
                        Some((_, earlier)) => {
                            merged.retain(|merged| *merged != name);
                            *earlier = node;
                        }
                        None => entries.push((name, node)),
                    },
                    None => return Err(self.refused(place, "a key is a single value; is a quote missing?")),
                }
            }
            Some(_) => {}
        }
        Ok(())
    }
}

/// Adds the keys of a merged mapping, or of each of several, that are not there yet.
fn merge(entries: &mut Vec<(String, Node)>, merged: Node, key: &str) {
    match merged.value {
        Value::Map(more) => {
            for (name, node) in more {
                if entries.iter().all(|(known, _)| *known != name) {
                    let node = node.renamed(&below(key, &name));
                    entries.push((name, node));
                }
            }
        }
        Value::List(several) => several.into_iter().for_each(|one| merge(entries, one, key)),
        Value::Scalar(..) => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Node {
        parse(Path::new("k.yml"), text).unwrap()
    }

    #[test]
    fn every_node_knows_its_place_and_its_name() {
        let root = read("a:\n  - b: 1\n    c: 'x'\n  - ~\n");
        let item = root.get("a").unwrap().items().next().unwrap();
        let c = item.get("c").unwrap();
        assert_eq!((c.line, c.column, c.key.as_str(), c.text()), (3, 8, "a[0].c", Some("x")));
        let left: Vec<&str> = root.left().iter().map(|node| node.key.as_str()).collect();
        assert_eq!(left, ["a[0].b"]);
    }

    #[test]
    fn anchors_are_copied_and_merged_keys_yield_to_written_ones() {
        let root = read("a: &x {b: 1, c: [2]}\nd: *x\ne: {<<: *x, b: 3}\nf:\n  b: 4\n  <<: *x\n");
        assert_eq!(root.get("d").unwrap().get("c").unwrap().items().next().unwrap().key, "d.c[0]");
        let value = |key: &str| root.get(key).unwrap().get("b").unwrap().text().unwrap().to_owned();
        assert_eq!((value("e"), value("f")), ("3".to_owned(), "4".to_owned()));
        assert_eq!(root.get("e").unwrap().get("c").unwrap().key, "e.c");
    }

    #[test]
    fn what_cannot_be_read_says_where() {
        let deep = "[".repeat(DEPTH_MAX + 1) + &"]".repeat(DEPTH_MAX + 1);
        let bomb = "a: &a [1,1,1,1,1,1,1,1,1,1]\n".to_owned()
            + &(0..9)
                .fold((String::new(), 'a'), |(text, last), _| {
                    let next = (last as u8 + 1) as char;
                    let items = vec![format!("*{last}"); 10].join(",");
                    (format!("{text}{next}: &{next} [{items}]\n"), next)
                })
                .0;
        for (text, said) in [
            ("a: 1\na: 2\n", "k.yml:2:1:"),
            ("a: [1\n", "k.yml:"),
            ("", "k.yml: the file is empty"),
            ("a: 1\n---\nb: 1\n", "second document"),
            ("? [a]\n: b\n", "a key is a single value"),
            (deep.as_str(), "deeper"),
            (bomb.as_str(), "more values"),
            ("a: *b\n", "k.yml:1:"),
        ] {
            let error = parse(Path::new("k.yml"), text).unwrap_err().to_string();
            assert!(error.contains(said), "{text}: {error}");
        }
    }
}
