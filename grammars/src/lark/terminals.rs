//! Terminals as lexemes.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Instant;

use regex_syntax::hir::{Class, ClassUnicode, ClassUnicodeRange, Hir, HirKind, Repetition};

use super::regex;
use super::syntax::{Definition, Expr, Literal, Place, Source};
use crate::lexeme::{Automaton, Both, Lexeme, Regular, START};
use crate::{Budget, GrammarError, Vocabulary};

/// An expression without names.
#[derive(Debug, Clone)]
pub(super) struct Plain {
    hir: Hir,
    /// Something in it prefers to be short, so of several endings only the preferred one counts.
    lazy: bool,
    /// Bounds of recursion, and of what copies take.
    height: u32,
    size: u32,
}

/// Tallest expression, names resolved.
const HEIGHT: u32 = 200;
/// Largest expression, names resolved.
const SIZE: u32 = 20_000;

/// Terminals of a grammar, and what they may cost.
pub(super) struct Terminals<'a> {
    definitions: HashMap<&'a str, &'a Definition>,
    /// `None` while one is being resolved.
    known: HashMap<&'a str, Option<Plain>>,
    vocabulary: &'a Vocabulary,
    budget: Budget,
    started: Instant,
    /// Of all automata.
    states: usize,
    /// Of the terminal in hand.
    place: Place,
}

impl<'a> Terminals<'a> {
    pub(super) fn new(source: &'a Source, vocabulary: &'a Vocabulary, budget: &Budget) -> Self {
        let named = source.terminals.iter().map(|definition| (definition.name.as_str(), definition));
        Self {
            definitions: named.collect(),
            known: HashMap::new(),
            vocabulary,
            // Of the tables that one terminal takes: grammars have many.
            budget: Budget { max_bytes: budget.max_bytes / 4, ..*budget },
            started: Instant::now(),
            states: 0,
            place: Place::START,
        }
    }

    /// The lexeme of a terminal; `None` where the vocabulary can spell no text of it.
    ///
    /// # Errors
    /// [`GrammarError::Lark`] where it is not usable; what is beyond the budget.
    pub(super) fn lexeme(
        &mut self,
        expr: &'a Expr,
        shown: &str,
        place: Place,
    ) -> Result<Option<Arc<Lexeme>>, GrammarError> {
        let plain = self.resolved(expr, place)?;
        self.made(&plain, None, shown, place)
    }

    /// The same for texts of a terminal that another expression allows too.
    pub(super) fn lexeme_within(
        &mut self,
        plain: &Plain,
        other: &str,
        place: Place,
    ) -> Result<Option<Arc<Lexeme>>, GrammarError> {
        self.made(plain, Some(other), "ignored text", place)
    }

    fn made(
        &mut self,
        plain: &Plain,
        within: Option<&str>,
        shown: &str,
        place: Place,
    ) -> Result<Option<Arc<Lexeme>>, GrammarError> {
        if self.started.elapsed() > self.budget.time {
            return Err(GrammarError::TooSlow(self.budget.time));
        }
        let definition = format!("lark {} {} within {within:?}", plain.lazy, plain.hir);
        let made = self.vocabulary.lexicon().get(&definition, || self.automaton(plain, within));
        let lexeme = match made {
            Ok(lexeme) => lexeme,
            Err(GrammarError::NothingMatches(_)) => return Ok(None),
            Err(GrammarError::TooLarge { what, limit }) => {
                let problem =
                    format!("{shown} needs more than {limit} {what}; use smaller counts or classes");
                return Err(place.error(problem));
            }
            Err(GrammarError::Regex(problem)) => return Err(place.error(format!("{shown}: {problem}"))),
            Err(other) => return Err(other),
        };
        if lexeme.automaton.ending(START).is_some() {
            let advice = "let it take at least one character, and put `?` where it is used";
            return Err(place.error(format!("the terminal {shown} takes the empty text; {advice}")));
        }
        self.states += lexeme.automaton.states();
        if self.states > self.budget.max_states {
            let most = self.budget.max_states;
            return Err(place.error(format!("the terminals, {shown} the last, need more than {most} states")));
        }
        Ok(Some(lexeme))
    }

    fn automaton(&self, plain: &Plain, within: Option<&str>) -> Result<Automaton, GrammarError> {
        let regular = match plain.lazy {
            true => Regular::preferring(&plain.hir, &self.budget)?,
            false => Regular::of(&plain.hir, &self.budget)?,
        };
        let spellable = self.vocabulary.spellable();
        match within {
            None => Automaton::build(&regular, spellable, &self.budget),
            Some(other) => {
                let other = Regular::new(other, &self.budget)?;
                Automaton::build(&Both(regular, other), spellable, &self.budget)
            }
        }
    }

    /// An expression of terminals with their definitions put in.
    ///
    /// # Errors
    /// [`GrammarError::Lark`] where a terminal is not usable, made of itself, or too large.
    pub(super) fn resolved(&mut self, expr: &'a Expr, place: Place) -> Result<Plain, GrammarError> {
        self.place = place;
        self.plain(expr, HEIGHT)
    }

    fn plain(&mut self, expr: &'a Expr, height: u32) -> Result<Plain, GrammarError> {
        match expr {
            Expr::Name(name, place) => self.named(name, *place, height),
            Expr::Literal(literal, place) => of_literal(literal, *place),
            Expr::Seq(parts) => {
                joined(self.each(parts, height)?, Hir::concat).ok_or_else(|| self.too_large())
            }
            Expr::Either(options) => {
                joined(self.each(options, height)?, Hir::alternation).ok_or_else(|| self.too_large())
            }
            Expr::Repeat { of, least, most } => {
                let Some(height) = height.checked_sub(1) else { return Err(self.too_large()) };
                let of = self.plain(of, height)?;
                let (min, max, sub) = (*least, *most, Box::new(of.hir));
                let hir = Hir::repetition(Repetition { min, max, greedy: true, sub });
                Ok(Plain { hir, height: of.height + 1, size: of.size + 1, lazy: of.lazy })
            }
        }
    }

    fn each(&mut self, parts: &'a [Expr], height: u32) -> Result<Vec<Plain>, GrammarError> {
        let Some(height) = height.checked_sub(1) else { return Err(self.too_large()) };
        parts.iter().map(|part| self.plain(part, height)).collect()
    }

    fn named(&mut self, name: &'a str, place: Place, height: u32) -> Result<Plain, GrammarError> {
        match self.known.get(name) {
            Some(Some(known)) if known.height < height => return Ok(known.clone()),
            Some(Some(_)) => return Err(self.too_large()),
            Some(None) => {
                let advice = "only rules can be recursive";
                return Err(place.error(format!("the terminal {name} is made of itself; {advice}")));
            }
            None => {}
        }
        let Some(height) = height.checked_sub(1) else { return Err(self.too_large()) };
        let Some(definition) = self.definitions.get(name).copied() else {
            return Err(place.error(format!("{name} is not defined")));
        };
        self.known.insert(name, None);
        let plain = self.plain(&definition.expr, height)?;
        self.known.insert(name, Some(plain.clone()));
        Ok(plain)
    }

    fn too_large(&self) -> GrammarError {
        let problem =
            format!("this terminal is nested deeper than {HEIGHT} levels, or has more than {SIZE} parts");
        self.place.error(problem)
    }
}

/// Several alternatives, any number of times; `None` where that is too large.
pub(super) fn any_of(options: Vec<Plain>) -> Option<Plain> {
    let either = joined(options, Hir::alternation)?;
    let hir = Hir::repetition(Repetition { min: 1, max: None, greedy: true, sub: Box::new(either.hir) });
    Some(Plain { hir, ..either })
}

/// `None` where the whole is too large.
fn joined(parts: Vec<Plain>, join: impl FnOnce(Vec<Hir>) -> Hir) -> Option<Plain> {
    let height = parts.iter().map(|part| part.height).max().unwrap_or(0) + 1;
    let size = parts.iter().map(|part| part.size).fold(1, u32::saturating_add);
    let lazy = parts.iter().any(|part| part.lazy);
    let whole = || Plain { hir: join(parts.into_iter().map(|part| part.hir).collect()), lazy, height, size };
    (size <= SIZE).then(whole)
}

fn of_literal(literal: &Literal, place: Place) -> Result<Plain, GrammarError> {
    let hir = match literal {
        Literal::Text { text, folds_case: false } => Hir::literal(text.as_bytes()),
        Literal::Text { text, folds_case: true } => regex::parse(&regex_syntax::escape(text), "i", place)?,
        Literal::Range(first, last) => {
            let range = ClassUnicodeRange::new(*first, *last);
            Hir::class(Class::Unicode(ClassUnicode::new([range])))
        }
        Literal::Regex { pattern, flags } => {
            let hir = regex::parse(&regex::as_rust(pattern, flags.contains('x')), flags, place)?;
            let lazy = prefers_short(&hir);
            let size = (pattern.len() as u32).max(1);
            return Ok(Plain { hir, lazy, height: regex::DEEPEST, size });
        }
    };
    Ok(Plain { hir, lazy: false, height: 1, size: 1 })
}

fn prefers_short(hir: &Hir) -> bool {
    match hir.kind() {
        HirKind::Repetition(repetition) => !repetition.greedy || prefers_short(&repetition.sub),
        HirKind::Capture(capture) => prefers_short(&capture.sub),
        HirKind::Concat(parts) | HirKind::Alternation(parts) => parts.iter().any(prefers_short),
        HirKind::Empty | HirKind::Literal(_) | HirKind::Class(_) | HirKind::Look(_) => false,
    }
}
