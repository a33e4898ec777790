//! JSON in an answer.

use serde_json::Value;

/// Most places of an answer where a value is looked for.
const STARTS: usize = 64;

/// Every array and object of an answer that is in no other, whatever stands around it.
pub fn values(answer: &str) -> impl Iterator<Item = Value> {
    let mut at = 0;
    let found = (0..STARTS).map_while(move |_| {
        let start = at + answer[at..].find(['[', '{'])?;
        let mut values = serde_json::Deserializer::from_str(&answer[start..]).into_iter::<Value>();
        let value = values.next().and_then(Result::ok);
        at = start + if value.is_some() { values.byte_offset() } else { 1 };
        Some(value)
    });
    found.flatten()
}
