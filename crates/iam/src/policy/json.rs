//! A document as it stands: members in order, none twice, not deep.

use std::fmt;

use serde::de::{Deserialize, DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};

/// A policy's deepest value, one of a list of a key of an operator of a condition of a statement, is at depth 7.
const DEPTH_MAX: usize = 8;

/// A value of the document. Numbers and truth values are kept as text, since policies write them either way.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Json {
    Null,
    Text(String),
    Number(String),
    Bool(bool),
    List(Vec<Json>),
    Object(Vec<(String, Json)>),
}

impl Json {
    /// `None` if the text is no JSON, has a member twice, or is too deep.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let mut input = serde_json::Deserializer::from_str(text);
        let json = Depth(DEPTH_MAX).deserialize(&mut input).ok()?;
        input.end().ok()?;
        Some(json)
    }
}

/// How much deeper it may get.
struct Depth(usize);

impl<'de> DeserializeSeed<'de> for Depth {
    type Value = Json;

    fn deserialize<D: Deserializer<'de>>(self, input: D) -> Result<Json, D::Error> {
        input.deserialize_any(self)
    }
}

impl Depth {
    fn below<E: Error>(&self) -> Result<usize, E> {
        self.0.checked_sub(1).ok_or_else(|| E::custom("too deep"))
    }
}

impl<'de> Visitor<'de> for Depth {
    type Value = Json;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<Json, E> {
        Ok(Json::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Json, E> {
        Ok(Json::Bool(value))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Json, E> {
        Ok(Json::Number(value.to_string()))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Json, E> {
        Ok(Json::Number(value.to_string()))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Json, E> {
        Ok(Json::Number(value.to_string()))
    }

    fn visit_str<E>(self, value: &str) -> Result<Json, E> {
        Ok(Json::Text(value.to_owned()))
    }

    fn visit_string<E>(self, value: String) -> Result<Json, E> {
        Ok(Json::Text(value))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut input: A) -> Result<Json, A::Error> {
        let below = self.below()?;
        let mut items = Vec::new();
        while let Some(item) = input.next_element_seed(Depth(below))? {
            items.push(item);
        }
        Ok(Json::List(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut input: A) -> Result<Json, A::Error> {
        let below = self.below()?;
        let mut members: Vec<(String, Json)> = Vec::new();
        let mut names = std::collections::HashSet::new();
        while let Some(name) = input.next_key_seed(std::marker::PhantomData::<String>)? {
            // Two readers of such a document could take different ones.
            if !names.insert(name.clone()) {
                return Err(A::Error::custom("a member twice"));
            }
            members.push((name, input.next_value_seed(Depth(below))?));
        }
        Ok(Json::Object(members))
    }
}

impl<'de> Deserialize<'de> for Json {
    fn deserialize<D: Deserializer<'de>>(input: D) -> Result<Self, D::Error> {
        Depth(DEPTH_MAX).deserialize(input)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_two_readers_could_understand_differently_is_refused() {
        assert!(Json::parse(r#"{"a": 1, "b": [true, null, "x"]}"#).is_some());
        assert_eq!(Json::parse(r#"{"a": 1, "a": 2}"#), None);
        assert_eq!(Json::parse(r#"{"a": {"b": 1, "b": 1}}"#), None);
        assert_eq!(Json::parse(r#"{"a": 1} x"#), None);
        assert_eq!(Json::parse(r#"{"a": 1"#), None);
        assert_eq!(Json::parse(""), None);
    }

    #[test]
    fn deep_documents_are_refused_without_following_them() {
        let nested = |depth: usize| "[".repeat(depth) + &"]".repeat(depth);
        assert!(Json::parse(&nested(DEPTH_MAX)).is_some());
        assert_eq!(Json::parse(&nested(DEPTH_MAX + 1)), None);
        assert_eq!(Json::parse(&"[".repeat(10_000)), None);
    }
}
