//! A schema document, and what each of its keywords says.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use serde_json::{Map, Value};

use super::error::shortened;
use super::formula::{ALWAYS, F, Formula, Formulas, Kind, NEVER};
use super::reference::{Places, escaped};
use super::{SchemaError, unevaluated};

/// A place in the document.
pub(super) type NodeId = u32;

/// Which version of JSON Schema a document is in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Draft {
    Four,
    Seven,
    Of2019,
    Of2020,
}

/// A schema document.
#[derive(Debug)]
pub(super) struct Document {
    pub(super) value: Arc<Value>,
    pub(super) draft: Draft,
    pub(super) assert_formats: bool,
    places: Arc<Places>,
    pointers: Vec<String>,
    nodes: HashMap<String, NodeId>,
    expanded: HashMap<(NodeId, bool), F>,
    pub(super) narrowed: HashMap<(F, Kind), F>,
    /// How deep formulas are being narrowed, one within another.
    pub(super) narrowing: usize,
    /// How many `oneOf` within each other are being looked at.
    pub(super) looking: usize,
    /// Pairs of their options that have been.
    pub(super) pairs: usize,
}

/// Most schemas within a schema and things that they say, counted together.
const PARTS: usize = 150_000;

/// Longest chain of references.
const CHAIN: usize = 64;

pub(super) const REFERENCES: [&str; 3] = ["$ref", "$dynamicRef", "$recursiveRef"];

/// A schema as an object, with where it is.
pub(super) struct Schema<'a> {
    pub(super) members: &'a Map<String, Value>,
    pub(super) pointer: String,
}

impl Document {
    pub(super) fn new(text: &str, assert_formats: bool) -> Result<Self, SchemaError> {
        let value: Value =
            serde_json::from_str(text).map_err(|error| SchemaError::Syntax(error.to_string()))?;
        let draft = draft(&value);
        let places = Places::of(&value, identifier(draft))?;
        Ok(Self::of(Arc::new(value), draft, Arc::new(places), assert_formats))
    }

    /// The same document, of which nothing has been looked up.
    pub(super) fn afresh(&self) -> Self {
        Self::of(self.value.clone(), self.draft, self.places.clone(), self.assert_formats)
    }

    fn of(value: Arc<Value>, draft: Draft, places: Arc<Places>, assert_formats: bool) -> Self {
        Self {
            value,
            draft,
            assert_formats,
            places,
            pointers: Vec::new(),
            nodes: HashMap::new(),
            expanded: HashMap::new(),
            narrowed: HashMap::new(),
            narrowing: 0,
            looking: 0,
            pairs: 0,
        }
    }

    pub(super) fn node(&mut self, pointer: &str) -> NodeId {
        if let Some(known) = self.nodes.get(pointer) {
            return *known;
        }
        let id = self.pointers.len() as NodeId;
        self.pointers.push(pointer.to_owned());
        self.nodes.insert(pointer.to_owned(), id);
        id
    }

    pub(super) fn pointer(&self, node: NodeId) -> &str {
        &self.pointers[node as usize]
    }

    /// A schema that is part of another.
    pub(super) fn part(&mut self, formulas: &mut Formulas, pointer: &str) -> F {
        match self.value.pointer(pointer) {
            Some(Value::Bool(true)) => ALWAYS,
            Some(Value::Bool(false)) => NEVER,
            Some(Value::Object(members)) if members.is_empty() => ALWAYS,
            _ => {
                let node = self.node(pointer);
                formulas.add(Formula::Schema(node, true))
            }
        }
    }

    /// What the schema at a place says.
    pub(super) fn expand(
        &mut self,
        formulas: &mut Formulas,
        node: NodeId,
        positive: bool,
    ) -> Result<F, SchemaError> {
        if let Some(known) = self.expanded.get(&(node, positive)) {
            return Ok(*known);
        }
        let formula = if positive {
            self.keywords(formulas, node)?
        } else {
            let positive = self.expand(formulas, node, true)?;
            formulas.not(positive)?
        };
        let formula = formulas.shallow(formula)?;
        self.expanded.insert((node, positive), formula);
        Ok(formula)
    }

    /// Looks at every schema that values can come to, so that what is wrong with one is found now.
    pub(super) fn check(&mut self, formulas: &mut Formulas, root: F) -> Result<(), SchemaError> {
        let (mut todo, mut seen) = (vec![root], HashSet::new());
        while let Some(formula) = todo.pop() {
            if !seen.insert(formula) {
                continue;
            }
            if formulas.len() + self.pointers.len() > PARTS {
                return Err(SchemaError::TooLarge { what: "statements", limit: PARTS });
            }
            match formulas.get(formula).clone() {
                Formula::Schema(node, positive) => todo.push(self.expand(formulas, node, positive)?),
                Formula::All(parts) | Formula::Any(parts) => todo.extend(parts),
                Formula::Items(first, rest) | Formula::SomeItem(first, rest) => {
                    todo.extend(first.iter().chain([&rest]));
                }
                Formula::Contains(item, _, _) => todo.push(item),
                Formula::Properties(rules) | Formula::SomeProperty(rules) => {
                    todo.extend(rules.named.values());
                    todo.extend(rules.patterns.iter().map(|(_, one)| one));
                    todo.push(rules.other);
                }
                Formula::Names(name) | Formula::SomeName(name) => todo.push(name),
                _ => {}
            }
        }
        Ok(())
    }

    fn keywords(&mut self, formulas: &mut Formulas, node: NodeId) -> Result<F, SchemaError> {
        let pointer = self.pointer(node).to_owned();
        let document = self.value.clone();
        let members = match document.pointer(&pointer) {
            Some(Value::Bool(true)) => return Ok(ALWAYS),
            Some(Value::Bool(false)) => return Ok(NEVER),
            Some(Value::Object(members)) => members,
            _ => return Err(malformed("schema", &pointer, "to be an object, true or false")),
        };
        let schema = Schema { members, pointer };
        if self.draft <= Draft::Seven && members.contains_key("$ref") {
            return self.reference(formulas, &schema, "$ref");
        }
        let mut parts = vec![
            self.kinds(formulas, &schema)?,
            self.values(formulas, &schema)?,
            self.texts(formulas, &schema)?,
            self.numbers(formulas, &schema)?,
            self.items(formulas, &schema)?,
            self.properties(formulas, &schema)?,
            self.combined(formulas, &schema)?,
        ];
        for keyword in REFERENCES {
            if members.contains_key(keyword) {
                parts.push(self.reference(formulas, &schema, keyword)?);
            }
        }
        if self.draft >= Draft::Of2019 {
            parts.push(unevaluated::properties(self, formulas, &schema)?);
            parts.push(unevaluated::items(self, formulas, &schema)?);
        }
        Ok(formulas.all(parts))
    }

    /// The place that a reference leads to.
    pub(super) fn target(&self, schema: &Schema<'_>, keyword: &str) -> Result<String, SchemaError> {
        let reference = string(schema, keyword)?.unwrap_or_default().to_owned();
        let place = self.places.find(&self.value, identifier(self.draft), &schema.pointer, &reference)?;
        if keyword == "$dynamicRef" {
            let anchor = reference.rsplit('#').next().unwrap_or_default();
            if self.places.dynamic(anchor) > 1 {
                return Err(SchemaError::unsupported(
                    keyword,
                    "where several `$dynamicAnchor` have its name",
                ));
            }
        }
        if keyword == "$recursiveRef"
            && self.value.pointer("/$id").is_some()
            && has_several(&self.value, "$recursiveAnchor")
        {
            return Err(SchemaError::unsupported(keyword, "where several parts have `$recursiveAnchor`"));
        }
        Ok(place)
    }

    fn reference(
        &mut self,
        formulas: &mut Formulas,
        schema: &Schema<'_>,
        keyword: &str,
    ) -> Result<F, SchemaError> {
        let place = self.target(schema, keyword)?;
        self.check_chain(schema, keyword, &place)?;
        Ok(self.part(formulas, &place))
    }

    /// Follows a reference for as long as it leads to another one. Whatever else leads back to itself does so
    /// through a part, which is looked at when it is needed.
    fn check_chain(&self, from: &Schema<'_>, keyword: &str, place: &str) -> Result<(), SchemaError> {
        let (mut place, mut seen) = (place.to_owned(), vec![from.pointer.clone()]);
        for _ in 0..CHAIN {
            if seen.contains(&place) {
                return Err(SchemaError::Cycle(shortened(string(from, keyword)?.unwrap_or_default())));
            }
            let Some(Value::Object(members)) = self.value.pointer(&place) else { return Ok(()) };
            let Some(keyword) = REFERENCES.into_iter().find(|keyword| members.contains_key(*keyword)) else {
                return Ok(());
            };
            let schema = Schema { members, pointer: place };
            place = self.target(&schema, keyword)?;
            seen.push(schema.pointer);
        }
        Err(SchemaError::unsupported(keyword, format!("over more than {CHAIN} references in a row")))
    }

    /// The schema that a keyword holds.
    pub(super) fn member(
        &mut self,
        formulas: &mut Formulas,
        schema: &Schema<'_>,
        keyword: &str,
    ) -> Option<F> {
        schema.members.get(keyword)?;
        Some(self.part(formulas, &format!("{}/{keyword}", schema.pointer)))
    }

    pub(super) fn members(
        &mut self,
        formulas: &mut Formulas,
        schema: &Schema<'_>,
        keyword: &str,
    ) -> Result<Vec<(String, F)>, SchemaError> {
        match schema.members.get(keyword) {
            None => Ok(Vec::new()),
            Some(Value::Object(members)) => Ok(members
                .keys()
                .map(|key| {
                    let place = format!("{}/{keyword}/{}", schema.pointer, escaped(key));
                    (key.clone(), self.part(formulas, &place))
                })
                .collect()),
            Some(_) => Err(malformed(keyword, &schema.pointer, "an object of schemas")),
        }
    }
}

fn draft(document: &Value) -> Draft {
    let name = document.get("$schema").and_then(Value::as_str).unwrap_or_default();
    let named = |part: &str| name.contains(part);
    if named("draft-03") || named("draft-04") {
        Draft::Four
    } else if named("draft-06") || named("draft-07") {
        Draft::Seven
    } else if named("2019-09") {
        Draft::Of2019
    } else if named("2020-12") || !has_old_keywords(document) {
        Draft::Of2020
    } else {
        Draft::Seven
    }
}

/// Whether a document without a known `$schema` uses what only drafts up to 7 give a meaning.
fn has_old_keywords(document: &Value) -> bool {
    let mut todo = vec![document];
    while let Some(value) = todo.pop() {
        match value {
            Value::Object(members) => {
                if members.get("items").is_some_and(Value::is_array)
                    || members.get("dependencies").is_some_and(Value::is_object)
                    || members.contains_key("definitions")
                {
                    return true;
                }
                todo.extend(members.values());
            }
            Value::Array(items) => todo.extend(items),
            _ => {}
        }
    }
    false
}

fn has_several(document: &Value, keyword: &str) -> bool {
    let (mut todo, mut found) = (vec![document], 0);
    while let Some(value) = todo.pop() {
        match value {
            Value::Object(members) => {
                found += usize::from(members.get(keyword) == Some(&Value::Bool(true)));
                todo.extend(members.values());
            }
            Value::Array(items) => todo.extend(items),
            _ => {}
        }
    }
    found > 1
}

fn identifier(draft: Draft) -> &'static str {
    if draft <= Draft::Four { "id" } else { "$id" }
}

pub(super) fn malformed(keyword: &str, at: &str, needs: &'static str) -> SchemaError {
    SchemaError::Malformed { keyword: keyword.into(), at: shortened(&format!("#{at}")), needs }
}

pub(super) fn string<'a>(schema: &Schema<'a>, keyword: &str) -> Result<Option<&'a str>, SchemaError> {
    match schema.members.get(keyword) {
        None => Ok(None),
        Some(Value::String(text)) => Ok(Some(text)),
        Some(_) => Err(malformed(keyword, &schema.pointer, "a string")),
    }
}
