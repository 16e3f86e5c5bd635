//! Whose numbers are audited.

use std::str::FromStr;

use tollgate_record::id::is_node_id;

/// Whose numbers are audited: everybody's, those of a node, or those of one producer.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Scope {
    /// The name as it was given.
    name: Option<String>,
    node: Option<String>,
    producer: Option<String>,
}

/// A text that names neither a node nor a producer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is neither a node such as edge-1 nor a producer such as edge-1/642f1a/0")]
pub struct ScopeError(String);

impl FromStr for Scope {
    type Err = ScopeError;

    /// Reads a node (`edge-1`) or a producer (`edge-1/642f1a/0`).
    fn from_str(text: &str) -> Result<Self, ScopeError> {
        let (node, rest) = text.split_once('/').map_or((text, None), |(node, rest)| (node, Some(rest)));
        let fits = is_node_id(node)
            && rest.is_none_or(|rest| rest.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'/'));
        if !fits {
            return Err(ScopeError(text.to_owned()));
        }
        Ok(Self {
            name: Some(text.to_owned()),
            node: Some(node.to_owned()),
            producer: rest.filter(|rest| !rest.is_empty()).map(|_| text.to_owned()),
        })
    }
}

impl Scope {
    /// The node or producer that was asked for; `None` for all.
    pub fn name(&self) -> Option<&str> {
        self.name.as_deref()
    }

    /// Whether a producer that was read is reported. Others of its node are read only to know whether it has ended.
    pub fn reports(&self, name: &str) -> bool {
        self.producer.as_ref().is_none_or(|producer| producer == name)
    }

    /// Whether a producer is audited, even if the table has nothing of it.
    pub fn includes(&self, name: &str) -> bool {
        let is_of = |node: &String| name.strip_prefix(node.as_str()).is_some_and(|rest| rest.starts_with('/'));
        self.reports(name) && self.node.as_ref().is_none_or(is_of)
    }

    /// The condition on `producer` in SQL, to be appended to others. Names are of a closed alphabet: none ends the literal.
    pub(crate) fn condition(&self) -> String {
        self.node.as_ref().map_or_else(String::new, |node| format!(" AND starts_with(producer, '{node}/')"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_producer_is_a_node_or_a_name() {
        let node = "edge-1".parse::<Scope>().expect("node");
        assert!(node.reports("edge-1/65f/0") && node.condition().contains("'edge-1/'"));
        let one = "edge-1/65f/0".parse::<Scope>().expect("name");
        assert!(one.reports("edge-1/65f/0") && !one.reports("edge-1/65f/1") && one.condition() == node.condition());
        assert!(node.includes("edge-1/65f/1") && !node.includes("edge-10/65f/1") && !one.includes("edge-1/65f/1"));
        for wrong in ["edge' OR 1=1", "edge-1/'", ""] {
            assert!(wrong.parse::<Scope>().is_err(), "{wrong}");
        }
    }
}
