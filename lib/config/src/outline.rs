//! The outline of a YAML text: finds the full name of the key at a place, and the place of a key.

use serde_saphyr::granit_parser::{Event, Parser};

use crate::limits::NODES_MAX;

/// One node: a key's value, or an item of a list.
#[derive(Debug)]
struct Node {
    /// Full name, such as `services[3].upstream.url`.
    name: String,
    /// Place of the key (for an item of a list: of the item), line and column from 1.
    key: (u64, u64),
    /// Place of the value.
    value: (u64, u64),
    /// What the value is.
    shape: Shape,
}

/// What a value is.
#[derive(Debug)]
enum Shape {
    Scalar(String),
    Map,
    Other,
}

/// The nodes of one text, in the order of the text.
#[derive(Debug)]
pub(crate) struct Outline {
    nodes: Vec<Node>,
}

/// A collection that is open at the moment.
enum Open {
    List { name: String, next: usize },
    Map { name: String, key: Option<(String, (u64, u64))> },
}

impl Outline {
    /// Outlines the text, up to the first error in it.
    pub(crate) fn of(text: &str) -> Self {
        let mut builder = Builder { nodes: Vec::new(), open: Vec::new() };
        for item in Parser::new_from_str(text) {
            let (event, span) = match item {
                Ok(item) => item,
                Err(error) => {
                    builder.broken((error.marker().line() as u64, error.marker().col() as u64 + 1));
                    break;
                }
            };
            if builder.nodes.len() >= NODES_MAX {
                break;
            }
            let place = (span.start.line() as u64, span.start.col() as u64 + 1);
            builder.take(event, place);
        }
        Self { nodes: builder.nodes }
    }

    /// Returns whether the text has no key at all.
    pub(crate) fn is_empty(&self) -> bool {
        self.nodes.is_empty()
    }

    /// Returns the full name of the key or value that starts at this place, or else of the last one before it.
    pub(crate) fn key_at(&self, line: u64, column: u64) -> Option<String> {
        let place = (line, column);
        if line == 0 {
            return None;
        }
        let exact = self.nodes.iter().rev().find(|node| node.value == place || node.key == place);
        let before = || self.nodes.iter().rev().find(|node| node.key <= place);
        exact.or_else(before).map(|node| node.name.clone())
    }

    /// Returns the full name of the key whose value is the mapping that starts at this place; none for the whole text.
    pub(crate) fn mapping_at(&self, line: u64, column: u64) -> Option<&str> {
        let is_it = |node: &&Node| node.value == (line, column) && matches!(node.shape, Shape::Map);
        self.nodes.iter().find(is_it).map(|node| node.name.as_str())
    }

    /// Returns the text of the single value that starts at this place.
    pub(crate) fn scalar_at(&self, line: u64, column: u64) -> Option<&str> {
        self.nodes.iter().find_map(|node| match &node.shape {
            Shape::Scalar(text) if node.value == (line, column) => Some(text.as_str()),
            _ => None,
        })
    }

    /// Returns the place of the value whose key starts at this place.
    pub(crate) fn value_of_key_at(&self, line: u64, column: u64) -> Option<(u64, u64)> {
        self.nodes.iter().rev().find(|node| node.key == (line, column)).map(|node| node.value)
    }

    /// Returns the place of the value of this key, or of its nearest ancestor that is written; 0:0 if there is none.
    pub(crate) fn place_of(&self, key: &str) -> (u64, u64) {
        let mut name = key;
        loop {
            if let Some(node) = self.nodes.iter().find(|node| node.name == name) {
                return if name == key { node.value } else { node.key };
            }
            match name.rfind(['.', '[']) {
                Some(cut) => name = &name[..cut],
                None => return (0, 0),
            }
        }
    }
}

struct Builder {
    nodes: Vec<Node>,
    open: Vec<Open>,
}

impl Builder {
    fn take(&mut self, event: Event<'_>, place: (u64, u64)) {
        match event {
            Event::Scalar(text, ..) => {
                if let Some(Open::Map { key: key @ None, .. }) = self.open.last_mut() {
                    *key = Some((text.into_owned(), place));
                } else {
                    self.node(place, Shape::Scalar(text.into_owned()));
                }
            }
            Event::Alias(..) => {
                self.value(place, Shape::Other);
            }
            Event::SequenceStart(..) => {
                let name = self.value(place, Shape::Other);
                self.open.push(Open::List { name, next: 0 });
            }
            Event::MappingStart(..) => {
                let name = self.value(place, Shape::Map);
                self.open.push(Open::Map { name, key: None });
            }
            Event::SequenceEnd | Event::MappingEnd => {
                self.open.pop();
            }
            _ => {}
        }
    }

    /// Adds a value that is not a plain text. In the place of a key, which no configuration has, it is named `?`.
    fn value(&mut self, place: (u64, u64), shape: Shape) -> String {
        if let Some(Open::Map { key: key @ None, .. }) = self.open.last_mut() {
            *key = Some(("?".to_owned(), place));
            return "?".to_owned();
        }
        self.node(place, shape)
    }

    /// Ends the outline where the text breaks: a key without its value gets this place as its value.
    fn broken(&mut self, place: (u64, u64)) {
        if let Some(Open::Map { key: Some(_), .. }) = self.open.last() {
            self.node(place, Shape::Other);
        }
    }

    /// Adds a value, and returns its full name.
    fn node(&mut self, place: (u64, u64), shape: Shape) -> String {
        let (name, key) = match self.open.last_mut() {
            None => return String::new(),
            Some(Open::List { name, next }) => {
                let name = format!("{name}[{next}]");
                *next += 1;
                (name, place)
            }
            Some(Open::Map { name, key }) => match key.take() {
                Some((key, at)) if name.is_empty() => (key, at),
                Some((key, at)) => (format!("{name}.{key}"), at),
                None => return String::new(),
            },
        };
        self.nodes.push(Node { name: name.clone(), key, value: place, shape });
        name
    }
}
