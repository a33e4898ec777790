//! How a call without marks begins: one definition for the constraint and for the reader.
//!
//! The object alone, or in a code fence:
//!
//! ```text
//! {"name": "weather", "arguments": {"city": "Paris"}}
//! ```
//!
//! Up to the arguments it is read in three parts, [`Head`], [`names`] and [`Middle`], of which the second alone
//! depends on the tools.

use super::CallsSpec;
use super::prose::Opening;
use super::scan::{Found, Stop};
use super::tools::LONGEST_NAME;
use crate::lexeme::{Source, Words};

/// Most bytes of white space in one place: more than whoever indents a call needs.
const BLANK: u8 = 16;
/// Most letters and digits after a code fence.
const LETTERS: u8 = 16;

/// Part of a form.
enum Part {
    /// White space, or none.
    Blank,
    /// Letters and digits, or none.
    Letters,
    Word(&'static str),
}

/// Where in a form one is: its part, and the bytes read of that. After a whole word one is in the next part.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct At {
    part: u8,
    read: u8,
}

impl At {
    const START: Self = Self { part: 0, read: 0 };

    fn step(self, form: &[Part], byte: u8) -> Option<Self> {
        let next = Self { part: self.part + 1, read: 0 };
        let read = Self { read: self.read + 1, ..self };
        match form.get(usize::from(self.part))? {
            Part::Blank if matches!(byte, b' ' | b'\t' | b'\n' | b'\r') => {
                (self.read < BLANK).then_some(read)
            }
            Part::Letters if byte.is_ascii_alphanumeric() => (self.read < LETTERS).then_some(read),
            Part::Blank | Part::Letters => next.step(form, byte),
            Part::Word(word) if byte != word.as_bytes()[usize::from(self.read)] => None,
            Part::Word(word) if usize::from(read.read) == word.len() => Some(next),
            Part::Word(_) => Some(read),
        }
    }
}

/// From the beginning of an answer, or from the end of a call before, up to the name of the tool.
#[derive(Debug, Clone, Copy)]
pub(super) struct Head;

/// Outcomes of [`Head`]: the object alone, and one in a code fence.
pub(super) const ALONE: u32 = 0;
pub(super) const FENCED: u32 = 1;

impl Head {
    const FORM: [Part; 11] = [
        Part::Blank,
        Part::Word("```"),
        Part::Letters,
        Part::Blank,
        Part::Word("{"),
        Part::Blank,
        Part::Word("\"name\""),
        Part::Blank,
        Part::Word(":"),
        Part::Blank,
        Part::Word("\""),
    ];
    /// Where in the form the object begins.
    const OBJECT: At = At { part: 4, read: 0 };
}

impl Source for Head {
    /// The place, and whether there is a fence.
    type State = (At, bool);

    fn start(&self) -> Self::State {
        (At::START, false)
    }

    fn step(&self, (at, is_fenced): &Self::State, byte: u8) -> Option<Self::State> {
        match at.step(&Self::FORM, byte) {
            Some(next) => Some((next, *is_fenced || byte == b'`')),
            None if at.part == 0 => Some((Self::OBJECT.step(&Self::FORM, byte)?, false)),
            None => None,
        }
    }

    fn ending(&self, (at, is_fenced): &Self::State) -> Option<u32> {
        let is_whole = usize::from(at.part) == Self::FORM.len();
        is_whole.then_some(if *is_fenced { FENCED } else { ALONE })
    }
}

impl Opening for Head {
    fn claims(_byte: u8) -> bool {
        true
    }
}

/// The names of tools, each with the quote after it: so none is the beginning of another. The outcome tells the tool.
/// Those that no tool may have, and tools that there may not be, are left out.
pub(super) fn names<'a>(tools: impl IntoIterator<Item = &'a str>) -> Words {
    let may_be =
        tools.into_iter().take(CallsSpec::MOST_TOOLS).zip(0..).filter(|(name, _)| name.len() <= LONGEST_NAME);
    let quoted: Vec<(String, u32)> = may_be.map(|(name, tool)| (format!("{name}\""), tool)).collect();
    Words::new(quoted.iter().map(|(name, tool)| (name.as_bytes(), *tool)))
}

impl Opening for Words {
    fn claims(_byte: u8) -> bool {
        true
    }
}

/// From the name of the tool up to its arguments, which are an object: with anything else there is no call.
#[derive(Debug, Clone, Copy)]
pub(super) struct Middle;

impl Middle {
    const FORM: [Part; 7] = [
        Part::Blank,
        Part::Word(","),
        Part::Blank,
        Part::Word("\"arguments\""),
        Part::Blank,
        Part::Word(":"),
        Part::Blank,
    ];
}

impl Source for Middle {
    type State = At;

    fn start(&self) -> At {
        At::START
    }

    fn step(&self, at: &At, byte: u8) -> Option<At> {
        // Nothing comes after the last white space, so what `At` leaves it for is none of this.
        at.step(&Self::FORM, byte)
    }

    fn ending(&self, at: &At) -> Option<u32> {
        (usize::from(at.part) + 1 == Self::FORM.len()).then_some(0)
    }
}

impl Opening for Middle {
    fn claims(byte: u8) -> bool {
        byte == b'{'
    }
}

/// Finds calls without marks of some tools.
#[derive(Debug, Clone)]
pub(super) struct Openings(Words);

impl Openings {
    pub(super) fn new<'a>(tools: impl IntoIterator<Item = &'a str>) -> Self {
        Self(names(tools))
    }

    /// The beginning of a call up to its arguments, which begin with `{`: which tool it is of.
    pub(super) fn head(&self, text: &str) -> Found<u32> {
        let mut rest = text.as_bytes();
        let parts = |rest: &mut _| {
            longest(&Head, rest)?;
            let tool = longest(&self.0, rest)?;
            longest(&Middle, rest)?;
            Ok(tool)
        };
        match parts(&mut rest) {
            Ok(tool) => Found::Whole(text.len() - rest.len(), tool),
            Err(Stop::End) => Found::Beginning,
            Err(Stop::Other) => Found::Nothing,
        }
    }
}

/// Reads an opening off a text: its outcome, if it is whole and goes on as a call does.
fn longest<S: Opening>(source: &S, rest: &mut &[u8]) -> Result<u32, Stop> {
    let mut state = source.start();
    while let Some((byte, after)) = rest.split_first() {
        match source.step(&state, *byte) {
            Some(next) => (state, *rest) = (next, after),
            None => return source.ending(&state).filter(|_| S::claims(*byte)).ok_or(Stop::Other),
        }
    }
    Err(Stop::End)
}
