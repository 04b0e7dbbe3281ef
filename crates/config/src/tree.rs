//! YAML text to a flat list of `(path, value, line)`.
//!
//! Only the shape is understood here: maps open a section, everything else is a value. What a value means is the
//! business of the section that asks for it.

use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_saphyr::Spanned;

/// One value of a file.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Leaf {
    /// Keys from the root, joined with dots.
    pub(crate) path: String,
    /// A scalar is one item. A list is its items; a map inside a list is written `key=value,key=value`.
    pub(crate) items: Vec<String>,
    /// Where in the file, from 1.
    pub(crate) line: u64,
}

/// Reads a file into its values, in the order of the file.
///
/// # Errors
/// What is wrong with the text, with line and column.
pub(crate) fn leaves(text: &str) -> Result<Vec<Leaf>, String> {
    if text.trim().is_empty() {
        return Ok(Vec::new());
    }
    let root: Spanned<Node> = serde_saphyr::from_str(text).map_err(|error| error.to_string())?;
    let mut leaves = Vec::new();
    match root.value {
        Node::Nothing => {}
        Node::Map(entries) => collect("", entries, &mut leaves)?,
        Node::Scalar(_) | Node::List(_) => return Err("it is not a map of keys, such as `cluster:`".to_owned()),
    }
    Ok(leaves)
}

fn collect(prefix: &str, entries: Vec<(Spanned<String>, Node)>, leaves: &mut Vec<Leaf>) -> Result<(), String> {
    for (key, node) in entries {
        let line = key.referenced.line();
        let path = if prefix.is_empty() { key.value } else { format!("{prefix}.{}", key.value) };
        match node {
            // `key:` with nothing behind it leaves the default in place, as if the line were not there; it still has
            // to be a known key.
            Node::Nothing => leaves.push(Leaf { path, items: Vec::new(), line }),
            Node::Scalar(text) => leaves.push(Leaf { path, items: vec![text], line }),
            Node::List(nodes) => {
                let items = nodes.into_iter().map(|item| item_text(&path, line, item)).collect::<Result<_, _>>()?;
                leaves.push(Leaf { path, items, line });
            }
            Node::Map(entries) if entries.is_empty() => leaves.push(Leaf { path, items: Vec::new(), line }),
            Node::Map(entries) => collect(&path, entries, leaves)?,
        }
    }
    Ok(())
}

/// An item of a list as one text.
fn item_text(path: &str, line: u64, item: Node) -> Result<String, String> {
    let deeper = || format!("line {line}: the items of {path} are values or flat maps, nothing deeper");
    match item {
        Node::Scalar(text) => Ok(text),
        Node::Map(entries) => {
            let fields = entries.into_iter().map(|(key, value)| match value {
                Node::Scalar(text) => Ok(format!("{}={text}", key.value)),
                _ => Err(deeper()),
            });
            Ok(fields.collect::<Result<Vec<_>, _>>()?.join(","))
        }
        Node::Nothing | Node::List(_) => Err(deeper()),
    }
}

/// Any YAML value.
enum Node {
    Nothing,
    Scalar(String),
    List(Vec<Node>),
    Map(Vec<(Spanned<String>, Node)>),
}

impl<'de> Deserialize<'de> for Node {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(NodeVisitor)
    }
}

struct NodeVisitor;

impl<'de> Visitor<'de> for NodeVisitor {
    type Value = Node;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value, a list or a map")
    }

    fn visit_unit<E>(self) -> Result<Node, E> {
        Ok(Node::Nothing)
    }

    fn visit_none<E>(self) -> Result<Node, E> {
        Ok(Node::Nothing)
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Node, D::Error> {
        deserializer.deserialize_any(self)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Node, E> {
        Ok(Node::Scalar(value.to_string()))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Node, E> {
        Ok(Node::Scalar(value.to_string()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Node, E> {
        Ok(Node::Scalar(value.to_string()))
    }

    fn visit_i128<E>(self, value: i128) -> Result<Node, E> {
        Ok(Node::Scalar(value.to_string()))
    }

    fn visit_u128<E>(self, value: u128) -> Result<Node, E> {
        Ok(Node::Scalar(value.to_string()))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Node, E> {
        Ok(Node::Scalar(value.to_string()))
    }

    fn visit_str<E>(self, value: &str) -> Result<Node, E> {
        Ok(Node::Scalar(value.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Node, A::Error> {
        let mut nodes = Vec::new();
        while let Some(node) = items.next_element()? {
            nodes.push(node);
        }
        Ok(Node::List(nodes))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Node, A::Error> {
        let mut nodes = Vec::new();
        while let Some(entry) = entries.next_entry()? {
            nodes.push(entry);
        }
        Ok(Node::Map(nodes))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn leaf(path: &str, items: &[&str], line: u64) -> Leaf {
        Leaf { path: path.to_owned(), items: items.iter().map(|&item| item.to_owned()).collect(), line }
    }

    #[test]
    fn sections_become_paths_with_lines() {
        let text = "cluster:\n  name: demo\n  policies: [priority, drf]\ncoordinator:\n  # own id\n  id: 2\n  insecure: true\n  members:\n    - { id: 1, client: a:1 }\n    - id: 2\n      client: b:2\n";
        let expected = vec![
            leaf("cluster.name", &["demo"], 2),
            leaf("cluster.policies", &["priority", "drf"], 3),
            leaf("coordinator.id", &["2"], 6),
            leaf("coordinator.insecure", &["true"], 7),
            leaf("coordinator.members", &["id=1,client=a:1", "id=2,client=b:2"], 8),
        ];
        assert_eq!(leaves(text).unwrap(), expected);
    }

    #[test]
    fn a_key_without_a_value_has_no_items() {
        assert_eq!(
            leaves("cluster:\n  pprof:\n  tls: {}\n").unwrap(),
            vec![leaf("cluster.pprof", &[], 2), leaf("cluster.tls", &[], 3)]
        );
        assert_eq!(leaves("\n# nothing\n").unwrap(), vec![]);
    }

    #[test]
    fn what_is_not_a_map_of_keys_is_refused() {
        for text in ["just text", "- a\n- b", "a: [[1]]", "a: [{b: [1]}]", "a: 1\na: 2", "a: [", "\t- x: :"] {
            assert!(leaves(text).is_err(), "{text:?}");
        }
    }
}
