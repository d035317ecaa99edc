//! A YAML document as a tree whose nodes can be found again in the text.
//!
//! `serde_yaml` gives no positions of what it read, only of what it refused. Every node therefore gets a number in
//! reading order, and its position is found by reading the text once more and refusing the node of that number. That
//! costs one more pass for each reported problem and spares a second parser that might disagree with the first.

use std::cell::Cell;
use std::fmt;

use serde::de::{self, DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};

/// A key or value of the document, by reading order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct NodeId(u32);

/// A value and its number.
#[derive(Debug, PartialEq)]
pub(crate) struct Node {
    pub(crate) id: NodeId,
    pub(crate) value: Value,
}

/// What stands in the text; a mapping keeps its order and its duplicates.
#[derive(Debug, PartialEq)]
pub(crate) enum Value {
    Null,
    Bool(bool),
    Int(i64),
    Float(f64),
    Text(String),
    List(Vec<Node>),
    Map(Vec<(Key, Node)>),
}

/// A key of a mapping.
#[derive(Debug, PartialEq)]
pub(crate) struct Key {
    pub(crate) id: NodeId,
    pub(crate) name: String,
}

/// A place in the text, both counted from 1, columns in characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Place {
    pub(crate) line: usize,
    pub(crate) column: usize,
}

impl Place {
    const START: Self = Self { line: 1, column: 1 };
}

/// Reads `text`; where it is not YAML, says why and where.
pub(crate) fn read(text: &str) -> Result<Node, (Place, String)> {
    pass(text, None).map_err(|error| {
        let place = place_of(&error);
        let message = error.to_string();
        // The place is said beside the message, not in it; libyaml adds where the collection began.
        let said = format!(" at line {} column {}", place.line, place.column);
        (place, message.replace(&said, ""))
    })
}

/// Where in `text` the node `id` begins.
pub(crate) fn locate(text: &str, id: NodeId) -> Place {
    pass(text, Some(id)).map_or_else(|error| place_of(&error), |_| Place::START)
}

fn pass(text: &str, refuse: Option<NodeId>) -> Result<Node, serde_yaml::Error> {
    let numbering = Numbering { next: Cell::new(0), refuse };
    numbering.deserialize(serde_yaml::Deserializer::from_str(text))
}

fn place_of(error: &serde_yaml::Error) -> Place {
    error.location().map_or(Place::START, |at| Place { line: at.line(), column: at.column() })
}

impl Node {
    /// The value of `name`, where this is a mapping that has it.
    pub(crate) fn get(&self, name: &str) -> Option<&Self> {
        self.entries().iter().find(|(key, _)| key.name == name).map(|(_, node)| node)
    }

    /// The node reached by `path` through mappings (by key) and lists (by number), as far as it leads.
    pub(crate) fn follow(&self, path: &[&str]) -> &Self {
        path.iter().fold(self, |node, step| match &node.value {
            Value::List(items) => step.parse().ok().and_then(|i: usize| items.get(i)).unwrap_or(node),
            _ => node.get(step).unwrap_or(node),
        })
    }

    /// The key called `name`, else the node itself.
    pub(crate) fn key(&self, name: &str) -> NodeId {
        self.entries().iter().find(|(key, _)| key.name == name).map_or(self.id, |(key, _)| key.id)
    }

    /// Keys and values, where this is a mapping.
    pub(crate) fn entries(&self) -> &[(Key, Self)] {
        match &self.value {
            Value::Map(entries) => entries,
            _ => &[],
        }
    }

    /// Keys that their mapping has before already, here and below.
    pub(crate) fn repeated(&self) -> Vec<&Key> {
        let entries = self.entries();
        let is_again =
            |(at, key): &(usize, &Key)| entries.iter().take(*at).any(|(other, _)| other.name == key.name);
        let own = entries.iter().map(|(key, _)| key).enumerate().filter(is_again).map(|(_, key)| key);
        let below = entries.iter().map(|(_, node)| node).chain(self.items());
        own.chain(below.flat_map(Self::repeated)).collect()
    }

    /// Items, where this is a list.
    pub(crate) fn items(&self) -> &[Self] {
        match &self.value {
            Value::List(items) => items,
            _ => &[],
        }
    }
}

struct Numbering {
    next: Cell<u32>,
    refuse: Option<NodeId>,
}

impl Numbering {
    fn number<E: de::Error>(&self) -> Result<NodeId, E> {
        let id = NodeId(self.next.get());
        self.next.set(id.0 + 1);
        if self.refuse == Some(id) { Err(E::custom("here")) } else { Ok(id) }
    }

    fn node<E: de::Error>(&self, value: Value) -> Result<Node, E> {
        Ok(Node { id: self.number()?, value })
    }
}

impl<'de> DeserializeSeed<'de> for &Numbering {
    type Value = Node;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Node, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for &Numbering {
    type Value = Node;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a plain YAML value")
    }

    fn visit_unit<E: de::Error>(self) -> Result<Node, E> {
        self.node(Value::Null)
    }

    fn visit_none<E: de::Error>(self) -> Result<Node, E> {
        self.node(Value::Null)
    }

    fn visit_bool<E: de::Error>(self, value: bool) -> Result<Node, E> {
        self.node(Value::Bool(value))
    }

    fn visit_i64<E: de::Error>(self, value: i64) -> Result<Node, E> {
        self.node(Value::Int(value))
    }

    fn visit_u64<E: de::Error>(self, value: u64) -> Result<Node, E> {
        #[expect(clippy::cast_precision_loss, reason = "only figures beyond every limit lose digits")]
        let beyond = Value::Float(value as f64);
        self.node(i64::try_from(value).map_or(beyond, Value::Int))
    }

    fn visit_f64<E: de::Error>(self, value: f64) -> Result<Node, E> {
        self.node(Value::Float(value))
    }

    fn visit_str<E: de::Error>(self, value: &str) -> Result<Node, E> {
        self.node(Value::Text(value.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Node, A::Error> {
        let id = self.number()?;
        let mut items = Vec::new();
        while let Some(item) = list.next_element_seed(self)? {
            items.push(item);
        }
        Ok(Node { id, value: Value::List(items) })
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Node, A::Error> {
        let id = self.number()?;
        let mut entries = Vec::new();
        while let Some(key) = map.next_key_seed(KeyOf(self))? {
            entries.push((key, map.next_value_seed(self)?));
        }
        Ok(Node { id, value: Value::Map(entries) })
    }
}

struct KeyOf<'a>(&'a Numbering);

impl<'de> DeserializeSeed<'de> for KeyOf<'_> {
    type Value = Key;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Key, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for KeyOf<'_> {
    type Value = Key;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a name")
    }

    fn visit_str<E: de::Error>(self, name: &str) -> Result<Key, E> {
        Ok(Key { id: self.0.number()?, name: name.to_owned() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "a: 1\nb:\n  - x\n  - { c: 2.5, a: ~ }\na: yes\nsql: |\n  SELECT\n  é: 1\n";

    fn at(text: &str, id: NodeId) -> (usize, usize) {
        let place = locate(text, id);
        (place.line, place.column)
    }

    #[test]
    fn every_node_is_found_where_it_stands() {
        let root = read(TEXT).unwrap();
        assert_eq!(at(TEXT, root.follow(&["a"]).id), (1, 4));
        assert_eq!(at(TEXT, root.key("b")), (2, 1));
        assert_eq!(at(TEXT, root.follow(&["b", "0"]).id), (3, 5));
        assert_eq!(at(TEXT, root.follow(&["b", "1"]).id), (4, 5));
        assert_eq!(at(TEXT, root.follow(&["b", "1", "c"]).id), (4, 10));
        assert_eq!(at(TEXT, root.follow(&["b", "1"]).key("a")), (4, 15));
        assert_eq!(at(TEXT, root.follow(&["sql"]).id), (6, 6));
        let (second, _) = &root.entries()[2];
        assert_eq!((second.name.as_str(), at(TEXT, second.id)), ("a", (5, 1)));
    }

    #[test]
    fn a_path_leads_as_far_as_it_can() {
        let root = read(TEXT).unwrap();
        assert_eq!(root.follow(&["b", "7", "c"]).id, root.follow(&["b"]).id);
        assert_eq!(root.follow(&["none"]).id, root.id);
    }

    #[test]
    fn what_is_not_yaml_is_placed() {
        let (place, message) = read("a: [1\nb: 2\n").unwrap_err();
        assert_eq!(place.line, 2, "{message}");
        assert_eq!(
            message,
            "did not find expected ',' or ']', while parsing a flow sequence at line 1 column 4"
        );
        assert!(read("? [a]\n: 1\n").is_err() && read("a: !tag 1\n").is_err());
    }
}
