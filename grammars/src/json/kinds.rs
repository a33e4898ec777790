//! What a formula says of values of one kind.

use super::SchemaError;
use super::formula::{ALWAYS, F, Formula, Formulas, Kind, NEVER};
use super::schema::{Document, NodeId};

/// How deep formulas are narrowed, one within another: it is done by recursion, on a stack that may be small.
const NESTED: usize = 256;

impl Document {
    /// What is left of a formula for values of one kind, schemas looked up: a formula of nothing but
    /// statements about that kind, or [`ALWAYS`] or [`NEVER`].
    ///
    /// A schema that says something of a value only by way of saying it again is never satisfied.
    pub(super) fn of_kind(
        &mut self,
        formulas: &mut Formulas,
        formula: F,
        kind: Kind,
    ) -> Result<F, SchemaError> {
        let mut open = Vec::new();
        self.narrow(formulas, formula, kind, &mut open)
    }

    fn narrow(
        &mut self,
        formulas: &mut Formulas,
        formula: F,
        kind: Kind,
        open: &mut Vec<(NodeId, bool)>,
    ) -> Result<F, SchemaError> {
        if self.narrowing >= NESTED {
            return Err(SchemaError::TooDeep);
        }
        self.narrowing += 1;
        let narrow = self.narrow_one(formulas, formula, kind, open);
        self.narrowing -= 1;
        formulas.shallow(narrow?)
    }

    fn narrow_one(
        &mut self,
        formulas: &mut Formulas,
        formula: F,
        kind: Kind,
        open: &mut Vec<(NodeId, bool)>,
    ) -> Result<F, SchemaError> {
        if let Some(known) = self.narrowed.get(&(formula, kind)) {
            return Ok(*known);
        }
        let mentions = match formulas.get(formula) {
            Formula::Always | Formula::Never => return Ok(formula),
            Formula::Kinds(kinds) => return Ok(if kinds.contains(kind) { ALWAYS } else { NEVER }),
            Formula::Schema(node, positive) => {
                let place = (*node, *positive);
                if open.contains(&place) {
                    return Ok(NEVER);
                }
                open.push(place);
                let said = self.expand(formulas, place.0, place.1)?;
                let narrow = self.narrow(formulas, said, kind, open);
                open.pop();
                let narrow = narrow?;
                // Within an open schema the answer may rest on its being open.
                if open.is_empty() {
                    self.narrowed.insert((formula, kind), narrow);
                }
                return Ok(narrow);
            }
            Formula::All(parts) => {
                let parts = parts.clone();
                let mut narrow = Vec::with_capacity(parts.len());
                for part in parts {
                    match self.narrow(formulas, part, kind, open)? {
                        NEVER => return Ok(NEVER),
                        part => narrow.push(part),
                    }
                }
                return Ok(formulas.all(narrow));
            }
            Formula::Any(parts) => {
                let parts = parts.clone();
                let mut narrow = Vec::with_capacity(parts.len());
                for part in parts {
                    match self.narrow(formulas, part, kind, open)? {
                        ALWAYS => return Ok(ALWAYS),
                        part => narrow.push(part),
                    }
                }
                return Ok(formulas.any(narrow));
            }
            Formula::Text(..) => Kind::Text,
            Formula::Number(..) => Kind::Number,
            Formula::Items(..)
            | Formula::SomeItem(..)
            | Formula::MinItems(_)
            | Formula::MaxItems(_)
            | Formula::Contains(..)
            | Formula::UniqueItems => Kind::Array,
            Formula::Properties(_)
            | Formula::SomeProperty(_)
            | Formula::Required(_)
            | Formula::Forbidden(_)
            | Formula::MinProperties(_)
            | Formula::MaxProperties(_)
            | Formula::Names(_)
            | Formula::SomeName(_) => Kind::Object,
        };
        Ok(if mentions == kind { formula } else { ALWAYS })
    }
}
