//! From tree to types: a serde deserializer whose errors name the node they are about.

use std::fmt;

use serde::de::value::StrDeserializer;
use serde::de::{
    self, DeserializeSeed, Deserializer, EnumAccess, IntoDeserializer as _, MapAccess, SeqAccess,
    VariantAccess, Visitor,
};
use serde::{Deserialize, forward_to_deserialize_any};

use super::tree::{Key, Node, NodeId, Value};

/// What is wrong with a node.
#[derive(Debug)]
pub(crate) struct Fault {
    pub(crate) at: Option<NodeId>,
    pub(crate) message: String,
}

/// Reads a `T` out of `node`.
pub(crate) fn read<'de, T: Deserialize<'de>>(node: &'de Node) -> Result<T, Fault> {
    T::deserialize(node)
}

/// `; did you mean …?` when one of `known` is near to `given`, else the choice where it is short enough to print.
pub(crate) fn suggestion<'a>(given: &str, known: impl IntoIterator<Item = &'a str>) -> String {
    let known: Vec<&str> = known.into_iter().collect();
    let near = known
        .iter()
        .map(|name| (strsim::damerau_levenshtein(given, name), *name))
        .filter(|(distance, name)| *distance <= (name.len().max(given.len()) / 3).max(1))
        .min();
    match near {
        Some((_, name)) => format!("; did you mean `{name}`?"),
        None if known.is_empty() => String::new(),
        None if known.len() <= 12 => format!("; known: {}", known.join(", ")),
        None => String::new(),
    }
}

impl Fault {
    fn new(message: impl fmt::Display) -> Self {
        Self { at: None, message: message.to_string() }
    }

    fn at(mut self, node: NodeId) -> Self {
        self.at.get_or_insert(node);
        self
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Fault {}

impl de::Error for Fault {
    fn custom<T: fmt::Display>(message: T) -> Self {
        Self::new(message)
    }

    fn invalid_type(found: de::Unexpected<'_>, expected: &dyn de::Expected) -> Self {
        Self::new(format_args!("expected {}, found {found}", in_words(&expected.to_string())))
    }

    fn invalid_value(found: de::Unexpected<'_>, expected: &dyn de::Expected) -> Self {
        Self::invalid_type(found, expected)
    }

    fn unknown_field(given: &str, known: &'static [&'static str]) -> Self {
        Self::new(format_args!("unknown key `{given}`{}", suggestion(given, known.iter().copied())))
    }

    fn unknown_variant(given: &str, known: &'static [&'static str]) -> Self {
        Self::new(format_args!("`{given}` is no choice here{}", suggestion(given, known.iter().copied())))
    }

    fn missing_field(name: &'static str) -> Self {
        Self::new(format_args!("`{name}` is missing"))
    }
}

/// serde names Rust's types; people write YAML.
fn in_words(expected: &str) -> String {
    match expected {
        "u32" | "u64" => "a whole number, 0 or more".to_owned(),
        "i64" => "a whole number".to_owned(),
        "f64" => "a number".to_owned(),
        other if other.starts_with("struct ") => "a mapping".to_owned(),
        other => other.to_owned(),
    }
}

impl<'de> Deserializer<'de> for &'de Node {
    type Error = Fault;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        match &self.value {
            Value::Null => visitor.visit_unit(),
            Value::Bool(value) => visitor.visit_bool(*value),
            Value::Int(value) => visitor.visit_i64(*value),
            Value::Float(value) => visitor.visit_f64(*value),
            Value::Text(text) => visitor.visit_borrowed_str(text),
            Value::List(items) => visitor.visit_seq(Items(items.iter())),
            Value::Map(entries) => visitor.visit_map(Entries { all: entries, next: 0, value: None }),
        }
        .map_err(|fault| fault.at(self.id))
    }

    /// A key that is there has a value: `exponent:` with nothing behind it is a mistake, not an absence.
    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        visitor.visit_some(self)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, Fault> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Fault> {
        let choice = match (&self.value, self.entries()) {
            (Value::Text(name), _) => Ok(Choice { at: self.id, name, content: None }),
            (_, [(key, content)]) => Ok(Choice { at: key.id, name: &key.name, content: Some(content) }),
            _ => Err(Fault::new("expected one word, or one word with its value")),
        };
        choice.and_then(|choice| visitor.visit_enum(choice)).map_err(|fault| fault.at(self.id))
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf unit unit_struct seq
        tuple tuple_struct map struct identifier ignored_any
    }
}

struct Items<'de>(std::slice::Iter<'de, Node>);

impl<'de> SeqAccess<'de> for Items<'de> {
    type Error = Fault;

    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>, Fault> {
        self.0.next().map(|node| seed.deserialize(node)).transpose()
    }
}

/// The entries of a mapping, each key once: duplicates are reported for the whole file at once.
struct Entries<'de> {
    all: &'de [(Key, Node)],
    next: usize,
    value: Option<&'de Node>,
}

impl<'de> MapAccess<'de> for Entries<'de> {
    type Error = Fault;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, Fault> {
        let (seen, rest) = self.all.split_at(self.next);
        let is_first = |(key, _): &&(Key, Node)| seen.iter().all(|(other, _)| other.name != key.name);
        let Some(skipped) = rest.iter().position(|entry| is_first(&entry)) else { return Ok(None) };
        let (key, node) = &rest[skipped];
        self.next += skipped + 1;
        self.value = Some(node);
        let name: StrDeserializer<'de, Fault> = key.name.as_str().into_deserializer();
        seed.deserialize(name).map(Some).map_err(|fault| fault.at(key.id))
    }

    fn next_value_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<T::Value, Fault> {
        let node = self.value.take().ok_or_else(|| Fault::new("a value before its key"))?;
        seed.deserialize(node)
    }
}

struct Choice<'de> {
    at: NodeId,
    name: &'de str,
    content: Option<&'de Node>,
}

impl<'de> EnumAccess<'de> for Choice<'de> {
    type Error = Fault;
    type Variant = Self;

    fn variant_seed<V: DeserializeSeed<'de>>(self, seed: V) -> Result<(V::Value, Self), Fault> {
        let name: StrDeserializer<'de, Fault> = self.name.into_deserializer();
        Ok((seed.deserialize(name).map_err(|fault| fault.at(self.at))?, self))
    }
}

impl<'de> VariantAccess<'de> for Choice<'de> {
    type Error = Fault;

    fn unit_variant(self) -> Result<(), Fault> {
        match self.content {
            None => Ok(()),
            Some(content) => Err(Fault::new(format_args!("`{}` takes no value", self.name)).at(content.id)),
        }
    }

    fn newtype_variant_seed<T: DeserializeSeed<'de>>(self, seed: T) -> Result<T::Value, Fault> {
        match self.content {
            Some(content) => seed.deserialize(content),
            None => Err(Fault::new(format_args!("`{}` needs a value", self.name)).at(self.at)),
        }
    }

    fn tuple_variant<V: Visitor<'de>>(self, _: usize, _: V) -> Result<V::Value, Fault> {
        self.unit_variant().and(Err(Fault::new("no tuple is read here")))
    }

    fn struct_variant<V: Visitor<'de>>(
        self,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Fault> {
        match self.content {
            Some(content) => content.deserialize_any(visitor),
            None => Err(Fault::new(format_args!("`{}` needs a mapping", self.name)).at(self.at)),
        }
    }
}
