//! A document inside of a request's body, as it stands.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};

/// Reads a policy, or none. Of a member that is there twice the usual reader takes the last, so who looks through a request and who
/// carries it out could see two policies; a policy that comes by itself is refused for it as well.
pub(super) fn policy<'de, D: Deserializer<'de>>(input: D) -> Result<Option<Value>, D::Error> {
    let value = Once.deserialize(input)?;
    Ok(Some(value).filter(|value| !value.is_null()))
}

struct Once;

impl<'de> DeserializeSeed<'de> for Once {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, input: D) -> Result<Value, D::Error> {
        input.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Once {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<Value, E> {
        Number::from_f64(value).map(Value::Number).ok_or_else(|| E::custom("no number of JSON"))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut input: A) -> Result<Value, A::Error> {
        let mut list = Vec::new();
        while let Some(value) = input.next_element_seed(Once)? {
            list.push(value);
        }
        Ok(Value::Array(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut input: A) -> Result<Value, A::Error> {
        let mut members = Map::new();
        while let Some(name) = input.next_key::<String>()? {
            if members.contains_key(&name) {
                return Err(A::Error::custom(format!("the member `{name}` is there twice")));
            }
            members.insert(name, input.next_value_seed(Once)?);
        }
        Ok(Value::Object(members))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(json: &str) -> Option<Option<Value>> {
        policy(&mut serde_json::Deserializer::from_str(json)).ok()
    }

    #[test]
    fn what_is_there_once_is_read_as_it_is_and_nothing_is_read_twice() {
        let json = r#"{"a":[null,true,1,-2,0.5,"x",{"a":{}}],"b":{"a":1}}"#;
        assert_eq!(read(json).unwrap().unwrap().to_string(), json);
        assert_eq!(read("null"), Some(None));
        for twice in [r#"{"a":1,"a":1}"#, r#"{"s":[{"a":1,"b":2,"a":3}]}"#, r#"{"a":1,"\u0061":2}"#] {
            assert_eq!(read(twice), None, "{twice}");
        }
        assert_eq!(read(&"[".repeat(1000)), None, "and nothing is read that is too deep");
    }
}
