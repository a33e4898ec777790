//! Free text that ends where a call begins, or anywhere before.

use super::form::OPEN;
use crate::lexeme::{Source, Utf8};

/// The text is over, and no call follows.
pub(super) const ENDS: u32 = 0;
/// The mark that begins a call has been read.
pub(super) const CALLS: u32 = 1;
/// A call without marks has begun as far as was looked for: this is the first way to do so.
pub(super) const OPENED: u32 = 2;

/// Something that begins a call without marks, up to where it does so for certain.
pub(super) trait Opening: Source {
    /// Whether a byte after the whole opening belongs to the call. With any other one the opening was text.
    fn claims(byte: u8) -> bool;
}

/// Any text in which [`OPEN`] comes at its end, if at all, and which does not begin with an opening; or an opening,
/// whose outcomes are told from [`OPENED`] on.
///
/// A text may be over at any place before the opening is whole, and turn away from it. No opening holds the first byte of
/// the mark, so none begins within one. That byte comes nowhere else in the mark either, so a text that turns away
/// from the mark can at most begin it anew.
#[derive(Debug, Clone, Copy)]
pub(super) struct OrProse<S>(pub(super) S);

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Place<P> {
    Opening(P),
    Prose {
        character: Utf8,
        /// Bytes of the mark that the text ends with.
        marked: usize,
    },
}

impl<S: Opening> Source for OrProse<S> {
    type State = Place<S::State>;

    fn start(&self) -> Self::State {
        Place::Opening(self.0.start())
    }

    fn step(&self, place: &Self::State, byte: u8) -> Option<Self::State> {
        let (character, marked) = match place {
            Place::Opening(at) => {
                if let Some(next) = self.0.step(at, byte) {
                    return Some(Place::Opening(next));
                }
                if self.0.ending(at).is_some() && S::claims(byte) {
                    return None;
                }
                (Utf8::START, 0)
            }
            Place::Prose { character, marked } => (*character, *marked),
        };
        let mark = OPEN.as_bytes();
        let expected = mark.get(marked)?;
        let marked = if byte == *expected { marked + 1 } else { usize::from(byte == mark[0]) };
        Some(Place::Prose { character: character.step(byte)?, marked })
    }

    fn ending(&self, place: &Self::State) -> Option<u32> {
        match place {
            Place::Opening(at) => Some(self.0.ending(at).map_or(ENDS, |outcome| OPENED + outcome)),
            Place::Prose { marked, .. } if *marked == OPEN.len() => Some(CALLS),
            Place::Prose { character, .. } => (*character == Utf8::START).then_some(ENDS),
        }
    }

    fn classes(&self) -> [u8; 256] {
        let of_opening = self.0.classes();
        let mut kinds: Vec<(u8, u8)> = Vec::new();
        std::array::from_fn(|byte| {
            let kind = (of_opening[byte], class(byte as u8));
            let known = kinds.iter().position(|other| *other == kind);
            known.unwrap_or_else(|| {
                kinds.push(kind);
                kinds.len() - 1
            }) as u8
        })
    }
}

/// Bytes of one class lead to the same places of free text.
fn class(byte: u8) -> u8 {
    match OPEN.bytes().position(|other| other == byte) {
        Some(place) => Utf8::CLASSES + place as u8,
        None => Utf8::class(byte),
    }
}
