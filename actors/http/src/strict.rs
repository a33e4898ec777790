//! JSON that is read to the last field: what a type does not know is refused by its path.

use serde::{
    Deserialize, Deserializer,
    de::{DeserializeOwned, Error as _},
};
use serde_json::Value;
use understudy_gateway::{Failure, codes};

/// A whole body.
///
/// # Errors
/// `REQUEST_INVALID` with the field.
pub(crate) fn body<T: DeserializeOwned>(json: &[u8]) -> Result<T, Failure> {
    let mut reader = serde_json::Deserializer::from_slice(json);
    let read = serde_path_to_error::deserialize(&mut reader)
        .map_err(|error| explained("", &error.path().to_string(), &error.inner().to_string()))?;
    reader.end().map_err(|_| invalid("body", "is more than one JSON value"))?;
    Ok(read)
}

/// A part of a body, which stands at `path`.
///
/// # Errors
/// `REQUEST_INVALID` with the field.
pub(crate) fn value<T: DeserializeOwned>(value: Value, path: &str) -> Result<T, Failure> {
    serde_path_to_error::deserialize(value)
        .map_err(|error| explained(path, &error.path().to_string(), &error.inner().to_string()))
}

/// `REQUEST_INVALID` about this field.
pub(crate) fn invalid(field: &str, why: impl AsRef<str>) -> Failure {
    let why = why.as_ref();
    Failure::new(codes::REQUEST_INVALID, format!("{field} {why}")).with_field(field, why)
}

/// The name of the field goes into the path where the message has it.
fn explained(above: &str, path: &str, message: &str) -> Failure {
    // Where the JSON itself breaks off there is no field.
    let path = path.trim_end_matches(['.', '?']);
    let named = |start: &str| message.strip_prefix(start)?.split('`').next();
    let (field, why) = match (named("unknown field `"), named("missing field `")) {
        (Some(field), _) => (Some(field), "is not supported".to_owned()),
        (_, Some(field)) => (Some(field), "is missing".to_owned()),
        // Where in the text it is says less than the path.
        _ => (None, message.split(" at line ").next().unwrap_or(message).to_owned()),
    };
    // The path of an unknown field ends with it, that of a missing one does not.
    let last = |field: &&str| path != *field && !path.ends_with(&format!(".{field}"));
    let parts = [above, path, field.filter(last).unwrap_or_default()];
    let whole = parts.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join(".");
    invalid(if whole.is_empty() { "body" } else { &whole }, why)
}

/// A field that clients send although it is off: only null, false and empty lists and objects are taken.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Absent;

impl<'de> Deserialize<'de> for Absent {
    fn deserialize<D: Deserializer<'de>>(reader: D) -> Result<Self, D::Error> {
        let is_off = match Value::deserialize(reader)? {
            Value::Null | Value::Bool(false) => true,
            Value::Array(items) => items.is_empty(),
            Value::Object(members) => members.is_empty(),
            _ => false,
        };
        if is_off { Ok(Self) } else { Err(D::Error::custom("is not supported")) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    #[expect(dead_code, reason = "what is read does not matter here")]
    struct Outer {
        inner: Vec<Inner>,
        #[serde(default)]
        audio: Absent,
    }

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    #[expect(dead_code, reason = "what is read does not matter here")]
    struct Inner {
        n: u8,
    }

    #[test]
    fn the_wrong_field_is_named_by_its_path() {
        for (json, field, why) in [
            (r#"{"inner": [], "voice": 1}"#, "voice", "is not supported"),
            (r#"{"inner": [{"n": 1}, {"n": 1, "m": 2}]}"#, "inner[1].m", "is not supported"),
            (r#"{"inner": [{}]}"#, "inner[0].n", "is missing"),
            ("{}", "inner", "is missing"),
            (r#"{"inner": [{"n": 256}]}"#, "inner[0].n", "invalid value"),
            (r#"{"inner": [], "audio": {"voice": "x"}}"#, "audio", "is not supported"),
            ("{", "body", "EOF"),
            ("[]{}", "body", "invalid"),
            (r#"{"inner": []} {}"#, "body", "is more than one"),
        ] {
            let failure = body::<Outer>(json.as_bytes()).unwrap_err();
            let (path, said) = &failure.fields[0];
            assert_eq!(path, field, "{json}: {said}");
            assert!(said.starts_with(why), "{json}: {said}");
        }
        for json in [r#"{"inner": [], "audio": null}"#, r#"{"inner": [], "audio": []}"#] {
            assert!(body::<Outer>(json.as_bytes()).is_ok(), "{json}");
        }
        let below = value::<Inner>(serde_json::json!({"m": 1}), "outer[3]").unwrap_err();
        assert_eq!(below.fields[0].0, "outer[3].m");
    }
}
