//! What a language tells the machine.

use std::fmt::Debug;
use std::hash::Hash;
use std::sync::Arc;

use crate::Vocabulary;
use crate::lexeme::{Lexeme, Outcomes, START};

/// A language, as a grammar whose symbols are made while a text is read.
///
/// A *frame* is something that is due: a value, the rest of an object, a list of columns whose
/// tables are not named yet. It carries everything that decides what may be read there. A text is
/// read by replacing the first frame that is due by a lexeme and the frames that come after it
/// (Greibach normal form), so whatever a lexeme decides (which key, which table) can decide what
/// those frames are. Several ways to go on are followed side by side.
///
/// **Every frame and every choice that a language offers must be completable**: the machine
/// promises no dead ends on that.
pub(crate) trait Language: Send + 'static {
    type Frame: Clone + Eq + Hash + Debug + Send + Sync;

    /// Ways to begin a text, each the frames that are due, the first one first.
    fn start(&mut self) -> Vec<Vec<Self::Frame>>;

    /// What may be read where a frame is due.
    fn offer(&mut self, frame: &Self::Frame) -> Offer;

    /// Ways to go on after a choice of [`offer`](Self::offer) has been read: the frames due in
    /// place of `frame`. None: the text is not allowed to end there after all, which may be
    /// decided by [`Read::text`] alone, and only while some other text of that outcome is.
    fn after(&mut self, frame: &Self::Frame, choice: usize, read: Read<'_>) -> After<Self::Frame>;

    /// Texts (of captured choices) that [`after`](Self::after) refuses by nothing but the text.
    fn refused(&mut self, _frame: &Self::Frame, _choice: usize) -> Vec<Vec<u8>> {
        Vec::new()
    }

    /// Whether texts are refused in either case of their letters. Then a choice must never have so few
    /// texts that all of them can be refused.
    fn folds_case(&self) -> bool {
        false
    }

    /// Whether what follows a captured text depends on it so much that masks are not to be shared by
    /// places that differ in such texts only.
    fn texts_decide(&self) -> bool {
        false
    }

    /// Whether what completes a text after a captured choice writes the captured text once more.
    fn echoes(&self, _frame: &Self::Frame) -> bool {
        false
    }

    /// Forgets what texts have made known if it is too much; then frames that were given out mean
    /// nothing any more. Whether it did.
    fn forget(&mut self) -> bool {
        false
    }

    /// Tokens that complete a text once one more token has been read where a frame is due, whatever it is; cheap
    /// to know. `None`: closes tell it.
    fn ample(&self, _frame: &Self::Frame) -> Option<u32> {
        None
    }

    /// Whether [`after`](Self::after) is [`After::Unknown`] for this frame whatever is read.
    fn is_unknown(&self, _frame: &Self::Frame) -> bool {
        false
    }

    /// Short ways to complete a frame, each a text (of one or several lexemes) and the frames after it;
    /// at least one must lead to an end. `None`: every choice is looked at, which is only possible where
    /// frames do not lead to ever new ones.
    fn ways(&mut self, _frame: &Self::Frame) -> Option<Vec<TextThen<Self::Frame>>> {
        None
    }
}

/// A text and the frames after it.
pub(crate) type TextThen<F> = (Vec<u8>, Vec<F>);

/// What may be read somewhere.
#[derive(Debug, Clone, Default)]
pub(crate) struct Offer {
    pub(crate) choices: Vec<Choice>,
    /// Nothing has to be read: what is due after this frame may come at once.
    pub(crate) optional: bool,
}

impl Offer {
    pub(crate) fn of(choices: impl IntoIterator<Item = Choice>) -> Self {
        Self { choices: choices.into_iter().collect(), optional: false }
    }
}

/// A lexeme, and what of it is allowed.
#[derive(Debug, Clone)]
pub(crate) struct Choice {
    pub(crate) lexeme: Arc<Lexeme>,
    /// Outcomes that may be reached; all if absent.
    pub(crate) allowed: Option<Outcomes>,
    /// Fewest and most characters, for lexemes that count them.
    pub(crate) characters: (u32, u32),
    /// Whether [`Language::after`] wants the text.
    pub(crate) captured: bool,
    /// Its texts are names that whoever writes makes up: which one comes cannot be foreseen.
    pub(crate) made_up: bool,
}

impl Choice {
    pub(crate) fn new(lexeme: &Arc<Lexeme>) -> Self {
        Self {
            lexeme: lexeme.clone(),
            allowed: None,
            characters: (0, u32::MAX),
            captured: false,
            made_up: false,
        }
    }

    pub(crate) fn allowing(self, allowed: Outcomes) -> Self {
        Self { allowed: Some(allowed), ..self }
    }

    pub(crate) fn characters(self, fewest: u32, most: u32) -> Self {
        Self { characters: (fewest, most), ..self }
    }

    pub(crate) fn captured(self) -> Self {
        Self { captured: true, ..self }
    }

    pub(crate) fn made_up(self) -> Self {
        Self { made_up: true, ..self }
    }

    /// Whether it has at most so many characters. Then of texts from some place in its lexeme only the one of
    /// fewest bytes is known to fit.
    pub(super) fn is_bounded(&self) -> bool {
        self.characters.1 != u32::MAX
    }

    /// Its shortest text in bytes, characters not counted.
    pub(crate) fn shortest(&self) -> Option<Vec<u8>> {
        self.lexeme.shortest(START, self.allowed.as_ref()).map(|(text, _)| text)
    }

    /// A text of few tokens.
    pub(crate) fn short_text(&self, vocabulary: &Vocabulary) -> Option<Vec<u8>> {
        super::close::short_text(self, vocabulary)
    }

    /// Whether an allowed outcome is in a set of those that can be reached
    /// ([`Automaton::reach_number`](crate::lexeme::Automaton::reach_number)).
    pub(super) fn reaches(&self, set: u32) -> bool {
        let reached = self.lexeme.automaton.reach_set(set);
        self.allowed.as_ref().is_none_or(|allowed| reached.intersects(allowed))
    }

    pub(super) fn allows(&self, outcome: u32) -> bool {
        self.allowed.as_ref().is_none_or(|allowed| allowed.contains(outcome))
    }
}

/// A lexeme that has been read.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Read<'a> {
    pub(crate) outcome: u32,
    /// Its bytes, where they were to be captured. Absent while tokens are tried from a state
    /// that many texts share: then the text is to be taken as one that occurred nowhere before.
    pub(crate) text: Option<&'a [u8]>,
}

/// What is due after a lexeme.
#[derive(Debug, Clone)]
pub(crate) enum After<F> {
    Ways(Vec<Vec<F>>),
    /// It depends on a text that was absent before: each token is to be tried with it.
    Unknown,
    /// The same, and what is due if every text that was absent is a new one, which tells what it takes
    /// to complete the text.
    IfNew(Vec<Vec<F>>),
}

impl<F> After<F> {
    pub(crate) fn one(frames: impl IntoIterator<Item = F>) -> Self {
        Self::Ways(vec![frames.into_iter().collect()])
    }

    pub(crate) fn nothing() -> Self {
        Self::Ways(vec![Vec::new()])
    }
}
