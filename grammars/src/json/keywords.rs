//! What each keyword of a schema says.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::Value;

use super::SchemaError;
use super::disjoint::{are_different_values, are_disjoint};
use super::formula::{ALWAYS, F, Formula, Formulas, Kind, NEVER, Rules};
use super::reference::escaped;
use super::scalar::{Decimal, NumberTest, TextTest};
use super::schema::{Document, Draft, Schema, malformed, string};

impl Document {
    pub(super) fn kinds(&self, formulas: &mut Formulas, schema: &Schema<'_>) -> Result<F, SchemaError> {
        let names: Vec<&str> = match schema.members.get("type") {
            None => return Ok(ALWAYS),
            Some(Value::String(name)) => vec![name],
            Some(Value::Array(names)) if names.iter().all(Value::is_string) => {
                names.iter().filter_map(Value::as_str).collect()
            }
            Some(_) => return Err(malformed("type", &schema.pointer, "a name or a list of names")),
        };
        let mut options = Vec::new();
        for name in names {
            options.push(match name {
                "null" => formulas.kinds(&[Kind::Null]),
                "boolean" => formulas.kinds(&[Kind::True, Kind::False]),
                "number" => formulas.kinds(&[Kind::Number]),
                "string" => formulas.kinds(&[Kind::Text]),
                "array" => formulas.kinds(&[Kind::Array]),
                "object" => formulas.kinds(&[Kind::Object]),
                "integer" => {
                    let number = formulas.kinds(&[Kind::Number]);
                    let test = match self.draft {
                        Draft::Four => NumberTest::IntegerLiteral,
                        _ => NumberTest::Integer,
                    };
                    let integer = formulas.add(Formula::Number(test, true));
                    formulas.all([number, integer])
                }
                "any" if self.draft <= Draft::Four => ALWAYS,
                _ => return Err(malformed("type", &schema.pointer, "the name of a type of JSON")),
            });
        }
        Ok(formulas.any(options))
    }

    pub(super) fn values(&self, formulas: &mut Formulas, schema: &Schema<'_>) -> Result<F, SchemaError> {
        let mut parts = Vec::new();
        let compared = ["enum", "const"].into_iter().filter_map(|keyword| schema.members.get(keyword));
        if exceeds(compared.collect(), VALUES) {
            return Err(SchemaError::TooLarge { what: "values in one `enum` or `const`", limit: VALUES });
        }
        match schema.members.get("enum") {
            None => {}
            Some(Value::Array(values)) => {
                let options: Vec<F> = values.iter().map(|value| equal_to(formulas, value)).collect();
                parts.push(formulas.any(options));
            }
            Some(_) => return Err(malformed("enum", &schema.pointer, "a list")),
        }
        if let Some(value) = schema.members.get("const").filter(|_| self.draft > Draft::Four) {
            parts.push(equal_to(formulas, value));
        }
        Ok(formulas.all(parts))
    }

    pub(super) fn texts(&self, formulas: &mut Formulas, schema: &Schema<'_>) -> Result<F, SchemaError> {
        let mut tests = Vec::new();
        if let Some(count) = count(schema, "minLength")? {
            tests.push(TextTest::MinLength(count));
        }
        if let Some(count) = count(schema, "maxLength")? {
            tests.push(TextTest::MaxLength(count));
        }
        if let Some(pattern) = string(schema, "pattern")? {
            tests.push(TextTest::Pattern(pattern.to_owned()));
        }
        if let Some(format) =
            schema.members.get("format").and_then(Value::as_str).filter(|_| self.assert_formats)
        {
            tests.push(TextTest::Format(format.to_owned()));
        }
        let tests: Vec<F> = tests.into_iter().map(|test| formulas.add(Formula::Text(test, true))).collect();
        Ok(formulas.all(tests))
    }

    pub(super) fn numbers(&self, formulas: &mut Formulas, schema: &Schema<'_>) -> Result<F, SchemaError> {
        let mut tests = Vec::new();
        let flag = |keyword: &str| schema.members.get(keyword) == Some(&Value::Bool(true));
        if let Some(bound) = number(schema, "minimum")? {
            let exclusive = self.draft <= Draft::Four && flag("exclusiveMinimum");
            tests.push(if exclusive {
                NumberTest::ExclusiveMinimum(bound)
            } else {
                NumberTest::Minimum(bound)
            });
        }
        if let Some(bound) = number(schema, "maximum")? {
            let exclusive = self.draft <= Draft::Four && flag("exclusiveMaximum");
            tests.push(if exclusive {
                NumberTest::ExclusiveMaximum(bound)
            } else {
                NumberTest::Maximum(bound)
            });
        }
        if self.draft > Draft::Four {
            tests.extend(number(schema, "exclusiveMinimum")?.map(NumberTest::ExclusiveMinimum));
            tests.extend(number(schema, "exclusiveMaximum")?.map(NumberTest::ExclusiveMaximum));
        }
        tests.extend(number(schema, "multipleOf")?.map(NumberTest::MultipleOf));
        let tests: Vec<F> = tests.into_iter().map(|test| formulas.add(Formula::Number(test, true))).collect();
        Ok(formulas.all(tests))
    }

    pub(super) fn items(&mut self, formulas: &mut Formulas, schema: &Schema<'_>) -> Result<F, SchemaError> {
        let mut parts = Vec::new();
        let (first, rest) = match self.draft {
            Draft::Of2020 => ("prefixItems", "items"),
            _ if schema.members.get("items").is_some_and(Value::is_array) => ("items", "additionalItems"),
            _ => ("", "items"),
        };
        let firsts: Arc<[F]> = match schema.members.get(first) {
            Some(Value::Array(schemas)) => (0..schemas.len())
                .map(|index| self.part(formulas, &format!("{}/{first}/{index}", schema.pointer)))
                .collect(),
            Some(_) => return Err(malformed(first, &schema.pointer, "a list of schemas")),
            None => Arc::new([]),
        };
        let rest = self.member(formulas, schema, rest).unwrap_or(ALWAYS);
        parts.push(formulas.add(Formula::Items(firsts, rest)));
        if let Some(count) = count(schema, "minItems")? {
            parts.push(formulas.add(Formula::MinItems(count)));
        }
        if let Some(count) = count(schema, "maxItems")? {
            parts.push(formulas.add(Formula::MaxItems(count)));
        }
        if schema.members.get("uniqueItems") == Some(&Value::Bool(true)) {
            parts.push(formulas.add(Formula::UniqueItems));
        }
        if let Some(item) = self.member(formulas, schema, "contains").filter(|_| self.draft > Draft::Four) {
            let of = |keyword| if self.draft >= Draft::Of2019 { count(schema, keyword) } else { Ok(None) };
            let (fewest, most) = (of("minContains")?.unwrap_or(1), of("maxContains")?.unwrap_or(u64::MAX));
            parts.push(formulas.add(Formula::Contains(item, fewest, most)));
        }
        Ok(formulas.all(parts))
    }

    pub(super) fn properties(
        &mut self,
        formulas: &mut Formulas,
        schema: &Schema<'_>,
    ) -> Result<F, SchemaError> {
        let mut parts = Vec::new();
        let named: BTreeMap<Arc<str>, F> = self
            .members(formulas, schema, "properties")?
            .into_iter()
            .map(|(key, one)| (key.into(), one))
            .collect();
        let patterns: Vec<(Arc<str>, F)> = self
            .members(formulas, schema, "patternProperties")?
            .into_iter()
            .map(|(key, one)| (key.into(), one))
            .collect();
        let other = self.member(formulas, schema, "additionalProperties").unwrap_or(ALWAYS);
        parts.push(formulas.add(Formula::Properties(Arc::new(Rules { named, patterns, other }))));
        match schema.members.get("required") {
            Some(Value::Array(keys)) if keys.iter().all(Value::is_string) => {
                for key in keys.iter().filter_map(Value::as_str) {
                    parts.push(formulas.add(Formula::Required(key.into())));
                }
            }
            // Old documents have `required: true` in a property; it says nothing since draft 4.
            Some(Value::Bool(_)) | None => {}
            Some(_) => return Err(malformed("required", &schema.pointer, "a list of names")),
        }
        if let Some(count) = count(schema, "minProperties")? {
            parts.push(formulas.add(Formula::MinProperties(count)));
        }
        if let Some(count) = count(schema, "maxProperties")? {
            parts.push(formulas.add(Formula::MaxProperties(count)));
        }
        if let Some(names) =
            self.member(formulas, schema, "propertyNames").filter(|_| self.draft > Draft::Four)
        {
            parts.push(formulas.add(Formula::Names(names)));
        }
        parts.push(self.dependencies(formulas, schema)?);
        Ok(formulas.all(parts))
    }

    fn dependencies(&mut self, formulas: &mut Formulas, schema: &Schema<'_>) -> Result<F, SchemaError> {
        let keywords: &[&str] = match self.draft {
            Draft::Four | Draft::Seven => &["dependencies"],
            _ => &["dependentRequired", "dependentSchemas"],
        };
        let mut parts = Vec::new();
        for keyword in keywords {
            let Some(value) = schema.members.get(*keyword) else { continue };
            let Value::Object(members) = value else {
                return Err(malformed(keyword, &schema.pointer, "an object"));
            };
            for (key, dependency) in members {
                let then = match dependency {
                    Value::Array(keys) => {
                        let keys: Vec<F> = keys
                            .iter()
                            .filter_map(Value::as_str)
                            .map(|key| formulas.add(Formula::Required(key.into())))
                            .collect();
                        formulas.all(keys)
                    }
                    _ => self.part(formulas, &format!("{}/{keyword}/{}", schema.pointer, escaped(key))),
                };
                let absent = formulas.add(Formula::Forbidden(key.as_str().into()));
                parts.push(formulas.any([absent, then]));
            }
        }
        Ok(formulas.all(parts))
    }

    pub(super) fn combined(
        &mut self,
        formulas: &mut Formulas,
        schema: &Schema<'_>,
    ) -> Result<F, SchemaError> {
        let mut parts = Vec::new();
        let list = |document: &mut Self, formulas: &mut Formulas, keyword: &str| match schema
            .members
            .get(keyword)
        {
            None => Ok(None),
            Some(Value::Array(schemas)) if schemas.len() > OPTIONS => {
                Err(SchemaError::TooLarge { what: "options of one keyword", limit: OPTIONS })
            }
            Some(Value::Array(schemas)) => Ok(Some(
                (0..schemas.len())
                    .map(|index| document.part(formulas, &format!("{}/{keyword}/{index}", schema.pointer)))
                    .collect::<Vec<F>>(),
            )),
            Some(_) => Err(malformed(keyword, &schema.pointer, "a list of schemas")),
        };
        if let Some(all) = list(self, formulas, "allOf")? {
            parts.push(formulas.all(all));
        }
        if let Some(any) = list(self, formulas, "anyOf")? {
            parts.push(formulas.any(any));
        }
        if let Some(one) = list(self, formulas, "oneOf")? {
            parts.push(self.exactly_one(formulas, &one)?);
        }
        if let Some(not) = self.member(formulas, schema, "not") {
            parts.push(formulas.not(not)?);
        }
        if let Some(condition) = self.member(formulas, schema, "if").filter(|_| self.draft >= Draft::Seven) {
            let then = self.member(formulas, schema, "then").unwrap_or(ALWAYS);
            let otherwise = self.member(formulas, schema, "else").unwrap_or(ALWAYS);
            if (then, otherwise) != (ALWAYS, ALWAYS) {
                let unmet = formulas.not(condition)?;
                let met = formulas.all([condition, then]);
                let unmet = formulas.all([unmet, otherwise]);
                parts.push(formulas.any([met, unmet]));
            }
        }
        Ok(formulas.all(parts))
    }

    fn exactly_one(&mut self, formulas: &mut Formulas, options: &[F]) -> Result<F, SchemaError> {
        if self.looking < LOOKS && are_different_values(self, formulas, options)? {
            return Ok(formulas.any(options.iter().copied()));
        }
        self.pairs += options.len() * options.len() / 2;
        if self.pairs > PAIRS {
            return Err(SchemaError::TooLarge { what: "pairs of options of `oneOf`", limit: PAIRS });
        }
        let mut ways = Vec::new();
        for (index, option) in options.iter().enumerate() {
            let mut parts = vec![*option];
            for (other_index, other) in options.iter().enumerate() {
                if index != other_index && !self.exclude_each_other(formulas, *option, *other)? {
                    parts.push(formulas.not(*other)?);
                }
            }
            ways.push(formulas.all(parts));
        }
        Ok(formulas.any(ways))
    }

    fn exclude_each_other(&mut self, formulas: &mut Formulas, a: F, b: F) -> Result<bool, SchemaError> {
        if self.looking == LOOKS {
            return Ok(false);
        }
        self.looking += 1;
        let disjoint = are_disjoint(self, formulas, a, b);
        self.looking -= 1;
        disjoint
    }
}

/// How many `oneOf` within each other are looked at for options that exclude each other: further ones are
/// taken to have none, which costs negations.
const LOOKS: usize = 4;

/// Most schemas in one `allOf`, `anyOf` or `oneOf`.
const OPTIONS: usize = 5_000;

/// Pairs of options of all `oneOf` of a schema that are looked at.
const PAIRS: usize = 100_000;

/// Most values that one keyword compares with, those within others counted.
const VALUES: usize = 65_536;

/// Whether there are more values, those within others counted.
fn exceeds(mut todo: Vec<&Value>, most: usize) -> bool {
    let mut count = 0;
    while let Some(value) = todo.pop() {
        if count > most {
            break;
        }
        count += 1;
        match value {
            Value::Array(items) => todo.extend(items),
            Value::Object(members) => todo.extend(members.values()),
            _ => {}
        }
    }
    count > most
}

/// A value, and no other.
pub(super) fn equal_to(formulas: &mut Formulas, value: &Value) -> F {
    match value {
        Value::Null => formulas.kinds(&[Kind::Null]),
        Value::Bool(true) => formulas.kinds(&[Kind::True]),
        Value::Bool(false) => formulas.kinds(&[Kind::False]),
        Value::Number(number) => {
            let Some(number) = Decimal::parse(&number.to_string()) else { return NEVER };
            let kind = formulas.kinds(&[Kind::Number]);
            let same = formulas.add(Formula::Number(NumberTest::Equals(number), true));
            formulas.all([kind, same])
        }
        Value::String(text) => {
            let kind = formulas.kinds(&[Kind::Text]);
            let same = formulas.add(Formula::Text(TextTest::Equals(text.clone()), true));
            formulas.all([kind, same])
        }
        Value::Array(items) => {
            let kind = formulas.kinds(&[Kind::Array]);
            let count = items.len() as u64;
            let items: Arc<[F]> = items.iter().map(|item| equal_to(formulas, item)).collect();
            let parts = [Formula::Items(items, NEVER), Formula::MinItems(count), Formula::MaxItems(count)];
            let parts: Vec<F> = parts.into_iter().map(|part| formulas.add(part)).collect();
            formulas.all(parts.into_iter().chain([kind]))
        }
        Value::Object(members) => {
            let mut parts = vec![formulas.kinds(&[Kind::Object])];
            let named = members.iter().map(|(key, value)| (key.as_str().into(), equal_to(formulas, value)));
            let named: BTreeMap<Arc<str>, F> = named.collect();
            for key in named.keys() {
                parts.push(formulas.add(Formula::Required(key.clone())));
            }
            let rules = Rules { named, patterns: Vec::new(), other: NEVER };
            parts.push(formulas.add(Formula::Properties(Arc::new(rules))));
            formulas.all(parts)
        }
    }
}

fn count(schema: &Schema<'_>, keyword: &str) -> Result<Option<u64>, SchemaError> {
    let Some(value) = schema.members.get(keyword) else { return Ok(None) };
    let whole = |value: f64| (value >= 0.0 && value.fract() == 0.0 && value < 1e15).then_some(value as u64);
    match value.as_u64().or_else(|| value.as_f64().and_then(whole)) {
        Some(count) => Ok(Some(count)),
        None => Err(malformed(keyword, &schema.pointer, "a whole number that is not negative")),
    }
}

fn number(schema: &Schema<'_>, keyword: &str) -> Result<Option<Decimal>, SchemaError> {
    match schema.members.get(keyword) {
        None => Ok(None),
        Some(Value::Number(number)) => match Decimal::parse(&number.to_string()) {
            Some(number) => Ok(Some(number)),
            None => Err(malformed(keyword, &schema.pointer, "a number within reason")),
        },
        Some(_) => Err(malformed(keyword, &schema.pointer, "a number")),
    }
}
