//! Whether all variables can be used, as every declared one has to be.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::allowed::BLOCKS;
use super::frame::{Document, Frame, Path, Pending};
use super::hosts::{Distance, FAR};
use super::schema::{Argument, Position, TypeId, TypeRef};
use super::{Graphql, OperationKind};
use crate::lexeme::Outcomes;

/// Variables at most: unused ones are bits of a word.
const VARIABLES: usize = 24;

impl Graphql {
    /// Types of variables.
    pub(super) fn declarable(&mut self, document: &Document) -> Arc<Vec<TypeRef>> {
        let root = self.root(document);
        self.hosts.declarable(&self.schema, root)
    }

    /// Those of which one more can be used. What can be used once can be used again under an
    /// alias, but for the only field of a subscription.
    pub(super) fn declarable_now(&mut self, document: &Document) -> Outcomes {
        let kinds = self.declarable(document);
        if document.kind != OperationKind::Subscription {
            return Outcomes::all(kinds.len() as u32);
        }
        let mut allowed = Outcomes::none(kinds.len() as u32);
        for (index, kind) in kinds.iter().enumerate() {
            let more = document.declaring("".into(), *kind).with_default(true);
            if self.can_use_all(&more, &Path::EMPTY, None) {
                allowed.insert(index as u32);
            }
        }
        allowed
    }

    pub(super) fn may_declare(&mut self, document: &Document) -> bool {
        if document.variables.len() >= VARIABLES {
            return false;
        }
        self.declarable_now(document).iter().next().is_some()
    }

    /// Whether the variable declared last can be used only if it has a default that is not null.
    pub(super) fn needs_default(&mut self, document: &Document) -> bool {
        !self.can_use_all(document, &Path::EMPTY, None)
    }

    /// Variables, by index, that a position takes.
    pub(super) fn usable(&mut self, frame: &Frame, position: Position) -> Vec<u32> {
        let variables = frame.document.variables.clone();
        let takes = variables
            .iter()
            .enumerate()
            .filter(|(_, variable)| position.takes(variable.kind, variable.has_default));
        let takes: Vec<u32> = takes.map(|(index, _)| index as u32).collect();
        takes.into_iter().filter(|index| self.may_use(frame, *index)).collect()
    }

    /// At the root of a subscription the arguments that are left must do for the variables that
    /// are left.
    pub(super) fn may_use(&mut self, frame: &Frame, variable: u32) -> bool {
        let Some((kind, field, given)) = frame.subscription_argument() else { return true };
        let mut document = frame.document.clone();
        document.unused &= !(1 << variable);
        self.can_use_all(&document, &frame.path.below(), Some((kind, field, Some(&given))))
    }

    pub(super) fn may_be_literal(&mut self, frame: &Frame) -> bool {
        let Some((kind, field, given)) = frame.subscription_argument() else { return true };
        self.can_use_all(&frame.document, &frame.path.below(), Some((kind, field, Some(&given))))
    }

    /// Whether some fragment that is still to be defined can use all variables.
    pub(super) fn can_use_later(&mut self, document: &Document) -> bool {
        let pending: Vec<Pending> = document.pending().map(|(_, pending)| pending.clone()).collect();
        pending.iter().any(|pending| {
            let types = self.common(&pending.parents);
            types.iter().any(|kind| self.can_use_within(document, *kind, pending.depth))
        })
    }

    /// Whether all variables that are left can be used in a selection set of a type.
    pub(super) fn can_use_within(&mut self, document: &Document, kind: TypeId, depth: u32) -> bool {
        document
            .unused()
            .all(|variable| is_within(self.hosts.table(&self.schema, variable).of_type(kind), depth))
    }

    /// Whether all variables can still be used, seen from a path; at the root of a subscription
    /// with the field that is being read and what of its arguments is given (`None`: they are
    /// closed).
    pub(super) fn can_use_all(
        &mut self,
        document: &Document,
        path: &Path,
        field: Option<(TypeId, u16, Option<&BTreeSet<u16>>)>,
    ) -> bool {
        if document.unused == 0 {
            return true;
        }
        let root = self.root(document);
        if let Some((kind, depth)) = path.fragment() {
            return self.can_use_within(document, kind, depth) || self.can_use_later(document);
        }
        if document.kind != OperationKind::Subscription {
            return self.can_use_within(document, root, 1);
        }
        let schema = self.schema.clone();
        match field {
            Some((kind, field, given)) => self.can_use_in_field(document, kind, field, given),
            None => (0..schema.fields(root).len() as u16 - 1)
                .any(|field| self.can_use_in_field(document, root, field, Some(&BTreeSet::new()))),
        }
    }

    /// Whether the only field of a subscription has places for all variables: within its
    /// selections are as many as wanted, of its arguments each takes one.
    pub(super) fn can_use_in_field(
        &mut self,
        document: &Document,
        kind: TypeId,
        field: u16,
        given: Option<&BTreeSet<u16>>,
    ) -> bool {
        let schema = self.schema.clone();
        let field = &schema.fields(kind)[usize::from(field)];
        let mut rest = Vec::new();
        for variable in document.unused() {
            if self.hosts.table(&schema, variable).of_type(field.kind.name) == FAR {
                rest.push(variable);
            }
        }
        let open = |index: &usize| given.is_some_and(|given| !given.contains(&(*index as u16)));
        let open: Vec<&Argument> = field
            .arguments
            .iter()
            .enumerate()
            .filter(|(index, _)| open(index))
            .map(|(_, argument)| argument)
            .collect();
        let mut taken: Vec<Option<usize>> = vec![None; open.len()];
        (0..rest.len()).all(|variable| {
            let takes = |variable: usize, argument: usize| {
                open[argument].position.takes(rest[variable].kind, rest[variable].has_default)
            };
            place(variable, &takes, &mut taken, &mut vec![false; open.len()])
        })
    }
}

/// Whether a place is within reach of a selection set at some depth: one level more is for the
/// selections of the field that has the place.
pub(super) fn is_within(distance: Distance, depth: u32) -> bool {
    distance != FAR && depth + u32::from(distance) < BLOCKS
}

/// Finds an argument for a variable, moving others where needed (augmenting paths).
fn place(
    variable: usize,
    takes: &impl Fn(usize, usize) -> bool,
    taken: &mut [Option<usize>],
    tried: &mut [bool],
) -> bool {
    for argument in 0..taken.len() {
        if tried[argument] || !takes(variable, argument) {
            continue;
        }
        tried[argument] = true;
        if taken[argument].is_none_or(|other| place(other, takes, taken, tried)) {
            taken[argument] = Some(variable);
            return true;
        }
    }
    false
}
