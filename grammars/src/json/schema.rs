//! A schema document, and what each of its keywords says.

use std::collections::{HashMap, HashSet};

use serde_json::{Map, Value};

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
    pub(super) value: Value,
    pub(super) draft: Draft,
    pub(super) assert_formats: bool,
    places: Places,
    pointers: Vec<String>,
    nodes: HashMap<String, NodeId>,
    expanded: HashMap<(NodeId, bool), F>,
    pub(super) narrowed: HashMap<(F, Kind), F>,
    /// Nodes whose formula is being made.
    open: Vec<NodeId>,
}

/// Longest chain of references.
pub(super) const CHAIN: usize = 128;

/// A schema as an object, with where it is.
pub(super) struct Schema<'a> {
    pub(super) members: &'a Map<String, Value>,
    pub(super) pointer: String,
}

impl Document {
    pub(super) fn new(text: &str, assert_formats: bool) -> Result<Self, SchemaError> {
        let value: Value =
            serde_json::from_str(text).map_err(|error| SchemaError::Syntax(error.to_string()))?;
        Ok(Self::of(value, assert_formats))
    }

    /// The same document, of which nothing has been looked up.
    pub(super) fn afresh(&self) -> Self {
        Self::of(self.value.clone(), self.assert_formats)
    }

    fn of(value: Value, assert_formats: bool) -> Self {
        let draft = draft(&value);
        let places = Places::of(&value, identifier(draft));
        Self {
            value,
            draft,
            assert_formats,
            places,
            pointers: Vec::new(),
            nodes: HashMap::new(),
            expanded: HashMap::new(),
            narrowed: HashMap::new(),
            open: Vec::new(),
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
        let value = self.value.pointer(&pointer).cloned().unwrap_or(Value::Null);
        let members = match &value {
            Value::Bool(true) => return Ok(ALWAYS),
            Value::Bool(false) => return Ok(NEVER),
            Value::Object(members) => members,
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
        for keyword in ["$ref", "$dynamicRef", "$recursiveRef"] {
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
    pub(super) fn target(&mut self, schema: &Schema<'_>, keyword: &str) -> Result<String, SchemaError> {
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
        let from = self.node(&schema.pointer);
        let target = self.node(&place);
        // Only a chain of references is followed here: whatever else leads back to itself does so
        // through a part, which is looked at when it is needed.
        if from == target || self.open.contains(&target) {
            return Err(SchemaError::Cycle(string(schema, keyword)?.unwrap_or_default().to_owned()));
        }
        if self.open.len() >= CHAIN {
            return Err(SchemaError::unsupported(
                keyword,
                format!("over more than {CHAIN} references in a row"),
            ));
        }
        self.open.push(from);
        let result = self.expand(formulas, target, true);
        self.open.pop();
        result
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
    SchemaError::Malformed { keyword: keyword.into(), at: format!("#{at}"), needs }
}

pub(super) fn string<'a>(schema: &Schema<'a>, keyword: &str) -> Result<Option<&'a str>, SchemaError> {
    match schema.members.get(keyword) {
        None => Ok(None),
        Some(Value::String(text)) => Ok(Some(text)),
        Some(_) => Err(malformed(keyword, &schema.pointer, "a string")),
    }
}
