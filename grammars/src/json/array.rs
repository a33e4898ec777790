//! What is due within an array, and what an item changes about it.

use std::sync::Arc;

use super::formula::{ALWAYS, F, Formula};
use super::language::Json;

/// An array of which some items have been read.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Array {
    /// What the items to come have to satisfy, with those read.
    pub(super) pending: F,
    /// Items that have been read, where all have to differ: scalars, as they were spelled.
    pub(super) seen: Vec<Arc<[u8]>>,
    /// Some item has been read that is not known.
    pub(super) unknown: bool,
}

impl Json {
    /// What an item more makes due: of itself, and of those after it. Any of the ways will do.
    pub(super) fn read_item(&mut self, pending: F) -> Vec<(F, F)> {
        let parts = self.formulas.parts(pending);
        self.ways_of_parts(parts, Self::read_item_of_part)
    }

    fn read_item_of_part(&mut self, part: F) -> Vec<(F, F)> {
        match self.formulas.get(part).clone() {
            Formula::Items(first, rest) => {
                let item = first.first().copied().unwrap_or(rest);
                let later =
                    self.formulas.add(Formula::Items(first.get(1..).unwrap_or_default().into(), rest));
                vec![(item, later)]
            }
            Formula::SomeItem(first, rest) => {
                let item = first.first().copied().unwrap_or(rest);
                let later =
                    self.formulas.add(Formula::SomeItem(first.get(1..).unwrap_or_default().into(), rest));
                vec![(ALWAYS, later), (item, ALWAYS)]
            }
            Formula::MinItems(count) => {
                vec![(ALWAYS, self.formulas.add(Formula::MinItems(count.saturating_sub(1))))]
            }
            Formula::MaxItems(0) => Vec::new(),
            Formula::MaxItems(count) => vec![(ALWAYS, self.formulas.add(Formula::MaxItems(count - 1)))],
            Formula::Contains(item, fewest, most) => {
                let mut ways = Vec::new();
                if most > 0 {
                    let most = if most == u64::MAX { most } else { most - 1 };
                    let later = self.formulas.add(Formula::Contains(item, fewest.saturating_sub(1), most));
                    ways.push((item, later));
                }
                // With no upper bound an item more than was asked for does no harm.
                let other = if most == u64::MAX { Ok(ALWAYS) } else { self.formulas.not(item) };
                ways.extend(other.ok().map(|other| (other, part)));
                ways
            }
            Formula::Any(parts) => parts.iter().flat_map(|part| self.read_item(*part)).collect(),
            Formula::All(_) => self.read_item(part),
            _ => vec![(ALWAYS, part)],
        }
    }

    /// Whether an array may end.
    pub(super) fn array_may_end(&self, pending: F) -> bool {
        match self.formulas.get(pending) {
            Formula::Never | Formula::SomeItem(..) | Formula::MinItems(_) => false,
            Formula::Contains(_, fewest, _) => *fewest == 0,
            Formula::All(parts) => parts.iter().all(|part| self.array_may_end(*part)),
            Formula::Any(parts) => parts.iter().any(|part| self.array_may_end(*part)),
            _ => true,
        }
    }

    /// Whether all items have to differ.
    pub(super) fn is_unique(&self, pending: F) -> bool {
        match self.formulas.get(pending) {
            Formula::UniqueItems => true,
            Formula::All(parts) | Formula::Any(parts) => parts.iter().any(|part| self.is_unique(*part)),
            _ => false,
        }
    }
}
