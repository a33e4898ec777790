//! `unevaluatedProperties` and `unevaluatedItems`.
//!
//! What a schema evaluates depends on which of its alternatives hold. Each choice of alternatives
//! gives a statement without the keyword: those alternatives hold, and what they leave is as the
//! keyword says. A value for which more alternatives hold than were chosen is only judged more
//! strictly.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::Value;

use super::SchemaError;
use super::formula::{ALWAYS, F, Formula, Formulas, Rules};
use super::reference::escaped;
use super::schema::{Document, Draft, REFERENCES, Schema};

/// What one choice of alternatives evaluates.
#[derive(Debug, Clone)]
struct Seen {
    /// What has to hold for it.
    holds: F,
    keys: Vec<Arc<str>>,
    patterns: Vec<Arc<str>>,
    all_keys: bool,
    first_items: usize,
    all_items: bool,
}

impl Seen {
    fn nothing(holds: F) -> Self {
        Self {
            holds,
            keys: Vec::new(),
            patterns: Vec::new(),
            all_keys: false,
            first_items: 0,
            all_items: false,
        }
    }

    fn and(&self, formulas: &mut Formulas, other: &Self) -> Self {
        Self {
            holds: formulas.all([self.holds, other.holds]),
            keys: self.keys.iter().chain(&other.keys).cloned().collect(),
            patterns: self.patterns.iter().chain(&other.patterns).cloned().collect(),
            all_keys: self.all_keys || other.all_keys,
            first_items: self.first_items.max(other.first_items),
            all_items: self.all_items || other.all_items,
        }
    }
}

/// Choices of alternatives looked at.
const CHOICES: usize = 64;
/// Schemas within schemas looked at.
const DEPTH: usize = 32;

pub(super) fn properties(
    document: &mut Document,
    formulas: &mut Formulas,
    schema: &Schema<'_>,
) -> Result<F, SchemaError> {
    for_each_choice(document, formulas, schema, "unevaluatedProperties", |seen, rest| {
        let named: BTreeMap<Arc<str>, F> = seen.keys.into_iter().map(|key| (key, ALWAYS)).collect();
        let patterns = seen.patterns.into_iter().map(|pattern| (pattern, ALWAYS)).collect();
        let other = if seen.all_keys { ALWAYS } else { rest };
        Formula::Properties(Arc::new(Rules { named, patterns, other }))
    })
}

pub(super) fn items(
    document: &mut Document,
    formulas: &mut Formulas,
    schema: &Schema<'_>,
) -> Result<F, SchemaError> {
    for_each_choice(document, formulas, schema, "unevaluatedItems", |seen, rest| {
        let first: Arc<[F]> = vec![ALWAYS; seen.first_items].into();
        Formula::Items(first, if seen.all_items { ALWAYS } else { rest })
    })
}

/// Any choice of alternatives: they hold, and so does what the keyword then says of the rest.
fn for_each_choice(
    document: &mut Document,
    formulas: &mut Formulas,
    schema: &Schema<'_>,
    keyword: &str,
    of_the_rest: impl Fn(Seen, F) -> Formula,
) -> Result<F, SchemaError> {
    let rest = document.member(formulas, schema, keyword).unwrap_or(ALWAYS);
    if rest == ALWAYS {
        return Ok(ALWAYS);
    }
    let mut ways = Vec::new();
    for seen in evaluated(document, formulas, schema, DEPTH)? {
        let holds = seen.holds;
        let of_the_rest = formulas.add(of_the_rest(seen, rest));
        ways.push(formulas.all([holds, of_the_rest]));
    }
    Ok(formulas.any(ways))
}

/// What a schema evaluates, its own `unevaluated…` apart.
fn evaluated(
    document: &mut Document,
    formulas: &mut Formulas,
    schema: &Schema<'_>,
    depth: usize,
) -> Result<Vec<Seen>, SchemaError> {
    if depth == 0 {
        return Err(SchemaError::unsupported("unevaluatedProperties", "over schemas nested this deeply"));
    }
    let mut seen = vec![own(document, schema)];
    for keyword in REFERENCES {
        if schema.members.contains_key(keyword) {
            let place = document.target(schema, keyword)?;
            let also = below(document, formulas, &place, depth)?;
            seen = both(formulas, &seen, &also)?;
        }
    }
    if let Some(Value::Array(parts)) = schema.members.get("allOf") {
        for index in 0..parts.len() {
            let also = below(document, formulas, &format!("{}/allOf/{index}", schema.pointer), depth)?;
            seen = both(formulas, &seen, &also)?;
        }
    }
    for keyword in ["anyOf", "oneOf"] {
        if let Some(Value::Array(parts)) = schema.members.get(keyword) {
            let mut also = Vec::new();
            for index in 0..parts.len() {
                also.extend(below(
                    document,
                    formulas,
                    &format!("{}/{keyword}/{index}", schema.pointer),
                    depth,
                )?);
            }
            seen = both(formulas, &seen, &also)?;
        }
    }
    if let Some(condition) = document.member(formulas, schema, "if") {
        let mut met = below(document, formulas, &format!("{}/if", schema.pointer), depth)?;
        if schema.members.contains_key("then") {
            let then = below(document, formulas, &format!("{}/then", schema.pointer), depth)?;
            met = both(formulas, &met, &then)?;
        }
        let unmet = formulas.not(condition)?;
        let mut otherwise = vec![Seen::nothing(unmet)];
        if schema.members.contains_key("else") {
            let also = below(document, formulas, &format!("{}/else", schema.pointer), depth)?;
            otherwise = both(formulas, &otherwise, &also)?;
        }
        met.extend(otherwise);
        seen = both(formulas, &seen, &met)?;
    }
    if let Some(Value::Object(members)) = schema.members.get("dependentSchemas") {
        for key in members.keys() {
            let place = format!("{}/dependentSchemas/{}", schema.pointer, escaped(key));
            let mut ways = below(document, formulas, &place, depth)?;
            let present = formulas.add(Formula::Required(key.as_str().into()));
            let absent = formulas.add(Formula::Forbidden(key.as_str().into()));
            ways.iter_mut().for_each(|way| way.holds = formulas.all([way.holds, present]));
            ways.push(Seen::nothing(absent));
            seen = both(formulas, &seen, &ways)?;
        }
    }
    Ok(seen)
}

/// What the schema at a place evaluates where it holds.
fn below(
    document: &mut Document,
    formulas: &mut Formulas,
    place: &str,
    depth: usize,
) -> Result<Vec<Seen>, SchemaError> {
    let holds = document.part(formulas, place);
    let whole = document.value.clone();
    let Some(Value::Object(members)) = whole.pointer(place) else { return Ok(vec![Seen::nothing(holds)]) };
    let schema = Schema { members, pointer: place.to_owned() };
    let mut seen = evaluated(document, formulas, &schema, depth - 1)?;
    for one in &mut seen {
        one.holds = formulas.all([one.holds, holds]);
        one.all_keys |= members.contains_key("unevaluatedProperties");
        one.all_items |= members.contains_key("unevaluatedItems");
    }
    Ok(seen)
}

/// What a schema's own keywords evaluate.
fn own(document: &Document, schema: &Schema<'_>) -> Seen {
    let keys = |keyword: &str| match schema.members.get(keyword) {
        Some(Value::Object(members)) => members.keys().map(|key| Arc::from(key.as_str())).collect(),
        _ => Vec::new(),
    };
    let mut seen = Seen::nothing(ALWAYS);
    seen.keys = keys("properties");
    seen.patterns = keys("patternProperties");
    seen.all_keys = schema.members.contains_key("additionalProperties");
    let first = if document.draft >= Draft::Of2020 { "prefixItems" } else { "items" };
    match schema.members.get(first) {
        Some(Value::Array(items)) => {
            seen.first_items = items.len();
            let rest = if document.draft >= Draft::Of2020 { "items" } else { "additionalItems" };
            seen.all_items = schema.members.contains_key(rest);
        }
        _ => seen.all_items = schema.members.contains_key("items"),
    }
    seen
}

fn both(formulas: &mut Formulas, a: &[Seen], b: &[Seen]) -> Result<Vec<Seen>, SchemaError> {
    if a.len() * b.len() > CHOICES {
        return Err(SchemaError::unsupported("unevaluatedProperties", "over this many alternatives"));
    }
    let pairs: Vec<(&Seen, &Seen)> = a.iter().flat_map(|a| b.iter().map(move |b| (a, b))).collect();
    Ok(pairs.into_iter().map(|(a, b)| a.and(formulas, b)).collect())
}
