//! Ignored text: where it may stand between two terminals, and where it has to.
//!
//! A lexeme ends only where the next byte cannot continue it. So where one terminal could swallow the
//! beginning of the next, a completion writes ignored text between them; where there is none to write,
//! the grammar is refused. What a model writes needs no such care: `ab` simply is one name.

use std::collections::VecDeque;
use std::sync::Arc;

use super::follow::Follow;
use super::rules::Used;
use crate::lexeme::{Automaton, Lexeme, Outcomes, START, Source};
use crate::machine::Choice;
use crate::{Budget, GrammarError, Vocabulary};

/// Texts of [`BLANK`](crate::whitespace::BLANK) that separate terminals.
const BLANKS: [&[u8]; 3] = [b" ", b"\n", b"\r\n"];

/// Text that may stand between two terminals.
#[derive(Debug)]
pub(super) struct Gap {
    pub(super) choice: Choice,
    /// Terminals that may come after it: none of their first bytes continues it.
    pub(super) fits: Vec<bool>,
}

#[derive(Debug)]
pub(super) struct Spacing {
    pub(super) gaps: Vec<Gap>,
    /// Each terminal with what must not come directly after it.
    pub(super) choices: Vec<Option<Choice>>,
    /// How a completion writes each terminal.
    pub(super) written: Vec<Written>,
}

/// A terminal as completions write it.
#[derive(Debug, Default)]
pub(super) struct Written {
    /// What comes before it, where ignored text may.
    pub(super) separator: Vec<u8>,
    pub(super) text: Vec<u8>,
}

/// A terminal that some text has, with its place among all.
struct Present<'a> {
    automaton: &'a Automaton,
    /// Whether there are any number of texts.
    is_endless: bool,
    begins: Bytes,
    /// Bytes that continue it somewhere where it may end, and everywhere where it may.
    continues: Bytes,
    always_continues: Bytes,
    /// Bytes that must not come directly after it although they do not continue it.
    stops: Bytes,
}

type Bytes = [bool; 256];

const NONE: Bytes = [false; 256];

fn meet(a: &Bytes, b: &Bytes) -> bool {
    a.iter().zip(b).any(|(a, b)| *a && *b)
}

impl<'a> Present<'a> {
    fn new(automaton: &'a Automaton) -> Self {
        let leads = |state: u32| std::array::from_fn(|byte| automaton.step(state, byte as u8).is_some());
        let mut present = Self {
            automaton,
            is_endless: !automaton.is_finite(0),
            begins: leads(START),
            continues: NONE,
            always_continues: [true; 256],
            stops: NONE,
        };
        for state in endings(automaton) {
            for (byte, leads) in leads(state).into_iter().enumerate() {
                present.continues[byte] |= leads;
                present.always_continues[byte] &= leads;
            }
        }
        present
    }

    /// Whether a text that begins with one of some bytes may not be told from the end of this.
    fn runs_into(&self, begins: &Bytes) -> bool {
        meet(&self.continues, begins) || meet(&self.stops, begins)
    }

    /// A text that begins with a byte.
    fn text_from(&self, byte: u8) -> Option<Vec<u8>> {
        let after = self.automaton.step(START, byte)?;
        let (rest, _) = self.automaton.shortest(after)?;
        Some([&[byte], rest.as_slice()].concat())
    }

    /// Whether `separator` and then `next` can be read after any text of this, be it that this takes the
    /// separator as a whole.
    fn is_parted(&self, separator: &[u8], next: &Bytes) -> bool {
        endings(self.automaton).all(|state| {
            if self.automaton.step(state, separator[0]).is_none() {
                return !self.stops[usize::from(separator[0])];
            }
            let after = separator.iter().try_fold(state, |state, byte| self.automaton.step(state, *byte));
            after.is_some_and(|state| {
                let goes_on =
                    |byte: usize| self.automaton.step(state, byte as u8).is_some() || self.stops[byte];
                self.automaton.ending(state).is_some() && !(0..256).any(|byte| next[byte] && goes_on(byte))
            })
        })
    }
}

fn endings(automaton: &Automaton) -> impl Iterator<Item = u32> + '_ {
    (0..automaton.states() as u32).filter(|state| automaton.ending(*state).is_some())
}

impl Spacing {
    /// `usual` is ignored whitespace, `others` what else is ignored.
    ///
    /// # Errors
    /// [`GrammarError::Lark`] where a terminal has to come directly after one that would swallow it.
    pub(super) fn new(
        used: &[Used],
        lexemes: &[Option<Arc<Lexeme>>],
        (usual, others): (Option<Arc<Lexeme>>, Vec<Arc<Lexeme>>),
        follow: &Follow,
        (vocabulary, budget): (&Vocabulary, &Budget),
    ) -> Result<Self, GrammarError> {
        let mut present: Vec<Option<Present<'_>>> = lexemes
            .iter()
            .map(|lexeme| lexeme.as_ref().map(|lexeme| Present::new(&lexeme.automaton)))
            .collect();
        let gap = |lexeme: &Arc<Lexeme>| {
            let ignored = Present::new(&lexeme.automaton);
            let fits = |next: &Option<Present<'_>>| {
                next.as_ref().is_some_and(|next| !ignored.runs_into(&next.begins))
            };
            Gap { choice: Choice::new(lexeme), fits: present.iter().map(fits).collect() }
        };
        let gaps: Vec<Gap> = usual.iter().chain(&others).map(gap).collect();
        if usual.is_some() {
            let stops: Vec<Bytes> =
                (0..present.len()).map(|terminal| stops(terminal, &present, &gaps[0], follow)).collect();
            for (present, stops) in present.iter_mut().zip(stops) {
                present.iter_mut().for_each(|present| present.stops = stops);
            }
        }
        let choices = lexemes.iter().zip(&present).map(|(lexeme, present)| {
            let (Some(lexeme), Some(present)) = (lexeme, present) else { return Ok(None) };
            if present.stops == NONE {
                return Ok(Some(Choice::new(lexeme)));
            }
            let guarded = Guarded { automaton: &lexeme.automaton, stops: &present.stops };
            let automaton = Automaton::build(&guarded, vocabulary.spellable(), budget)?;
            Ok(Some(Choice::new(&Lexeme::new(automaton)).allowing(Outcomes::only(2, Some(0)))))
        });
        let choices: Vec<Option<Choice>> = choices.collect::<Result<_, GrammarError>>()?;
        let writer = Writer { used, present: &present, gaps: &gaps, choices: &choices, follow, vocabulary };
        let written = writer.all()?;
        Ok(Self { gaps, choices, written })
    }
}

/// A word of the language, `if`, must not run into a name, although it ends there: letters that would make
/// a text of some other terminal of it are not to come directly after it.
fn stops(terminal: usize, present: &[Option<Present<'_>>], usual: &Gap, follow: &Follow) -> Bytes {
    let mut stops = NONE;
    let is_few_words = |word: &&Present<'_>| !word.is_endless && is_word(word.automaton);
    let Some(word) = present[terminal].as_ref().filter(is_few_words) else { return stops };
    let mut barred = NONE;
    for next in follow.may.each(terminal as u32) {
        let Some(begins) = present[next as usize].as_ref().map(|next| &next.begins) else { continue };
        let into = if usual.fits[next as usize] { &mut stops } else { &mut barred };
        (0..256).filter(|byte| begins[*byte]).for_each(|byte| into[byte] = true);
    }
    let mut swallowed = NONE;
    let others =
        present.iter().flatten().filter(|other| other.is_endless && meet(&other.begins, &word.begins));
    others.for_each(|other| add_swallowed(word.automaton, other.automaton, &mut swallowed));
    for (byte, stop) in stops.iter_mut().enumerate() {
        *stop &= is_word_byte(byte as u8) && swallowed[byte] && !barred[byte] && !word.continues[byte];
    }
    stops
}

fn is_word_byte(byte: u8) -> bool {
    byte == b'_' || byte.is_ascii_alphanumeric() || byte >= 0x80
}

/// Most states of what counts as a word.
const WORD: usize = 64;

/// Whether all texts are of letters, digits and `_`.
fn is_word(automaton: &Automaton) -> bool {
    let others =
        |state: u32| (0..=u8::MAX).any(|byte| !is_word_byte(byte) && automaton.step(state, byte).is_some());
    automaton.states() <= WORD && !(0..automaton.states() as u32).any(others)
}

/// Adds bytes with which another terminal goes on after a text of `word`.
fn add_swallowed(word: &Automaton, other: &Automaton, bytes: &mut Bytes) {
    let mut seen = std::collections::HashSet::from([(START, START)]);
    let mut todo = VecDeque::from([(START, START)]);
    while let Some((at, beside)) = todo.pop_front() {
        if word.ending(at).is_some() {
            (0..256).for_each(|byte| bytes[byte] |= other.step(beside, byte as u8).is_some());
        }
        for byte in 0..=u8::MAX {
            if let (Some(at), Some(beside)) = (word.step(at, byte), other.step(beside, byte))
                && seen.insert((at, beside))
            {
                todo.push_back((at, beside));
            }
        }
    }
}

/// A terminal that must not be followed by some bytes: they lead to outcome 1, which is never allowed.
struct Guarded<'a> {
    automaton: &'a Automaton,
    stops: &'a Bytes,
}

impl Source for Guarded<'_> {
    type State = Option<u32>;

    fn start(&self) -> Option<u32> {
        Some(START)
    }

    fn step(&self, state: &Option<u32>, byte: u8) -> Option<Option<u32>> {
        let state = (*state)?;
        let next = self.automaton.step(state, byte).map(Some);
        let stopped = self.automaton.ending(state).is_some() && self.stops[usize::from(byte)];
        next.or(stopped.then_some(None))
    }

    fn ending(&self, state: &Option<u32>) -> Option<u32> {
        match state {
            Some(state) => self.automaton.ending(*state).map(|_| 0),
            None => Some(1),
        }
    }
}

/// Finds how completions write terminals.
struct Writer<'a> {
    used: &'a [Used],
    present: &'a [Option<Present<'a>>],
    gaps: &'a [Gap],
    choices: &'a [Option<Choice>],
    follow: &'a Follow,
    vocabulary: &'a Vocabulary,
}

impl Writer<'_> {
    fn all(&self) -> Result<Vec<Written>, GrammarError> {
        let mut before: Vec<Vec<u32>> = vec![Vec::new(); self.present.len()];
        for terminal in 0..self.present.len() as u32 {
            self.check_reachable(terminal)?;
            self.follow.completing.each(terminal).for_each(|next| before[next as usize].push(terminal));
        }
        (0..self.present.len()).map(|next| self.after(next, &before[next])).collect()
    }

    /// Each terminal that may come after this one can.
    fn check_reachable(&self, terminal: u32) -> Result<(), GrammarError> {
        let Some(own) = &self.present[terminal as usize] else { return Ok(()) };
        for next in self.follow.may.each(terminal).filter(|next| *next != terminal) {
            let Some(other) = &self.present[next as usize] else { continue };
            let parted = self.gaps.iter().any(|gap| gap.fits[next as usize]);
            if !parted && (0..256).all(|byte| !other.begins[byte] || own.always_continues[byte]) {
                return Err(self.swallows(terminal, next as usize));
            }
        }
        Ok(())
    }

    /// A terminal such that it can be read after all that it may have to follow.
    fn after(&self, next: usize, before: &[u32]) -> Result<Written, GrammarError> {
        let (Some(present), Some(choice)) = (&self.present[next], &self.choices[next]) else {
            return Ok(Written::default());
        };
        let begins = &present.begins;
        let text = choice.short_text(self.vocabulary).unwrap_or_default();
        let others =
            || before.iter().filter_map(|before| Some((*before, self.present[*before as usize].as_ref()?)));
        let Some((glued, _)) = others().find(|(_, own)| own.runs_into(begins)) else {
            return Ok(Written { separator: Vec::new(), text });
        };
        let parts = |separator: &Vec<u8>| others().all(|(_, own)| own.is_parted(separator, begins));
        let separators = self.gaps.iter().filter(|gap| gap.fits[next]).flat_map(|gap| self.texts(gap));
        if let Some(separator) = separators.into_iter().find(parts) {
            return Ok(Written { separator, text });
        }
        // Texts that begin with what continues none of those.
        let free = |byte: &u8| {
            let at = usize::from(*byte);
            begins[at] && !others().any(|(_, own)| own.continues[at] || own.stops[at])
        };
        let text = (0..=u8::MAX).filter(free).find_map(|byte| present.text_from(byte));
        let text = text.ok_or_else(|| self.swallows(glued, next))?;
        Ok(Written { separator: Vec::new(), text })
    }

    /// Some texts of ignored text.
    fn texts(&self, gap: &Gap) -> Vec<Vec<u8>> {
        let automaton = &gap.choice.lexeme.automaton;
        let is_text = |text: &[u8]| {
            let end = text.iter().try_fold(START, |state, byte| automaton.step(state, *byte));
            end.is_some_and(|end| automaton.ending(end).is_some())
        };
        let blanks = BLANKS.iter().filter(|text| is_text(text)).map(|text| text.to_vec());
        blanks.chain(gap.choice.short_text(self.vocabulary)).collect()
    }

    fn swallows(&self, terminal: u32, next: usize) -> GrammarError {
        let (own, next) = (&self.used[terminal as usize], &self.used[next]);
        let advice = match self.gaps.is_empty() {
            true => "let %ignore separate them, or write both as one terminal",
            false => "what %ignore allows cannot separate them, so write both as one terminal",
        };
        own.place.error(format!(
            "{} may come directly after {}, which takes its first character too and goes on as long as it can; {advice}",
            next.shown, own.shown
        ))
    }
}
