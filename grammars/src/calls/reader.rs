//! Text and calls out of an answer that comes in pieces.

use super::form::{CLOSE, FENCE, OPEN};
use super::opening::Openings;
use super::scan::{Arguments, Found, head, tail};

/// A part of an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CallPiece {
    /// Text beside the calls. White space alone before the first call and after one is left out.
    Text(String),
    /// A call begins.
    Call {
        /// Which call of the answer it is, from 0.
        index: usize,
        /// The tool.
        name: String,
    },
    /// More of the arguments of the call that has begun last, as they were written: all pieces together are a JSON
    /// object, unless the answer was cut off within.
    Arguments {
        /// Which call of the answer it is, from 0.
        index: usize,
        /// Part of a JSON text.
        json: String,
    },
}

/// Reads an answer as it comes, cut anywhere, and tells its text from its calls.
///
/// It need not be written under the constraint: white space may be others', the last brace or the closing mark may be
/// missing, and what only looks like a call is text. What cannot be told yet is held back, some 4 KiB at most.
///
/// Models that were made for code leave the marks out where they may: they answer with the object alone, or in a code fence.
/// A reader that knows the [tools](Self::of_tools) takes that for a call, if it is where an answer begins and names one of them.
///
/// ```
/// use understudy_grammars::{CallPiece, CallReader};
///
/// let mut reader = CallReader::default();
/// assert_eq!(reader.push("I look. <tool_"), [CallPiece::Text("I look. ".into())]);
/// let call = CallPiece::Call { index: 0, name: "find".into() };
/// let begun = CallPiece::Arguments { index: 0, json: r#"{"q": "#.into() };
/// assert_eq!(reader.push("call>\n{\"name\": \"find\", \"arguments\": {\"q\": "), [call, begun]);
/// let ended = CallPiece::Arguments { index: 0, json: "1}".into() };
/// assert_eq!(reader.push("1}}\n</tool_call>"), [ended]);
/// assert_eq!(reader.finish(), []);
/// ```
#[derive(Debug, Clone, Default)]
pub struct CallReader {
    /// What has come and is not told yet.
    held: String,
    place: Place,
    /// Calls that have begun.
    calls: usize,
    /// Text other than white space has come since the answer, or the last call's end.
    has_said: bool,
    /// Names that a call without marks may have.
    tools: Vec<String>,
    /// Finds such calls.
    openings: Option<Openings>,
    /// What closes the call that has begun last.
    close: &'static str,
}

#[derive(Debug, Clone, Copy, Default)]
enum Place {
    /// Where a call without marks may begin: held until it is certain whether one does.
    Bare,
    #[default]
    Text,
    /// From the mark of a call on, up to its arguments: held until it is certain that there is one.
    Head {
        /// Bytes of white space before the mark, which belong to no text if there is a call.
        blank: usize,
    },
    Arguments(Arguments),
    /// After the arguments: held until the call is over.
    Tail,
}

impl CallReader {
    /// A reader that takes calls of these tools without marks too.
    pub fn of_tools(tools: impl IntoIterator<Item = String>) -> Self {
        let tools: Vec<String> = tools.into_iter().collect();
        let openings = Some(Openings::new(tools.iter().map(String::as_str)));
        Self { tools, openings, place: Place::Bare, ..Self::default() }
    }

    /// Reads more of the answer.
    pub fn push(&mut self, piece: &str) -> Vec<CallPiece> {
        let mut held = std::mem::take(&mut self.held);
        held.push_str(piece);
        let (mut rest, mut pieces) = (held.as_str(), Vec::new());
        while self.step(&mut rest, &mut pieces) {}
        self.held = rest.to_owned();
        pieces
    }

    /// Ends the answer: what was held back is text, but for white space after a call and a call's end that was
    /// cut off.
    pub fn finish(&mut self) -> Vec<CallPiece> {
        let held = std::mem::take(&mut self.held);
        let is_text = match std::mem::take(&mut self.place) {
            Place::Bare | Place::Text => !held.trim().is_empty() || self.calls == 0,
            Place::Head { .. } => true,
            Place::Arguments(_) | Place::Tail => false,
        };
        if is_text && !held.is_empty() { vec![CallPiece::Text(held)] } else { Vec::new() }
    }

    /// The text of a whole answer, and its calls: names and arguments.
    pub fn read(mut self, text: &str) -> (String, Vec<(String, String)>) {
        let mut pieces = self.push(text);
        pieces.extend(self.finish());
        let (mut text, mut calls) = (String::new(), Vec::new());
        for piece in pieces {
            match piece {
                CallPiece::Text(more) => text.push_str(&more),
                CallPiece::Call { name, .. } => calls.push((name, String::new())),
                CallPiece::Arguments { json, .. } => {
                    if let Some((_, arguments)) = calls.last_mut() {
                        arguments.push_str(&json);
                    }
                }
            }
        }
        (text, calls)
    }

    /// Tells what it can of the rest, up to the next change of place; whether there was one.
    fn step(&mut self, rest: &mut &str, pieces: &mut Vec<CallPiece>) -> bool {
        match self.place {
            Place::Bare => self.bare(rest, pieces),
            Place::Text => self.text(rest, pieces),
            Place::Head { blank } => self.head(blank, rest, pieces),
            Place::Arguments(arguments) => self.arguments(arguments, rest, pieces),
            Place::Tail => self.tail(rest),
        }
    }

    fn bare(&mut self, rest: &mut &str, pieces: &mut Vec<CallPiece>) -> bool {
        let found = self.openings.as_ref().map_or(Found::Nothing, |openings| openings.head(rest));
        match found {
            Found::Beginning => return false,
            Found::Whole(end, tool) => {
                *rest = &rest[end..];
                self.begin(self.tools[tool as usize].clone(), FENCE, pieces);
            }
            Found::Nothing => self.place = Place::Text,
        }
        true
    }

    fn text(&mut self, rest: &mut &str, pieces: &mut Vec<CallPiece>) -> bool {
        let mark = rest.find(OPEN);
        let end = mark.unwrap_or(rest.len() - begun_mark(rest));
        // Before a call it is no text.
        let is_blank = !self.has_said && end <= HELD && rest[..end].trim().is_empty();
        if !is_blank {
            self.say(end, rest, pieces);
        }
        if mark.is_some() {
            self.place = Place::Head { blank: if is_blank { end } else { 0 } };
        }
        mark.is_some()
    }

    fn head(&mut self, blank: usize, rest: &mut &str, pieces: &mut Vec<CallPiece>) -> bool {
        let marked = &rest[blank..];
        match head(window(marked)) {
            Found::Beginning if marked.len() <= HELD => return false,
            Found::Whole(end, name) => {
                *rest = &marked[end..];
                self.begin(name, CLOSE, pieces);
            }
            // No call: the mark is text, and what comes after it is read afresh.
            Found::Beginning | Found::Nothing => {
                self.say(blank + OPEN.len(), rest, pieces);
                self.place = Place::Text;
            }
        }
        true
    }

    fn begin(&mut self, name: String, close: &'static str, pieces: &mut Vec<CallPiece>) {
        pieces.push(CallPiece::Call { index: self.calls, name });
        self.calls += 1;
        (self.has_said, self.close) = (false, close);
        self.place = Place::Arguments(Arguments::default());
    }

    fn arguments(&mut self, mut arguments: Arguments, rest: &mut &str, pieces: &mut Vec<CallPiece>) -> bool {
        let end = arguments.read(rest);
        let json = take(end.unwrap_or(rest.len()), rest);
        if !json.is_empty() {
            pieces.push(CallPiece::Arguments { index: self.calls - 1, json: json.to_owned() });
        }
        self.place = if end.is_some() { Place::Tail } else { Place::Arguments(arguments) };
        end.is_some()
    }

    fn tail(&mut self, rest: &mut &str) -> bool {
        match tail(window(rest), self.close) {
            Found::Beginning if rest.len() <= HELD => return false,
            Found::Whole(end, ()) => *rest = &rest[end..],
            Found::Beginning | Found::Nothing => {}
        }
        // After a call without marks may come another one.
        self.place = if self.close == FENCE { Place::Bare } else { Place::Text };
        true
    }

    /// Tells that the beginning of the rest is text.
    fn say(&mut self, end: usize, rest: &mut &str, pieces: &mut Vec<CallPiece>) {
        let more = take(end, rest);
        if more.is_empty() {
            return;
        }
        self.has_said = true;
        match pieces.last_mut() {
            Some(CallPiece::Text(text)) => text.push_str(more),
            _ => pieces.push(CallPiece::Text(more.to_owned())),
        }
    }
}

/// Bytes held back until it is certain what they are.
const HELD: usize = 4096;

/// As much of a text as may be held back.
fn window(text: &str) -> &str {
    let end = (0..=HELD.min(text.len())).rev().find(|end| text.is_char_boundary(*end));
    &text[..end.unwrap_or(0)]
}

/// Takes the beginning of a text away.
fn take<'a>(end: usize, rest: &mut &'a str) -> &'a str {
    let (taken, left) = rest.split_at(end);
    *rest = left;
    taken
}

/// Bytes at the end of a text that may be the beginning of the mark of a call.
fn begun_mark(text: &str) -> usize {
    (1..OPEN.len()).rev().find(|length| text.ends_with(&OPEN[..*length])).unwrap_or(0)
}
