//! Free text that ends where a call begins, or anywhere before.

use super::form::OPEN;
use crate::lexeme::{Source, Utf8};

/// The text is over, and no call follows.
pub(super) const ENDS: u32 = 0;
/// The mark that begins a call has been read.
pub(super) const CALLS: u32 = 1;

/// Any text in which [`OPEN`] comes at its end, if at all.
///
/// Its first byte comes nowhere else in the mark, so a text that turns away from it can at most begin it anew.
#[derive(Debug, Clone, Copy)]
pub(super) struct Prose;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Place {
    character: Utf8,
    /// Bytes of the mark that the text ends with.
    marked: usize,
}

impl Source for Prose {
    type State = Place;

    fn start(&self) -> Place {
        Place { character: Utf8::START, marked: 0 }
    }

    fn step(&self, place: &Place, byte: u8) -> Option<Place> {
        let mark = OPEN.as_bytes();
        let expected = mark.get(place.marked)?;
        let marked = if byte == *expected { place.marked + 1 } else { usize::from(byte == mark[0]) };
        Some(Place { character: place.character.step(byte)?, marked })
    }

    fn ending(&self, place: &Place) -> Option<u32> {
        let outcome = if place.marked == OPEN.len() { CALLS } else { ENDS };
        (place.character == Utf8::START).then_some(outcome)
    }
}
