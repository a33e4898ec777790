//! Texts with calls, as frames.

use std::sync::Arc;

use super::form::{AFTER_ARGUMENTS, BEFORE_ARGUMENTS, BEFORE_NAME, BETWEEN, OPEN};
use super::unmarked::{Due, Unmarked};
use super::{CallsSpec, ToolSpec, tools};
use crate::json::Json;
use crate::lexeme::{Automaton, Lexeme, Words};
use crate::machine::{After, Choice, Language, Offer, Read, TextThen};
use crate::{Budget, GrammarError, Vocabulary};

/// Something that is due.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum Frame {
    /// Something of free text, or of calls without marks.
    Unmarked(Due),
    /// The mark of a call that there has to be.
    Open,
    /// The name of a tool with what is around it; then its arguments and the end of the call.
    Name,
    /// Something of the arguments of a tool, which is told by its index.
    Arguments(usize, <Json as Language>::Frame),
    /// The end of a call.
    Close,
    /// The mark of a further call, if one comes.
    More,
}

/// Texts with calls of some tools.
pub(crate) struct Calls {
    /// There, where the answer may be text.
    unmarked: Option<Unmarked>,
    open: Arc<Lexeme>,
    /// Its outcomes are tools.
    name: Arc<Lexeme>,
    close: Arc<Lexeme>,
    more: Arc<Lexeme>,
    /// The arguments of each tool.
    arguments: Vec<Json>,
    many: bool,
}

/// Formulas and answers of all tools that are kept, as of one JSON Schema.
const KNOWN: usize = 200_000;

impl Calls {
    pub(crate) fn new(
        spec: &CallsSpec,
        vocabulary: &Arc<Vocabulary>,
        budget: &Budget,
    ) -> Result<Self, GrammarError> {
        let build = |words: &Words| Automaton::build(words, vocabulary.spellable(), budget);
        let mark = |text: &str| {
            let make = || build(&Words::new([(text.as_bytes(), 0)]));
            vocabulary.lexicon().get(&format!("mark of a call {text}"), make)
        };
        Ok(Self {
            unmarked: spec.text.then(|| Unmarked::new(spec, vocabulary, budget)).transpose()?,
            open: mark(OPEN)?,
            name: Lexeme::new(build(&names(&spec.tools))?),
            close: mark(AFTER_ARGUMENTS)?,
            more: mark(&format!("{BETWEEN}{OPEN}"))?,
            arguments: tools::arguments(&spec.tools, vocabulary, budget)?,
            many: spec.many,
        })
    }

    /// What is due after the name of a tool.
    fn named(&self, tool: u32) -> After<Frame> {
        let Some(value) = self.whole(tool as usize) else { return After::Ways(Vec::new()) };
        let more = self.many.then_some(Frame::More);
        After::one([value, Frame::Close].into_iter().chain(more))
    }

    /// All arguments of a tool.
    fn whole(&self, tool: usize) -> Option<Frame> {
        Some(Frame::Arguments(tool, self.arguments.get(tool)?.whole()))
    }
}

/// The names of tools with what is around them: so none is the beginning of another.
fn names(tools: &[ToolSpec]) -> Words {
    let whole = |tool: &ToolSpec| format!("{BEFORE_NAME}{}{BEFORE_ARGUMENTS}", tool.name);
    let names: Vec<String> = tools.iter().map(whole).collect();
    Words::new(names.iter().map(String::as_bytes).zip(0..))
}

impl Language for Calls {
    type Frame = Frame;

    fn start(&mut self) -> Vec<Vec<Frame>> {
        vec![match self.unmarked {
            Some(_) => vec![Frame::Unmarked(Due::Answer)],
            None => vec![Frame::Open, Frame::Name],
        }]
    }

    fn offer(&mut self, frame: &Frame) -> Offer {
        let (lexeme, optional) = match frame {
            Frame::Arguments(tool, frame) => return self.arguments[*tool].offer(frame),
            Frame::Unmarked(due) => {
                return self.unmarked.as_ref().map_or_else(Offer::default, |unmarked| unmarked.offer(*due));
            }
            Frame::Open => (&self.open, false),
            Frame::Name => (&self.name, false),
            Frame::Close => (&self.close, false),
            Frame::More => (&self.more, true),
        };
        Offer { optional, ..Offer::of([Choice::new(lexeme)]) }
    }

    fn after(&mut self, frame: &Frame, choice: usize, read: Read<'_>) -> After<Frame> {
        match frame {
            Frame::Unmarked(due) => match &self.unmarked {
                Some(unmarked) => unmarked.after(*due, choice, read.outcome, |tool| self.whole(tool)),
                None => After::Ways(Vec::new()),
            },
            Frame::More => After::one([Frame::Name]),
            Frame::Name => self.named(read.outcome),
            Frame::Open | Frame::Close => After::nothing(),
            Frame::Arguments(tool, frame) => {
                let frames = |ways: Vec<_>| ways.into_iter().map(|way| within(*tool, way)).collect();
                match self.arguments[*tool].after(frame, choice, read) {
                    After::Ways(ways) => After::Ways(frames(ways)),
                    After::IfNew(ways) => After::IfNew(frames(ways)),
                    After::Unknown => After::Unknown,
                }
            }
        }
    }

    fn refused(&mut self, frame: &Frame, choice: usize) -> Vec<Vec<u8>> {
        match frame {
            Frame::Arguments(tool, frame) => self.arguments[*tool].refused(frame, choice),
            _ => Vec::new(),
        }
    }

    fn forget(&mut self) -> bool {
        if self.arguments.iter().map(Json::known).sum::<usize>() <= KNOWN {
            return false;
        }
        let mut any = false;
        for arguments in &mut self.arguments {
            any |= arguments.forget_all();
        }
        any
    }

    fn ways(&mut self, frame: &Frame) -> Option<Vec<TextThen<Frame>>> {
        let Frame::Arguments(tool, frame) = frame else { return None };
        let ways = self.arguments[*tool].ways(frame)?.into_iter();
        Some(ways.map(|(text, then)| (text, within(*tool, then))).collect())
    }
}

/// Frames of a tool's arguments.
fn within(tool: usize, frames: Vec<<Json as Language>::Frame>) -> Vec<Frame> {
    frames.into_iter().map(|frame| Frame::Arguments(tool, frame)).collect()
}
