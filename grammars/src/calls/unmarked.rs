//! Free text, or calls without marks, as frames.

use std::sync::Arc;

use super::form::{END, END_OF_FENCE};
use super::opening::{FENCED, Head, Middle, names};
use super::prose::{CALLS, ENDS, OPENED, OrProse};
use super::{CallsSpec, ToolSpec, language::Frame};
use crate::lexeme::{Automaton, Lexeme, Outcomes, Source, Words};
use crate::machine::{After, Choice, Offer};
use crate::{Budget, GrammarError, Vocabulary};

/// Something that is due in an answer that may begin as text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Due {
    /// The whole answer: text up to the mark of a call or to the end, or a call without marks up to its tool's name.
    Answer,
    /// The name of the tool.
    Name(Call),
    /// What is between the name and the arguments of a tool, which is told by its index.
    Middle(Call, usize),
    /// The end of the object.
    End,
    /// After a call in a fence: the fence's end, or a further call.
    InFence,
    /// A further call after one alone, if one comes.
    More,
    /// A further call after a fence, if one comes.
    MoreAfterFence,
}

/// A call without marks that has begun.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Call {
    /// It begins the answer, and may turn out to be text.
    may_be_text: bool,
    in_fence: bool,
}

/// Answers that may begin as text.
pub(super) struct Unmarked {
    head: Arc<Lexeme>,
    /// Its outcomes are tools.
    name: Arc<Lexeme>,
    middle: Arc<Lexeme>,
    end: Arc<Lexeme>,
    end_of_fence: Arc<Lexeme>,
    many: bool,
}

impl Unmarked {
    pub(super) fn new(
        spec: &CallsSpec,
        vocabulary: &Arc<Vocabulary>,
        budget: &Budget,
    ) -> Result<Self, GrammarError> {
        fn build(
            source: &impl Source,
            vocabulary: &Vocabulary,
            budget: &Budget,
        ) -> Result<Automaton, GrammarError> {
            Automaton::build(source, vocabulary.spellable(), budget)
        }
        let lexicon = vocabulary.lexicon();
        let word = |text: &str| Words::new([(text.as_bytes(), 0)]);
        let tools = spec.tools.iter().map(|ToolSpec { name, .. }| name.as_str());
        Ok(Self {
            head: lexicon
                .get("an answer up to the name of a call", || build(&OrProse(Head), vocabulary, budget))?,
            name: Lexeme::new(build(&OrProse(names(tools)), vocabulary, budget)?),
            middle: lexicon.get("an answer from the name of a call on", || {
                build(&OrProse(Middle), vocabulary, budget)
            })?,
            end: lexicon.get("the end of a call", || build(&word(END), vocabulary, budget))?,
            end_of_fence: lexicon
                .get("the end of a fence of calls", || build(&word(END_OF_FENCE), vocabulary, budget))?,
            many: spec.many,
        })
    }

    pub(super) fn offer(&self, due: Due) -> Offer {
        match due {
            Due::Answer => Offer { optional: true, ..Offer::of([Choice::new(&self.head)]) },
            Due::Name(call) => part(&self.name, call),
            Due::Middle(call, _) => part(&self.middle, call),
            Due::End => Offer::of([Choice::new(&self.end)]),
            Due::InFence => {
                let further = self.many.then(|| alone(&self.head));
                Offer::of([Choice::new(&self.end_of_fence)].into_iter().chain(further))
            }
            Due::More => Offer { optional: true, ..Offer::of([alone(&self.head)]) },
            Due::MoreAfterFence => Offer { optional: true, ..Offer::of([called(&self.head)]) },
        }
    }

    /// What is due next; `arguments` makes the frame of a tool's.
    pub(super) fn after(
        &self,
        due: Due,
        choice: usize,
        outcome: u32,
        arguments: impl FnOnce(usize) -> Option<Frame>,
    ) -> After<Frame> {
        let is_of_text = !matches!(due, Due::End | Due::InFence);
        let named = |may_be_text, in_fence| one(Due::Name(Call { may_be_text, in_fence }));
        match due {
            _ if is_of_text && outcome == ENDS => After::nothing(),
            _ if is_of_text && outcome == CALLS => After::one([Frame::Name]),
            Due::Answer => named(true, outcome == OPENED + FENCED),
            Due::More | Due::MoreAfterFence => named(false, outcome == OPENED + FENCED),
            Due::Name(call) => one(Due::Middle(call, (outcome - OPENED) as usize)),
            Due::Middle(call, tool) => {
                let Some(arguments) = arguments(tool) else { return After::Ways(Vec::new()) };
                let next = match (call.in_fence, self.many) {
                    (true, _) => Some(Due::InFence),
                    (false, many) => many.then_some(Due::More),
                };
                let due = [Some(Due::End), next].into_iter().flatten().map(Frame::Unmarked);
                let called = [arguments].into_iter().chain(due).collect();
                // An answer may be over before its arguments have begun: then it is text.
                let is_text = call.may_be_text.then(Vec::new);
                After::Ways([called].into_iter().chain(is_text).collect())
            }
            Due::End => After::nothing(),
            Due::InFence if choice > 0 => named(false, true),
            Due::InFence if self.many => one(Due::MoreAfterFence),
            Due::InFence => After::nothing(),
        }
    }
}

fn one(due: Due) -> After<Frame> {
    After::one([Frame::Unmarked(due)])
}

/// Part of a call, or the text that it turns out to be where it may.
fn part(lexeme: &Arc<Lexeme>, call: Call) -> Offer {
    match call.may_be_text {
        true => Offer { optional: true, ..Offer::of([Choice::new(lexeme)]) },
        false => Offer::of([called(lexeme)]),
    }
}

/// A lexeme without the text that there may be in its place.
fn called(lexeme: &Arc<Lexeme>) -> Choice {
    without(lexeme, &[ENDS, CALLS])
}

/// The same of a head, without a fence.
fn alone(head: &Arc<Lexeme>) -> Choice {
    without(head, &[ENDS, CALLS, OPENED + FENCED])
}

fn without(lexeme: &Arc<Lexeme>, outcomes: &[u32]) -> Choice {
    let count = lexeme.automaton.outcomes();
    let mut allowed = Outcomes::all(count);
    outcomes.iter().for_each(|outcome| allowed.remove(&Outcomes::only(count, Some(*outcome))));
    Choice::new(lexeme).allowing(allowed)
}
