//! Schemas that no value satisfies both of, as far as a look at them tells.
//!
//! `oneOf` needs the negation of every option but one. Where options exclude each other anyway,
//! by kind, by a property that tells them apart, or by closed sets of keys, nothing is negated.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use super::SchemaError;
use super::formula::{F, Formula, Formulas, KINDS, Kind, NEVER, Rules};
use super::scalar::{Decimal, NumberTest, TextTest};
use super::schema::Document;

/// How deep properties of properties are looked at.
const DEPTH: usize = 3;

pub(super) fn are_disjoint(
    document: &mut Document,
    formulas: &mut Formulas,
    a: F,
    b: F,
) -> Result<bool, SchemaError> {
    disjoint_within(document, formulas, a, b, DEPTH)
}

/// Whether each option is a list of scalars, of which no two options have one in common: then no pairs need
/// be looked at.
pub(super) fn are_different_values(
    document: &mut Document,
    formulas: &mut Formulas,
    options: &[F],
) -> Result<bool, SchemaError> {
    document.looking += 1;
    let found = different_values(document, formulas, options);
    document.looking -= 1;
    found
}

fn different_values(
    document: &mut Document,
    formulas: &mut Formulas,
    options: &[F],
) -> Result<bool, SchemaError> {
    let mut kinds = Vec::new();
    let (mut texts, mut numbers) = (HashSet::new(), HashSet::new());
    for option in options {
        let mut own = Vec::new();
        for kind in KINDS {
            let said = document.of_kind(formulas, *option, kind)?;
            match kind {
                _ if said == NEVER => {}
                Kind::Text => match listed(formulas, said, text) {
                    Some(listed) => own.extend(listed),
                    None => return Ok(false),
                },
                Kind::Number => match listed(formulas, said, number) {
                    Some(listed) if listed.iter().all(|one| !numbers.contains(one)) => numbers.extend(listed),
                    _ => return Ok(false),
                },
                Kind::Null | Kind::True | Kind::False if !kinds.contains(&kind) => kinds.push(kind),
                _ => return Ok(false),
            }
        }
        if own.iter().any(|one| texts.contains(one)) {
            return Ok(false);
        }
        texts.extend(own);
    }
    Ok(true)
}

fn disjoint_within(
    document: &mut Document,
    formulas: &mut Formulas,
    a: F,
    b: F,
    depth: usize,
) -> Result<bool, SchemaError> {
    for kind in KINDS {
        let a = document.of_kind(formulas, a, kind)?;
        let b = document.of_kind(formulas, b, kind)?;
        if a == NEVER || b == NEVER {
            continue;
        }
        let apart = match kind {
            Kind::Text => apart(listed(formulas, a, text), listed(formulas, b, text)),
            Kind::Number => {
                apart(listed(formulas, a, number), listed(formulas, b, number))
                    || numbers_apart(formulas, a, b)
            }
            Kind::Object => depth > 0 && objects(document, formulas, a, b, depth)?,
            _ => false,
        };
        if !apart {
            return Ok(false);
        }
    }
    Ok(true)
}

fn apart<T: PartialEq>(a: Option<Vec<T>>, b: Option<Vec<T>>) -> bool {
    matches!((a, b), (Some(a), Some(b)) if !a.iter().any(|one| b.contains(one)))
}

/// The only values that a formula allows, if they are listed. `value` gives that of an equation.
fn listed<T>(formulas: &Formulas, formula: F, value: fn(&Formula) -> Option<T>) -> Option<Vec<T>> {
    match formulas.get(formula) {
        Formula::All(parts) => parts.iter().find_map(|part| listed(formulas, *part, value)),
        Formula::Any(parts) => {
            let each = parts.iter().map(|part| listed(formulas, *part, value)).collect::<Option<Vec<_>>>()?;
            Some(each.into_iter().flatten().collect())
        }
        equation => value(equation).map(|value| vec![value]),
    }
}

fn text(formula: &Formula) -> Option<String> {
    match formula {
        Formula::Text(TextTest::Equals(text), true) => Some(text.clone()),
        _ => None,
    }
}

fn number(formula: &Formula) -> Option<Decimal> {
    match formula {
        Formula::Number(NumberTest::Equals(number), true) => Some(number.clone()),
        _ => None,
    }
}

/// A bound, and whether it is itself allowed.
type Bound = (Decimal, bool);

/// Whether one formula's numbers all lie below the other's.
fn numbers_apart(formulas: &Formulas, a: F, b: F) -> bool {
    let bounds = |formula: F| {
        let (mut low, mut high): (Option<Bound>, Option<Bound>) = (None, None);
        for part in formulas.parts(formula) {
            match formulas.get(part) {
                Formula::Number(NumberTest::Minimum(bound), true) => low = Some((bound.clone(), true)),
                Formula::Number(NumberTest::ExclusiveMinimum(bound), true) => {
                    low = Some((bound.clone(), false))
                }
                Formula::Number(NumberTest::Maximum(bound), true) => high = Some((bound.clone(), true)),
                Formula::Number(NumberTest::ExclusiveMaximum(bound), true) => {
                    high = Some((bound.clone(), false))
                }
                _ => {}
            }
        }
        (low, high)
    };
    let below = |high: &Option<Bound>, low: &Option<Bound>| match (high, low) {
        (Some((high, high_in)), Some((low, low_in))) => high < low || high == low && !(*high_in && *low_in),
        _ => false,
    };
    let ((low_a, high_a), (low_b, high_b)) = (bounds(a), bounds(b));
    below(&high_a, &low_b) || below(&high_b, &low_a)
}

fn objects(
    document: &mut Document,
    formulas: &mut Formulas,
    a: F,
    b: F,
    depth: usize,
) -> Result<bool, SchemaError> {
    let (a, b) = (Facts::of(formulas, a), Facts::of(formulas, b));
    if a.closed_to(&b) || b.closed_to(&a) {
        return Ok(true);
    }
    let mut keys: Vec<&Arc<str>> = a.required.iter().chain(&b.required).collect();
    keys.sort_unstable();
    keys.dedup();
    for key in keys {
        if let (Some(in_a), Some(in_b)) = (a.named.get(key), b.named.get(key))
            && disjoint_within(document, formulas, *in_a, *in_b, depth - 1)?
        {
            return Ok(true);
        }
    }
    Ok(false)
}

/// What a conjunction says of an object without further thought.
struct Facts {
    required: Vec<Arc<str>>,
    forbidden: Vec<Arc<str>>,
    named: BTreeMap<Arc<str>, F>,
    closed: Vec<Arc<Rules>>,
}

impl Facts {
    fn of(formulas: &mut Formulas, formula: F) -> Self {
        let mut facts =
            Self { required: Vec::new(), forbidden: Vec::new(), named: BTreeMap::new(), closed: Vec::new() };
        for part in formulas.parts(formula) {
            match formulas.get(part).clone() {
                Formula::Required(key) => facts.required.push(key),
                Formula::Forbidden(key) => facts.forbidden.push(key),
                Formula::Properties(rules) => {
                    for (key, one) in &rules.named {
                        let both = facts.named.get(key).copied().unwrap_or(super::formula::ALWAYS);
                        facts.named.insert(key.clone(), formulas.all([both, *one]));
                    }
                    if rules.other == NEVER && rules.patterns.is_empty() {
                        facts.closed.push(rules);
                    }
                }
                _ => {}
            }
        }
        facts
    }

    /// Whether the other needs a key that this does not let be.
    fn closed_to(&self, other: &Self) -> bool {
        other.required.iter().any(|key| {
            self.forbidden.contains(key)
                || self.named.get(key) == Some(&NEVER)
                || self.closed.iter().any(|rules| !rules.named.contains_key(key))
        })
    }
}
