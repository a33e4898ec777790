//! What may be written where, whatever the format: a graph of shapes.
//!
//! Messages refer to each other and to themselves, so nesting is bounded: every shape costs
//! *levels*, and what needs more levels than are left is not offered.

use std::sync::Arc;

use crate::lexeme::{Lexeme, Outcomes};
use crate::machine::Choice;

/// A shape's index in its graph.
pub(super) type ShapeId = u32;

/// Levels that a text may nest. Decoders stop at 100 levels of messages, and readers of JSON at 128
/// levels of brackets; each shape counts for the larger number of levels that it needs of the two.
pub(super) const LEVELS: u8 = 96;

/// Marks a shape that no text of at most [`LEVELS`] levels has.
const NEVER: u8 = u8::MAX;

#[derive(Debug)]
pub(super) enum Shape {
    /// One of these lexemes; none: nothing can be written.
    Token(Vec<Arc<Lexeme>>),
    /// Names with values, each name at most once where its key says so.
    Object(Object),
    /// Any number of values.
    List(ShapeId),
    /// Any number of different keys with values.
    Map { key: Arc<Lexeme>, most: usize, value: ShapeId },
    /// One of several shapes.
    Either(Vec<ShapeId>),
    /// An opening bracket and the name of a type, and then what a value of that type has.
    Tagged { tags: Arc<Lexeme>, types: Vec<Tagged> },
}

#[derive(Debug)]
pub(super) struct Object {
    /// All names; the outcome is the index of the key. Absent where there are no keys.
    pub(super) names: Option<Arc<Lexeme>>,
    pub(super) keys: Vec<Key>,
    pub(super) required: Outcomes,
}

#[derive(Debug)]
pub(super) struct Key {
    pub(super) value: Linked,
    /// Keys that may not follow this one.
    pub(super) closes: Outcomes,
    /// Its shortest name.
    pub(super) name: String,
}

/// What may follow a name.
#[derive(Debug, Clone, Copy)]
pub(super) struct Linked {
    pub(super) after_colon: ShapeId,
    /// What needs no colon.
    pub(super) bare: Option<ShapeId>,
}

#[derive(Debug, Clone, Copy)]
pub(super) struct Tagged {
    pub(super) shape: ShapeId,
    /// The value is a member of its own rather than all further members.
    pub(super) apart: bool,
}

/// Where a shape begins: a lexeme, and whose it is.
#[derive(Debug, Clone)]
pub(super) struct Start {
    pub(super) lexeme: Arc<Lexeme>,
    pub(super) shape: ShapeId,
}

#[derive(Debug)]
struct Node {
    shape: Shape,
    cost: u8,
    /// Fewest levels of a text, and most that one can use.
    least: u8,
    full: u8,
    /// About how many bytes a short text has.
    brief: u32,
    starts: Vec<Start>,
}

#[derive(Debug, Default)]
pub(super) struct Shapes(Vec<Node>);

impl Shapes {
    /// A shape that is not known yet, to be [`set`](Self::set).
    pub(super) fn reserve(&mut self) -> ShapeId {
        self.add(Shape::Token(Vec::new()), 0)
    }

    pub(super) fn add(&mut self, shape: Shape, cost: u8) -> ShapeId {
        self.0.push(Node { shape, cost, least: NEVER, full: 0, brief: u32::MAX, starts: Vec::new() });
        self.0.len() as ShapeId - 1
    }

    pub(super) fn set(&mut self, id: ShapeId, shape: Shape, cost: u8) {
        let node = &mut self.0[id as usize];
        (node.shape, node.cost) = (shape, cost);
    }

    pub(super) fn get(&self, id: ShapeId) -> &Shape {
        &self.0[id as usize].shape
    }

    /// Where a shape may begin when so many levels are left. The order is fixed.
    pub(super) fn starts(&self, id: ShapeId, left: u8) -> impl Iterator<Item = &Start> {
        self.0[id as usize].starts.iter().filter(move |start| self.fits(start.shape, left))
    }

    /// Whether some text of the shape needs no more than so many levels.
    pub(super) fn fits(&self, id: ShapeId, left: u8) -> bool {
        self.0[id as usize].least <= left
    }

    /// Levels that matter of those that are left.
    pub(super) fn useful(&self, id: ShapeId, left: u8) -> u8 {
        left.min(self.0[id as usize].full)
    }

    /// Levels left for what is inside.
    pub(super) fn inside(&self, id: ShapeId, left: u8) -> u8 {
        left.saturating_sub(self.0[id as usize].cost)
    }

    /// A measure of how short the shortest text is: levels before bytes, so that following the
    /// smallest one always comes to an end.
    pub(super) fn effort(&self, id: ShapeId) -> (u8, u32) {
        let node = &self.0[id as usize];
        (node.least, node.brief)
    }

    /// Finds out everything that follows from the shapes. `open` and `list` begin objects and lists.
    pub(super) fn finish(&mut self, open: &Arc<Lexeme>, list: &Arc<Lexeme>) {
        while self.find_least() {}
        while self.find_full() {}
        for id in 0..self.0.len() {
            self.0[id].starts = self.find_starts(id as ShapeId, open, list);
        }
    }

    /// Lowers the fewest levels of shapes by what is known of others; whether any was lowered.
    fn find_least(&mut self) -> bool {
        let mut lowered = false;
        // Backwards, since most shapes were added before those that they refer to.
        for id in (0..self.0.len()).rev() {
            let node = &self.0[id];
            let (levels, bytes) = match &node.shape {
                Shape::Token(lexemes) => {
                    let texts = lexemes.iter().filter_map(|lexeme| Choice::new(lexeme).shortest());
                    texts.map(|text| (0, text.len() as u32)).min().unwrap_or((NEVER, u32::MAX))
                }
                Shape::List(_) | Shape::Map { .. } => (0, 2),
                Shape::Object(object) => object.required.iter().fold((0, 2), |(levels, bytes), key| {
                    let key = &object.keys[key as usize];
                    let (more, longer) = self.effort(key.value.after_colon);
                    (more.max(levels), longer.saturating_add(key.name.len() as u32).saturating_add(bytes))
                }),
                Shape::Either(some) => self.least_of(some.iter().copied()),
                Shape::Tagged { types, .. } => self.least_of(types.iter().map(|tagged| tagged.shape)),
            };
            let least =
                Some(levels.saturating_add(node.cost)).filter(|least| *least <= LEVELS).unwrap_or(NEVER);
            if least < node.least {
                (self.0[id].least, self.0[id].brief) = (least, bytes);
                lowered = true;
            }
        }
        lowered
    }

    fn least_of(&self, some: impl Iterator<Item = ShapeId>) -> (u8, u32) {
        some.map(|id| self.effort(id)).min().unwrap_or((NEVER, u32::MAX))
    }

    /// Raises the most levels of shapes by what is known of others; whether any was raised.
    fn find_full(&mut self) -> bool {
        let mut raised = false;
        for id in (0..self.0.len()).rev() {
            let node = &self.0[id];
            let most = |some: &mut dyn Iterator<Item = ShapeId>| {
                some.filter(|id| self.fits(*id, LEVELS)).map(|id| self.0[id as usize].full).max().unwrap_or(0)
            };
            let inside = match &node.shape {
                Shape::Token(_) => 0,
                Shape::List(value) | Shape::Map { value, .. } => most(&mut [*value].into_iter()),
                Shape::Object(object) => most(&mut object.keys.iter().map(|key| key.value.after_colon)),
                Shape::Either(some) => most(&mut some.iter().copied()),
                Shape::Tagged { types, .. } => most(&mut types.iter().map(|tagged| tagged.shape)),
            };
            let full = inside.saturating_add(node.cost).min(LEVELS);
            raised |= full > node.full;
            self.0[id].full = full;
        }
        raised
    }

    fn find_starts(&self, id: ShapeId, open: &Arc<Lexeme>, list: &Arc<Lexeme>) -> Vec<Start> {
        let begin = |lexeme: &Arc<Lexeme>| Start { lexeme: lexeme.clone(), shape: id };
        match self.get(id) {
            Shape::Token(lexemes) => lexemes.iter().map(begin).collect(),
            Shape::Object(_) | Shape::Map { .. } => vec![begin(open)],
            Shape::List(_) => vec![begin(list)],
            Shape::Tagged { tags, .. } => vec![begin(tags)],
            // Alternatives are given outright: none is again a choice.
            Shape::Either(some) => some.iter().flat_map(|id| self.find_starts(*id, open, list)).collect(),
        }
    }
}
