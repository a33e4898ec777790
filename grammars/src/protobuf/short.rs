//! A short text of everything that can be due.

use super::language::{Entries, Frame, Mark, Members, Proto};
use super::shape::{Shape, ShapeId};
use crate::lexeme::{Lexeme, Outcomes};
use crate::machine::{Choice, TextThen};

/// A text and what is due after it.
type Short = Option<TextThen<Frame>>;

impl Proto {
    /// A short way to complete a frame. Following ways comes to an end: a value begins with the shape
    /// that needs fewest levels, and lists, maps and members end as soon as they may.
    pub(super) fn short_way(&self, frame: &Frame) -> Short {
        match frame {
            Frame::Value { shape, left } => self.short_value(*shape, *left),
            Frame::Mark(Mark::Gap) => Some((Vec::new(), Vec::new())),
            Frame::Mark(mark) => Some((text(self.mark(*mark))?, Vec::new())),
            Frame::Name(members) => {
                let key = self.nearest_key(members)?;
                Some((self.name(members.shape, key)?, self.named(members, key).into_iter().next()?))
            }
            Frame::Members(members) => Some((Vec::new(), self.rest(members)?)),
            Frame::Values { .. } => Some((text(&self.marks.close_list)?, Vec::new())),
            Frame::Key(entries) => self.short_entry(entries),
            Frame::Entries(_) => Some((Vec::new(), vec![Frame::Mark(Mark::Close)])),
            Frame::Missing { shape, key, left } => {
                let value = self.object(*shape)?.keys.get(*key as usize)?.value;
                let separated = [text(&self.marks.next)?, self.name(*shape, *key)?].concat();
                Some((separated, self.linked(value, *left).into_iter().next()?))
            }
        }
    }

    fn short_value(&self, shape: ShapeId, left: u8) -> Short {
        let start = self.shapes.starts(shape, left).min_by_key(|start| self.shapes.effort(start.shape))?;
        let outcome = match self.shapes.get(start.shape) {
            Shape::Tagged { types, .. } => {
                let indices = 0..types.len();
                indices.min_by_key(|index| self.shapes.effort(types[*index].shape))? as u32
            }
            _ => 0,
        };
        let only = Outcomes::only(start.lexeme.automaton.outcomes(), Some(outcome));
        let begun = Choice::new(&start.lexeme).allowing(only).shortest()?;
        let ways = self.opened(start.shape, left, outcome);
        // Where nothing has to be inside, the end may follow.
        let ends =
            |way: &&Vec<Frame>| matches!(way.as_slice(), [] | [Frame::Mark(Mark::Shut | Mark::ShutList)]);
        let way = ways.iter().find(ends).or(ways.first())?;
        Some((begun, way.clone()))
    }

    /// The key after which least is needed: one that is required, if any is missing.
    fn nearest_key(&self, members: &Members) -> Option<u32> {
        let object = self.object(members.shape)?;
        let required = members.open.iter().find(|key| object.required.contains(*key));
        let effort = |key: &u32| {
            let key = &object.keys[*key as usize];
            let (levels, bytes) = self.shapes.effort(key.value.after_colon);
            (levels, bytes.saturating_add(key.name.len() as u32))
        };
        required.or_else(|| members.open.iter().min_by_key(effort))
    }

    fn name(&self, shape: ShapeId, key: u32) -> Option<Vec<u8>> {
        Some(self.object(shape)?.keys.get(key as usize)?.name.as_bytes().to_vec())
    }

    /// What is missing of an object, and its end.
    fn rest(&self, members: &Members) -> Option<Vec<Frame>> {
        let (shape, left) = (members.shape, members.left);
        let required = &self.object(shape)?.required;
        let missing = required.iter().filter(|key| members.open.contains(*key));
        let missing = missing.map(|key| Frame::Missing { shape, key, left });
        let end = (!members.bare).then_some(Frame::Mark(Mark::Close));
        Some(missing.chain(end).collect())
    }

    /// A key that is not used yet, and the end after its value.
    fn short_entry(&self, entries: &Entries) -> Short {
        let (lexeme, _, value) = self.map(entries.shape)?;
        let used = &entries.used.keys;
        let mut texts = lexeme.texts(crate::lexeme::START, None).map(|(text, _)| text);
        let key = texts.find(|text| !used.contains(text))?;
        let end = Frame::Mark(Mark::Close);
        Some((key, vec![Frame::Mark(Mark::Colon), self.due(value, entries.left), end]))
    }
}

fn text(lexeme: &std::sync::Arc<Lexeme>) -> Option<Vec<u8>> {
    Choice::new(lexeme).shortest()
}
