//! Texts of a shape, as frames.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::shape::{LEVELS, Linked, Object, Shape, ShapeId, Shapes};
use crate::lexeme::{Lexeme, Outcomes};
use crate::machine::{After, Choice, Language, Offer, Read, TextThen};

/// A format's punctuation. White space belongs to it, so that no two lexemes can be glued.
pub(super) struct Marks {
    pub(super) open: Arc<Lexeme>,
    /// Ends an object right after its beginning, and after a member.
    pub(super) shut: Arc<Lexeme>,
    pub(super) close: Arc<Lexeme>,
    /// Between two members.
    pub(super) next: Arc<Lexeme>,
    pub(super) list: Arc<Lexeme>,
    pub(super) shut_list: Arc<Lexeme>,
    pub(super) close_list: Arc<Lexeme>,
    /// Between two values.
    pub(super) comma: Arc<Lexeme>,
    /// After a name or a map's key.
    pub(super) colon: Arc<Lexeme>,
    /// What may come between a name and a value that needs no colon, if anything.
    pub(super) gap: Option<Arc<Lexeme>>,
    /// Before the value of a tagged type that stands apart.
    pub(super) value: Arc<Lexeme>,
}

/// Texts of one shape.
pub(crate) struct Proto {
    pub(super) shapes: Shapes,
    pub(super) root: ShapeId,
    pub(super) marks: Marks,
    /// The outermost object has no brackets.
    pub(super) bare: bool,
    /// About how many bytes the frames take that were given out.
    pub(super) given: usize,
}

/// About what a key of a map takes of each frame that holds it.
const BYTES_PER_KEY: usize = 64;
/// Bytes of frames after which all are forgotten.
const FRAMES: usize = 64 << 20;

/// Something that is due. Levels are those left for what is inside.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum Frame {
    Value {
        shape: ShapeId,
        left: u8,
    },
    Mark(Mark),
    /// A name, and its value and further members after it.
    Name(Members),
    /// The end of an object, or a separator and a name.
    Members(Members),
    /// The end of a list, or a comma and a value.
    Values {
        shape: ShapeId,
        left: u8,
    },
    Key(Entries),
    Entries(Entries),
    /// A separator, the name of a key that is required, and its value: a part of what completes an
    /// object. No text is read by it.
    Missing {
        shape: ShapeId,
        key: u32,
        left: u8,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Mark {
    Shut,
    Close,
    ShutList,
    Colon,
    Gap,
    Value,
}

/// An object within which some keys may still follow.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Members {
    pub(super) shape: ShapeId,
    pub(super) left: u8,
    pub(super) open: Outcomes,
    pub(super) bare: bool,
}

/// A map with some keys.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Entries {
    pub(super) shape: ShapeId,
    pub(super) left: u8,
    pub(super) used: Arc<Used>,
}

/// Keys of a map as they are spelled.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub(super) struct Used {
    pub(super) keys: BTreeSet<Vec<u8>>,
    /// There is a key whose text is not known.
    unknown: bool,
}

impl Language for Proto {
    type Frame = Frame;

    fn start(&mut self) -> Vec<Vec<Frame>> {
        let left = self.shapes.useful(self.root, LEVELS);
        if !self.shapes.fits(self.root, left) {
            return Vec::new();
        }
        match self.shapes.get(self.root) {
            Shape::Object(object) if self.bare => self.begin(object, self.root, left, true),
            _ => vec![vec![self.due(self.root, LEVELS)]],
        }
    }

    fn offer(&mut self, frame: &Frame) -> Offer {
        match frame {
            Frame::Value { shape, left } => {
                Offer::of(self.shapes.starts(*shape, *left).map(|start| match self.shapes.get(start.shape) {
                    Shape::Tagged { types, .. } => {
                        let inside = self.shapes.inside(start.shape, *left);
                        let fits = |index: &usize| self.shapes.fits(types[*index].shape, inside);
                        let mut some = Outcomes::none(types.len() as u32);
                        (0..types.len()).filter(fits).for_each(|index| some.insert(index as u32));
                        Choice::new(&start.lexeme).allowing(some)
                    }
                    _ => Choice::new(&start.lexeme),
                }))
            }
            Frame::Mark(mark) => {
                let optional = matches!(mark, Mark::Gap);
                Offer { optional, ..Offer::of(self.mark(*mark).map(Choice::new)) }
            }
            Frame::Name(members) => {
                let names = self.object(members.shape).and_then(|object| object.names.as_ref());
                Offer::of(names.map(|names| Choice::new(names).allowing(members.open.clone())))
            }
            Frame::Members(members) => {
                let more = (!members.open.is_empty()).then(|| Choice::new(&self.marks.next));
                let ends = self.complete(members);
                let close = (ends && !members.bare).then(|| Choice::new(&self.marks.close));
                Offer { optional: ends && members.bare, ..Offer::of(more.into_iter().chain(close)) }
            }
            Frame::Values { shape, left } => {
                let more = self.list_value(*shape).is_some_and(|value| self.shapes.fits(value, *left));
                let comma = more.then(|| Choice::new(&self.marks.comma));
                Offer::of(comma.into_iter().chain([Choice::new(&self.marks.close_list)]))
            }
            Frame::Key(entries) => {
                let key = self.map(entries.shape).map(|(key, ..)| Choice::new(key).captured());
                Offer::of(key)
            }
            Frame::Entries(entries) => {
                let comma = self.has_room(entries).then(|| Choice::new(&self.marks.comma));
                Offer::of(comma.into_iter().chain([Choice::new(&self.marks.close)]))
            }
            Frame::Missing { .. } => Offer::default(),
        }
    }

    fn after(&mut self, frame: &Frame, choice: usize, read: Read<'_>) -> After<Frame> {
        match frame {
            Frame::Value { shape, left } => {
                let Some(start) = self.shapes.starts(*shape, *left).nth(choice).map(|start| start.shape)
                else {
                    return After::Ways(Vec::new());
                };
                After::Ways(self.opened(start, *left, read.outcome))
            }
            Frame::Mark(_) => After::nothing(),
            Frame::Name(members) => {
                let keys = self.object(members.shape).map_or(0, |object| object.keys.len());
                self.given += keys / 8;
                After::Ways(self.named(members, read.outcome))
            }
            Frame::Members(members) if choice == 0 && !members.open.is_empty() => {
                After::Ways(vec![vec![Frame::Name(members.clone())]])
            }
            Frame::Values { shape, left } if choice == 0 => match self.list_value(*shape) {
                Some(value) if self.shapes.fits(value, *left) => {
                    After::Ways(vec![vec![self.due(value, *left), frame.clone()]])
                }
                _ => After::nothing(),
            },
            Frame::Key(entries) => {
                self.given += entries.used.keys.len() * BYTES_PER_KEY;
                self.entered(entries, read.text)
            }
            Frame::Entries(entries) if choice == 0 && self.has_room(entries) => {
                After::Ways(vec![vec![Frame::Key(entries.clone())]])
            }
            Frame::Members(_) | Frame::Values { .. } | Frame::Entries(_) => After::nothing(),
            Frame::Missing { .. } => After::Ways(Vec::new()),
        }
    }

    fn refused(&mut self, frame: &Frame, _choice: usize) -> Vec<Vec<u8>> {
        match frame {
            Frame::Key(entries) => entries.used.keys.iter().cloned().collect(),
            _ => Vec::new(),
        }
    }

    fn forget(&mut self) -> bool {
        let too_much = self.given > FRAMES;
        if too_much {
            self.given = 0;
        }
        too_much
    }

    fn ways(&mut self, frame: &Frame) -> Option<Vec<TextThen<Frame>>> {
        Some(self.short_way(frame).into_iter().collect())
    }
}

impl Proto {
    pub(super) fn mark(&self, mark: Mark) -> Option<&Arc<Lexeme>> {
        match mark {
            Mark::Shut => Some(&self.marks.shut),
            Mark::Close => Some(&self.marks.close),
            Mark::ShutList => Some(&self.marks.shut_list),
            Mark::Colon => Some(&self.marks.colon),
            Mark::Gap => self.marks.gap.as_ref(),
            Mark::Value => Some(&self.marks.value),
        }
    }

    pub(super) fn object(&self, shape: ShapeId) -> Option<&Object> {
        match self.shapes.get(shape) {
            Shape::Object(object) => Some(object),
            _ => None,
        }
    }

    fn list_value(&self, shape: ShapeId) -> Option<ShapeId> {
        match self.shapes.get(shape) {
            Shape::List(value) => Some(*value),
            _ => None,
        }
    }

    /// The keys of a map, how many there are at most, and its values.
    pub(super) fn map(&self, shape: ShapeId) -> Option<(&Arc<Lexeme>, usize, ShapeId)> {
        match self.shapes.get(shape) {
            Shape::Map { key, most, value } => Some((key, *most, *value)),
            _ => None,
        }
    }

    pub(super) fn due(&self, shape: ShapeId, left: u8) -> Frame {
        Frame::Value { shape, left: self.shapes.useful(shape, left) }
    }

    /// Whether nothing that is required is missing.
    pub(super) fn complete(&self, members: &Members) -> bool {
        self.object(members.shape).is_none_or(|object| !object.required.intersects(&members.open))
    }

    fn has_room(&self, entries: &Entries) -> bool {
        let used = entries.used.keys.len() + usize::from(entries.used.unknown);
        self.map(entries.shape)
            .is_some_and(|(_, most, value)| used < most && self.shapes.fits(value, entries.left))
    }

    /// What may follow the beginning of a shape, which `left` levels are for.
    pub(super) fn opened(&self, shape: ShapeId, left: u8, outcome: u32) -> Vec<Vec<Frame>> {
        let inside = self.shapes.inside(shape, left);
        match self.shapes.get(shape) {
            Shape::Token(_) | Shape::Either(_) => vec![Vec::new()],
            Shape::Object(object) => self.begin(object, shape, left, false),
            Shape::List(value) => {
                let values = Frame::Values { shape, left: inside };
                let some = self.shapes.fits(*value, inside).then(|| vec![self.due(*value, inside), values]);
                some.into_iter().chain([vec![Frame::Mark(Mark::ShutList)]]).collect()
            }
            Shape::Map { .. } => {
                let entries = Entries { shape, left: inside, used: Arc::default() };
                let some = self.has_room(&entries).then(|| vec![Frame::Key(entries)]);
                some.into_iter().chain([vec![Frame::Mark(Mark::Shut)]]).collect()
            }
            Shape::Tagged { types, .. } => {
                let Some(tagged) = types.get(outcome as usize) else { return Vec::new() };
                match self.object(tagged.shape).filter(|_| !tagged.apart) {
                    Some(object) => {
                        vec![vec![Frame::Members(self.members(object, tagged.shape, inside, false))]]
                    }
                    None => {
                        let value = self.due(tagged.shape, inside);
                        vec![vec![Frame::Mark(Mark::Value), value, Frame::Mark(Mark::Close)]]
                    }
                }
            }
        }
    }

    /// An object after its opening bracket.
    pub(super) fn begin(&self, object: &Object, shape: ShapeId, left: u8, bare: bool) -> Vec<Vec<Frame>> {
        let members = self.members(object, shape, left, bare);
        let empty =
            self.complete(&members).then(|| if bare { Vec::new() } else { vec![Frame::Mark(Mark::Shut)] });
        let some = (!members.open.is_empty()).then(|| vec![Frame::Name(members)]);
        empty.into_iter().chain(some).collect()
    }

    fn members(&self, object: &Object, shape: ShapeId, left: u8, bare: bool) -> Members {
        let left = self.shapes.inside(shape, self.shapes.useful(shape, left));
        let mut open = Outcomes::none(object.keys.len() as u32);
        let fits =
            object.keys.iter().zip(0..).filter(|(key, _)| self.shapes.fits(key.value.after_colon, left));
        fits.for_each(|(_, index)| open.insert(index));
        Members { shape, left, open, bare }
    }

    /// What may follow a name.
    pub(super) fn named(&self, members: &Members, key: u32) -> Vec<Vec<Frame>> {
        let object = self.object(members.shape);
        let Some(key) = object.and_then(|object| object.keys.get(key as usize)) else { return Vec::new() };
        let mut rest = members.clone();
        rest.open.remove(&key.closes);
        let ways = self.linked(key.value, members.left).into_iter();
        ways.map(|way| way.into_iter().chain([Frame::Members(rest.clone())]).collect()).collect()
    }

    /// A value after a name: at once where it may, and after a colon.
    pub(super) fn linked(&self, value: Linked, left: u8) -> Vec<Vec<Frame>> {
        let bare = value.bare.map(|bare| vec![Frame::Mark(Mark::Gap), self.due(bare, left)]);
        let after_colon = vec![Frame::Mark(Mark::Colon), self.due(value.after_colon, left)];
        bare.into_iter().chain([after_colon]).collect()
    }

    /// What is due after a map's key: another one next time.
    fn entered(&self, entries: &Entries, key: Option<&[u8]>) -> After<Frame> {
        let Some((_, _, value)) = self.map(entries.shape) else { return After::Ways(Vec::new()) };
        let mut used = Used::clone(&entries.used);
        match key {
            Some(_) if used.unknown => return After::Unknown,
            Some(key) if !used.keys.insert(key.to_vec()) => return After::Ways(Vec::new()),
            Some(_) => {}
            None if used.unknown => return After::Unknown,
            None => used.unknown = true,
        }
        let rest = Frame::Entries(Entries { used: Arc::new(used), ..entries.clone() });
        After::Ways(vec![vec![Frame::Mark(Mark::Colon), self.due(value, entries.left), rest]])
    }
}
