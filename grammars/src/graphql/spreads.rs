//! Which fragments fit where: their types, and those that may be spread.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::Graphql;
use super::frame::{Due, Fragment, Frame, Level};
use super::schema::TypeId;
use crate::lexeme::{Lexeme, Outcomes};

/// Sets of parents of which it is known what they have in common.
const COMMON: usize = 4096;

impl Graphql {
    /// Composite types that overlap with all of some.
    pub(super) fn common(&mut self, parents: &BTreeSet<TypeId>) -> Arc<Vec<TypeId>> {
        if let Some(known) = self.common.get(parents) {
            return known.clone();
        }
        let kinds = (0..self.schema.types.len() as TypeId).filter(|kind| self.schema.is_composite(*kind));
        let fits = |kind: &TypeId| parents.iter().all(|parent| self.schema.overlap(*kind, *parent));
        let found = Arc::new(kinds.filter(fits).collect::<Vec<_>>());
        if self.common.len() >= COMMON {
            self.common.clear();
        }
        self.common.insert(parents.clone(), found.clone());
        found
    }

    /// Types that a fragment may be on here.
    pub(super) fn conditions(&mut self, frame: &Frame) -> (Arc<Lexeme>, Outcomes) {
        let kinds = self.condition_kinds(frame);
        let words: Vec<_> = kinds.iter().map(|kind| self.schema.name(*kind).to_string()).collect();
        let mut allowed = Outcomes::all(words.len() as u32);
        if let Due::FragmentType(name) = &frame.due
            && frame.document.unused != 0
        {
            let depth = frame.document.pending_depth(name);
            let without = frame.document.defining(name);
            if !self.can_use_later(&without) {
                allowed = Outcomes::none(words.len() as u32);
                for (index, kind) in kinds.iter().enumerate() {
                    if self.can_use_within(&frame.document, *kind, depth) {
                        allowed.insert(index as u32);
                    }
                }
            }
        }
        (self.lexemes.words(&words), allowed)
    }

    pub(super) fn condition_kinds(&mut self, frame: &Frame) -> Arc<Vec<TypeId>> {
        let parents = match (&frame.due, frame.path.top()) {
            (Due::FragmentType(name), _) => match frame.document.fragments.get(name) {
                Some(Fragment::Pending(pending)) => pending.parents.clone(),
                _ => BTreeSet::new(),
            },
            (_, Some(Level::Block(block))) => BTreeSet::from([block.kind]),
            _ => BTreeSet::new(),
        };
        self.common(&parents)
    }

    /// Fragments that were spread before and may be spread here too.
    pub(super) fn known_spreads(&mut self, frame: &Frame) -> Vec<Arc<str>> {
        let names: Vec<Arc<str>> = frame.document.pending().map(|(name, _)| name.clone()).collect();
        names.into_iter().filter(|name| self.may_spread(frame, name)).collect()
    }

    pub(super) fn may_spread(&mut self, frame: &Frame, name: &Arc<str>) -> bool {
        let Some(Level::Block(block)) = frame.path.top() else { return false };
        if block.scope.spreads.contains(name) {
            return false;
        }
        let Some(Fragment::Pending(pending)) = frame.document.fragments.get(name) else {
            return !frame.document.fragments.contains_key(name);
        };
        let mut parents = pending.parents.clone();
        parents.insert(block.kind);
        if self.common(&parents).is_empty() {
            return false;
        }
        let spread = frame.document.spreading(name, block.kind, frame.path.depth() + 1);
        self.can_use_all(&spread, &frame.path, None) || !frame.in_fragment()
    }
}
