//! What is due within an array, and what an item changes about it.

use super::formula::{ALWAYS, F, Formula};
use super::language::{Frame, Json};
use super::taken::Taken;
use crate::machine::TextThen;

/// An array of which some items have been read.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Array {
    /// What the items to come have to satisfy, with those read.
    pub(super) pending: F,
    /// Items that have been read, where all have to differ: scalars.
    pub(super) seen: Taken,
}

impl Json {
    pub(super) fn begin_array(&mut self, pending: F) -> u32 {
        self.arrays.id(Array { pending, seen: Taken::default() })
    }

    /// The ways to read an item and what follows it.
    pub(super) fn items(&mut self, array: u32) -> Vec<Vec<Frame>> {
        let ways = self.read_item(self.arrays.get(array).pending);
        self.items_of(array, ways)
    }

    /// Those that bring the end nearer. After an item that changes nothing, but that it has been seen and that
    /// fewer may come, the rest could as well come without it.
    pub(super) fn helpful_items(&mut self, array: u32) -> Vec<Vec<Frame>> {
        let pending = self.arrays.get(array).pending;
        let mut ways = self.read_item(pending);
        let asked = self.asked_of_items(pending);
        ways.retain(|(_, later)| self.asked_of_items(*later) != asked);
        self.items_of(array, ways)
    }

    /// The parts of a conjunction but for how many items may come.
    fn asked_of_items(&self, pending: F) -> Vec<F> {
        let mut parts = self.formulas.parts(pending);
        parts.retain(|part| !matches!(self.formulas.get(*part), Formula::MaxItems(_)));
        parts
    }

    fn items_of(&mut self, array: u32, ways: Vec<(F, F)>) -> Vec<Vec<Frame>> {
        let state = self.arrays.get(array).clone();
        let unique = self.is_unique(state.pending);
        let ways = ways.into_iter().map(|(item, pending)| {
            let next = self.arrays.id(Array { pending, ..state.clone() });
            if unique { vec![Frame::Item(item, next)] } else { vec![Frame::Value(item), Frame::Items(next)] }
        });
        ways.collect()
    }

    pub(super) fn possible_items(&mut self, array: u32) -> Vec<Vec<Frame>> {
        let mut ways = self.items(array);
        ways.retain(|frames| frames.iter().all(|frame| self.is_possible(frame)));
        ways
    }

    /// The ways to read a first item or none.
    pub(super) fn after_open_array(&mut self, array: u32) -> Vec<Vec<Frame>> {
        let mut ways = self.possible_items(array);
        if self.array_may_end(self.arrays.get(array).pending) {
            ways.push(vec![Frame::NoItem]);
        }
        ways
    }

    /// Ways to complete an array from its beginning.
    pub(super) fn first_items(&mut self, array: u32) -> Vec<TextThen<Frame>> {
        if self.array_may_end(self.arrays.get(array).pending) {
            return vec![(b"[]".to_vec(), Vec::new())];
        }
        self.helpful_items(array).into_iter().map(|frames| (b"[".to_vec(), frames)).collect()
    }

    /// The array after an item that was read as `text`.
    pub(super) fn with_seen(&mut self, array: u32, text: Option<&[u8]>) -> u32 {
        let mut array = self.arrays.get(array).clone();
        array.seen.add(text);
        self.arrays.id(array)
    }

    /// Whether only so many scalars satisfy a formula.
    pub(super) fn has_few_values(&mut self, formula: F) -> bool {
        if let Some(known) = self.few_values.get(&formula) {
            return *known;
        }
        let few = self.distinct_value(formula).iter().all(|choice| choice.lexeme.automaton.is_finite(0));
        self.few_values.insert(formula, few);
        few
    }

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
