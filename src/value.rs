//! Reads types from a [`Value`].
//!
//! serde_json's own reader also takes arrays for structs, numbers for names, and so on; each of these ways is code for each of
//! our types. This one does only what our JSON needs, which halves what reading costs in the WebAssembly files.

use serde::Deserializer;
use serde::de::value::StrDeserializer;
use serde::de::{
    DeserializeOwned, DeserializeSeed, EnumAccess, Expected, MapAccess, SeqAccess, Unexpected, VariantAccess, Visitor,
};
use serde_json::{Map, Value};

/// Reads a `T`; an error is the end of a sentence, and names the field that is wrong.
pub(crate) fn read<T: DeserializeOwned>(value: Value) -> Result<T, String> {
    T::deserialize(Reader(value)).map_err(|error| error.message)
}

/// What is wrong with a value. serde's own words would quote floats, and printing those is 5 KB of wasm, gzipped.
#[derive(Debug)]
struct Error {
    message: String,
    /// Whether it says which field is wrong.
    is_named: bool,
}

impl Error {
    fn new(message: String) -> Self {
        Self { message, is_named: false }
    }

    /// The same of a field, the innermost that has a name: callers do not know in what structs we keep their options.
    #[cold]
    fn of(self, key: &str) -> Self {
        if self.is_named { self } else { Self { message: format!("{key}: {}", self.message), is_named: true } }
    }
}

impl std::fmt::Display for Error {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Error {}

impl serde::de::Error for Error {
    fn custom<T: std::fmt::Display>(message: T) -> Self {
        Self::new(message.to_string())
    }

    fn invalid_type(_: Unexpected<'_>, expected: &dyn Expected) -> Self {
        Self::new(format!("invalid type, expected {expected}"))
    }

    fn invalid_value(_: Unexpected<'_>, expected: &dyn Expected) -> Self {
        Self::new(format!("invalid value, expected {expected}"))
    }

    fn unknown_field(field: &str, _: &'static [&'static str]) -> Self {
        // Without those that there are: the caller may have given it for another struct than ours.
        Self { message: format!("there is no option '{field}'; look at its spelling"), is_named: true }
    }

    fn unknown_variant(variant: &str, expected: &'static [&'static str]) -> Self {
        Self::new(format!("'{variant}' is none of {}", expected.join(", ")))
    }
}

struct Reader(Value);

/// The error for a value of another kind than what is due.
#[cold]
fn wrong(value: &Value, due: &str) -> Error {
    let found = match value {
        Value::Null => "null",
        Value::Bool(_) => "true or false",
        Value::Number(_) => "a number",
        Value::String(_) => "a text",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    };
    Error::new(format!("{found} where {due} is due"))
}

impl<'de> Deserializer<'de> for Reader {
    type Error = Error;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match self.0 {
            Value::Null => visitor.visit_unit(),
            Value::Bool(b) => visitor.visit_bool(b),
            // None of our types has a number that is not whole: as a text it is still what was written.
            Value::Number(n) => match (n.as_u64(), n.as_i64()) {
                (Some(n), _) => visitor.visit_u64(n),
                (_, Some(n)) => visitor.visit_i64(n),
                _ => visitor.visit_string(n.to_string()),
            },
            Value::String(text) => visitor.visit_string(text),
            Value::Array(items) => visitor.visit_seq(Items(items.into_iter())),
            Value::Object(map) => visitor.visit_map(Fields::new(map)),
        }
    }

    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match self.0 {
            Value::Bool(b) => visitor.visit_bool(b),
            other => Err(wrong(&other, "true or false")),
        }
    }

    fn deserialize_u64<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match self.0.as_u64() {
            Some(n) => visitor.visit_u64(n),
            None => Err(wrong(&self.0, "a whole number")),
        }
    }

    fn deserialize_i64<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match self.0.as_i64() {
            Some(n) => visitor.visit_i64(n),
            None => Err(wrong(&self.0, "a whole number")),
        }
    }

    fn deserialize_string<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match self.0 {
            Value::String(text) => visitor.visit_string(text),
            other => Err(wrong(&other, "a text")),
        }
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        if self.0.is_null() { visitor.visit_none() } else { visitor.visit_some(self) }
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match self.0 {
            Value::Array(items) => visitor.visit_seq(Items(items.into_iter())),
            other => Err(wrong(&other, "a list")),
        }
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match self.0 {
            Value::Object(map) => visitor.visit_map(Fields::new(map)),
            other => Err(wrong(&other, "an object")),
        }
    }

    fn deserialize_enum<V: Visitor<'de>>(self, _: &str, _: &[&str], visitor: V) -> Result<V::Value, Error> {
        match self.0 {
            Value::String(name) => visitor.visit_enum(Variant { name, content: Value::Null }),
            Value::Object(map) if map.len() == 1 => {
                let (name, content) = map.into_iter().next().unwrap_or_default();
                visitor.visit_enum(Variant { name, content })
            }
            other => Err(wrong(&other, "a word")),
        }
    }

    fn deserialize_u8<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        self.deserialize_u64(visitor)
    }
    fn deserialize_u16<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        self.deserialize_u64(visitor)
    }
    fn deserialize_u32<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        self.deserialize_u64(visitor)
    }
    fn deserialize_i32<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        self.deserialize_i64(visitor)
    }
    fn deserialize_str<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        self.deserialize_string(visitor)
    }
    fn deserialize_identifier<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        self.deserialize_string(visitor)
    }
    fn deserialize_tuple<V: Visitor<'de>>(self, _: usize, visitor: V) -> Result<V::Value, Error> {
        self.deserialize_seq(visitor)
    }
    fn deserialize_struct<V: Visitor<'de>>(self, _: &str, _: &[&str], visitor: V) -> Result<V::Value, Error> {
        self.deserialize_map(visitor)
    }
    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_unit()
    }

    serde::forward_to_deserialize_any! {
        i8 i16 i128 u128 f32 f64 char bytes byte_buf unit unit_struct newtype_struct tuple_struct
    }
}

struct Items(std::vec::IntoIter<Value>);

impl<'de> SeqAccess<'de> for Items {
    type Error = Error;

    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>, Error> {
        self.0.next().map(|value| seed.deserialize(Reader(value))).transpose()
    }
}

struct Fields {
    rest: serde_json::map::IntoIter,
    key: String,
    value: Value,
}

impl Fields {
    fn new(map: Map<String, Value>) -> Self {
        Self { rest: map.into_iter(), key: String::new(), value: Value::Null }
    }
}

impl<'de> MapAccess<'de> for Fields {
    type Error = Error;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, Error> {
        let Some((key, value)) = self.rest.next() else { return Ok(None) };
        (self.key, self.value) = (key, value);
        seed.deserialize(StrDeserializer::new(&self.key)).map(Some)
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, Error> {
        seed.deserialize(Reader(std::mem::take(&mut self.value))).map_err(|error: Error| error.of(&self.key))
    }
}

struct Variant {
    name: String,
    content: Value,
}

impl<'de> EnumAccess<'de> for Variant {
    type Error = Error;
    type Variant = Self;

    fn variant_seed<V: DeserializeSeed<'de>>(self, seed: V) -> Result<(V::Value, Self), Error> {
        Ok((seed.deserialize(StrDeserializer::new(&self.name))?, self))
    }
}

impl<'de> VariantAccess<'de> for Variant {
    type Error = Error;

    fn unit_variant(self) -> Result<(), Error> {
        if self.content.is_null() { Ok(()) } else { Err(wrong(&self.content, "nothing")) }
    }

    fn newtype_variant_seed<T: DeserializeSeed<'de>>(self, seed: T) -> Result<T::Value, Error> {
        let Self { name, content } = self;
        if content.is_null() {
            return Err(Error::new(format!("'{name}' needs a value, as in {{ {name}: '123' }}")));
        }
        seed.deserialize(Reader(content)).map_err(|error: Error| error.of(&name))
    }

    fn tuple_variant<V: Visitor<'de>>(self, _: usize, visitor: V) -> Result<V::Value, Error> {
        Reader(self.content).deserialize_seq(visitor)
    }

    fn struct_variant<V: Visitor<'de>>(self, _: &[&str], visitor: V) -> Result<V::Value, Error> {
        Reader(self.content).deserialize_map(visitor)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use serde_json::json;

    use super::read;
    use crate::config::{AuthConfig, BulkConfig, Level};
    use crate::folder::Ledger;
    use crate::platform::transfer::{FileFacts, TransferOutcome};

    #[test]
    fn reads_what_serde_json_reads() {
        let config = json!({
            "server": {"fhirUrl": "https://ehr.example/fhir", "auth": {"kind": "bearer", "token": "t"}, "maxConnections": 7,
                "retryDelays": ["1s", 2.5], "headers": [["a", "b"]]},
            "level": {"group": "7"}, "types": ["Patient"], "since": null, "compress": false, "maxPollDelay": "5m",
        });
        let ours: BulkConfig = read(config.clone()).unwrap();
        assert!(ours == serde_json::from_value(config).unwrap());
        assert_eq!(ours.server.retry_delays, Some(vec![Duration::from_secs(1), Duration::from_millis(2500)]));
        assert_eq!(read::<BulkConfig>(json!({"server": {"retryDelays": null}})).unwrap().server.retry_delays, None);
        assert!(ours.level == Level::Group("7".into()) && matches!(ours.server.auth, AuthConfig::Bearer { .. }));
        let outcomes = [
            TransferOutcome::Stored(FileFacts {
                received: u64::MAX,
                types: [("A".into(), 1)].into(),
                ..FileFacts::default()
            }),
            TransferOutcome::Refused { status: 429, retry_after: None, date: None, text: "x".into(), transient: true },
        ];
        for outcome in outcomes {
            assert_eq!(read::<TransferOutcome>(serde_json::to_value(&outcome).unwrap()).unwrap(), outcome);
        }
        assert_eq!(
            read::<Ledger>(json!({"format": 1, "jobs": [{"request": {"a": [1, null]}}]})).unwrap().jobs.len(),
            1
        );
    }

    #[test]
    fn says_what_is_wrong_and_where() {
        let error = |value| read::<BulkConfig>(value).err().unwrap();
        assert_eq!(error(json!({"types": "Patient"})), "types: a text where a list is due");
        assert_eq!(error(json!({"patients": [" "]})), "patients: the list names nobody, which must not mean everybody");
        assert_eq!(error(json!({"types": ["Patient", null]})), "types: null where a text is due");
        assert_eq!(error(json!({"typos": 1})), "there is no option 'typos'; look at its spelling");
        assert_eq!(
            error(json!({"server": {"maxConnections": -1}})),
            "maxConnections: a number where a whole number is due"
        );
        assert_eq!(
            error(json!({"server": {"maxConnection": 1}})),
            "there is no option 'maxConnection'; look at its spelling"
        );
        assert_eq!(error(json!({"level": "hospital"})), "level: 'hospital' is none of system, patient, group");
        assert_eq!(error(json!({"level": "group"})), "level: 'group' needs a value, as in { group: '123' }");
        assert_eq!(error(json!({"level": {"group": 7}})), "group: a number where a text is due");
        assert_eq!(error(json!([])), "a list where an object is due");
        assert!(
            error(json!({"server": {"retryDelays": ["soon"]}})).starts_with("retryDelays: 'soon' is not a duration; ")
        );
        assert!(
            error(json!({"server": {"maxConnections": 5_000_000_000_u64}})).contains("maxConnections: invalid value")
        );
    }
}
